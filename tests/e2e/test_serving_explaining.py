"""What the service says of real patients, by a model that the pipeline trained on them, adds up."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clinical import archive
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES
from tests.e2e.conftest import Clone
from tests.serving.service import Service, running


@pytest.fixture(scope="module")
def service(cleveland: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("home"), cleveland.uri, workers=1) as made:
        yield made


@pytest.fixture(scope="module")
def patients(uci_zip: Path) -> list[dict[str, float | None]]:
    """Return the Cleveland patients as a client would send them."""
    members = archive.open_source(uci_zip)
    name = archive.choose_member(members)
    rows = prepare(members[name], name).frame[list(FEATURE_NAMES)].to_numpy(float).tolist()
    return [
        {n: None if math.isnan(v) else v for n, v in zip(FEATURE_NAMES, row, strict=True)}
        for row in rows
    ]


def ask(service: Service, path: str, patient: dict[str, float | None]) -> dict[str, Any]:
    status, body = service.ask(path, json.dumps(patient).encode())
    assert status == 200, body
    return dict(body)


def test_base_and_contributions_are_the_served_probability_of_every_patient(
    service: Service, patients: list[dict[str, float | None]]
) -> None:
    assert len(patients) == 303
    for patient in patients:
        predicted, explained = ask(service, "/predict", patient), ask(service, "/explain", patient)
        whole = explained["base_probability"] + sum(explained["contributions"].values())
        assert whole == pytest.approx(predicted["probability"], abs=1e-4)
        assert explained["probability"] == predicted["probability"]


def test_what_is_known_to_matter_moves_the_risk_the_way_it_should(
    service: Service, patients: list[dict[str, float | None]]
) -> None:
    """Three vessels, and a reversible defect: both raise the risk of whoever has them."""
    for name, value in (("ca", 3), ("thal", 3)):
        parts = [
            ask(service, "/explain", patient)["contributions"][name]
            for patient in patients[:100]
            if patient[name] == value
        ]
        assert len(parts) >= 3
        assert min(parts) > 0
