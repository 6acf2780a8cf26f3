"""POST /predict: one patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from risk_model.model import Model
from serving.errors import NotLoaded
from serving.following.worker import Following
from serving.http.bodies import read_body, require_json
from serving.http.keys import Keys
from serving.http.metrics import Metrics
from serving.http.middleware import Answer, Environ
from serving.predictions.prediction import Prediction, predict, to_json
from serving.predictions.recorder import Recorder
from serving.predictions.schemas import Values, read_patient


class Predictor:
    """Answers POST /predict, straight from the WSGI environment."""

    def __init__(
        self,
        following: Following,
        metrics: Metrics,
        settings: Mapping[str, Any],
        recorder: Recorder,
    ) -> None:
        self._following = following
        self._metrics = metrics
        self._recorder = recorder
        self._keys = Keys(settings["HEART_API_KEYS"])
        self._limit = settings["HEART_MAX_CONTENT_LENGTH"]
        self._seconds = settings["HEART_BODY_SECONDS"]

    def predict(self, environ: Environ) -> tuple[Model, Values, Prediction]:
        """Score the patient of a request; raise Problem where that cannot be."""
        self._keys.require(environ)
        require_json(environ)
        body = read_body(environ, self._limit, self._seconds)
        model = self._following.model
        if model is None:
            raise NotLoaded
        values = read_patient(body)
        return model, values, predict(model, values)

    def __call__(self, environ: Environ) -> Answer:
        """Answer a request."""
        model, values, prediction = self.predict(environ)
        self._metrics.predicted(prediction.label, model.origin.version)
        prediction_id = self._recorder.take(environ, model, values, prediction)
        return Answer(200, to_json(model, prediction, prediction_id))
