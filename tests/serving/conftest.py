"""The service without a server: test client, and a stand-in for what follows the registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from clinical.schema import FEATURES
from risk_model.model import Model, Origin, load
from serving import create_app
from serving.http.metrics import Metrics


@dataclass
class FakeFollowing:
    """Stands in for serving.following.Following."""

    folder: Path
    model: Model | None = None
    challenger: Model | None = None
    notifications: int = 0
    facts: dict[str, Any] = field(default_factory=lambda: {"looks": 1})

    def attach(self, metrics: Metrics) -> None:
        """Report to nobody."""

    def start(self) -> None:
        """Have nothing to start."""

    def ensure(self) -> None:
        """Have nothing to start."""

    def status(self) -> Mapping[str, Any]:
        return self.facts

    def notify(self) -> bool:
        self.notifications += 1
        return True


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    tags = {"gate.verdict": "passed", "gate.reason": "No champion yet."}
    return load(Origin("key", "registry-v3", "alias champion", str(model_folder), tags, "f" * 32))


@pytest.fixture
def following(model: Model, tmp_path: Path) -> FakeFollowing:
    return FakeFollowing(tmp_path, model)


MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(following: FakeFollowing, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    def make(**config: Any) -> Flask:
        return create_app({"following": following, "HEART_ACCESS_LOG": "", **config})

    return make


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture
def patient() -> dict[str, Any]:
    """Return the patient of the integration guide."""
    return {feature.name: feature.example for feature in FEATURES}
