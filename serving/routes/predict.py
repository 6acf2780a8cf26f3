"""POST /predict: one patient."""

from risk_model.model import Model
from serving.http.bodies import Environ, read_body, require_json
from serving.http.middleware import Answer
from serving.predictions.prediction import Prediction, predict, to_json
from serving.predictions.schemas import Values, read_patient
from serving.routes.service import Service


def score(service: Service, environ: Environ) -> tuple[Model, Values, Prediction]:
    """Score the patient of a request; raise Problem where that cannot be."""
    service.keys.require(environ)
    require_json(environ)
    settings = service.settings
    body = read_body(environ, settings["HEART_MAX_CONTENT_LENGTH"], settings["HEART_BODY_SECONDS"])
    model = service.require_model()
    values = read_patient(body)
    return model, values, predict(model, values)


def answer(service: Service, environ: Environ) -> Answer:
    """Answer a request, straight from the WSGI environment."""
    model, values, prediction = score(service, environ)
    service.metrics.predicted(prediction.label, model.origin.version)
    prediction_id = service.recorder.take(environ, model, values, prediction)
    return Answer(200, to_json(model, prediction, prediction_id))
