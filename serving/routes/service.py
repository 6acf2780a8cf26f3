"""What the routes of one application share."""

from dataclasses import dataclass
from typing import cast

from flask import current_app
from werkzeug.local import LocalProxy

from risk_model.model import Model
from serving.errors import Problem
from serving.following.worker import Following
from serving.http.gevent_support import BackgroundThread
from serving.http.keys import Keys
from serving.http.metrics import Metrics
from serving.predictions.recorder import Recorder
from serving.settings import Settings


@dataclass(frozen=True)
class Service:
    """What the routes of one application share."""

    settings: Settings
    following: Following
    metrics: Metrics
    recorder: Recorder
    keys: Keys
    background: BackgroundThread  # for what takes long

    @property
    def model(self) -> Model | None:
        """What is served now."""
        return self.following.model

    def require_model(self) -> Model:
        """Return the served model; raise Problem where there is none (yet)."""
        model = self.following.model
        if model is None:
            raise Problem(
                503, "Model not loaded. Service unavailable.", headers={"Retry-After": "2"}
            )
        return model


# That of the application whose request is being answered.
service = cast(Service, LocalProxy(lambda: current_app.extensions["heart"]))
