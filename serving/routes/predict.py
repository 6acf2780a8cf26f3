"""POST /predict: one patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from serving.errors import NotLoaded
from serving.following.worker import Following
from serving.http.bodies import read_body, require_json
from serving.http.keys import Keys
from serving.http.metrics import Metrics
from serving.http.middleware import Answer, Environ
from serving.predictions.prediction import predict, to_json
from serving.predictions.recorder import Recorder
from serving.predictions.schemas import read_patient


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

    def __call__(self, environ: Environ) -> Answer:
        """Score one patient.

        Raises
        ------
        Problem
            Whatever is wrong with the request; 503 without a model.
        """
        self._keys.require(environ)
        require_json(environ)
        body = read_body(environ, self._limit, self._seconds)
        model = self._following.model
        if model is None:
            raise NotLoaded
        values = read_patient(body)
        prediction = predict(model, values)
        self._metrics.predicted(prediction.label, model.origin.version)
        prediction_id = self._recorder.take(environ, model, values, prediction)
        return Answer(200, to_json(model, prediction, prediction_id))


def make_blueprint(predictor: Predictor) -> Blueprint:
    """Return the route as Flask knows it: other methods get 405, and url_for works."""
    blueprint = Blueprint("predict", __name__)

    @blueprint.post("/predict")
    def _predict() -> Response:
        answer = predictor(request.environ)
        return Response(answer.body, answer.status, content_type=answer.content_type)

    return blueprint
