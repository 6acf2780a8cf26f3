"""POST /predict: one patient."""

from __future__ import annotations

from risk_model.model import Model
from serving.http.bodies import Environ, read_body, require_json
from serving.http.middleware import Answer
from serving.predictions.prediction import Prediction, predict, to_json
from serving.predictions.schemas import Values, read_patient
from serving.routes.service import Service


class Predictor:
    """Answers POST /predict, straight from the WSGI environment."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._limit = service.settings["HEART_MAX_CONTENT_LENGTH"]
        self._seconds = service.settings["HEART_BODY_SECONDS"]

    def predict(self, environ: Environ) -> tuple[Model, Values, Prediction]:
        """Score the patient of a request; raise Problem where that cannot be."""
        self._service.keys.require(environ)
        require_json(environ)
        body = read_body(environ, self._limit, self._seconds)
        model = self._service.require_model()
        values = read_patient(body)
        return model, values, predict(model, values)

    def __call__(self, environ: Environ) -> Answer:
        """Answer a request."""
        model, values, prediction = self.predict(environ)
        self._service.metrics.predicted(prediction.label, model.origin.version)
        prediction_id = self._service.recorder.take(environ, model, values, prediction)
        return Answer(200, to_json(model, prediction, prediction_id))
