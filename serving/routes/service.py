"""What the routes of one application share."""

from __future__ import annotations

from dataclasses import dataclass

from risk_model.model import Model
from serving.errors import NotLoaded
from serving.following.worker import Following
from serving.http.gevent_support import BackgroundThread
from serving.http.keys import Keys
from serving.http.metrics import Metrics
from serving.predictions.recorder import Recorder
from serving.settings import Settings


@dataclass(frozen=True)
class Service:
    """What the routes of one application share.

    Parameters
    ----------
    settings : Settings
    following : Following
        Has the model.
    metrics : Metrics
    recorder : Recorder
        Records the predictions.
    keys : Keys
    background : BackgroundThread
        For what takes long.
    """

    settings: Settings
    following: Following
    metrics: Metrics
    recorder: Recorder
    keys: Keys
    background: BackgroundThread

    @property
    def model(self) -> Model | None:
        """What is served now."""
        return self.following.model

    def require_model(self) -> Model:
        """Return the served model; raise NotLoaded where there is none."""
        model = self.following.model
        if model is None:
            raise NotLoaded
        return model
