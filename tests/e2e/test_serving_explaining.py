"""What the service says of real patients, by a model that the pipeline trained on them, adds up."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks import explaining
from clinical import archive
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES, FEATURES
from tests.e2e.conftest import Clone
from tests.serving.service import Service, running

LATE = ("ca", "thal")


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
        said, found = ask(service, "/predict", patient), ask(service, "/explain", patient)
        whole = found["base_probability"] + sum(found["contributions"].values())
        assert whole == pytest.approx(said["probability"], abs=1e-4)
        assert found["probability"] == said["probability"]
        for feature in FEATURES:
            if patient[feature.name] == found["reference"][feature.name]:
                assert found["contributions"][feature.name] == 0


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


def test_explaining_takes_at_most_a_hundred_times_as_long_as_predicting(
    service: Service, patients: list[dict[str, float | None]]
) -> None:
    reference = ask(service, "/explain", patients[0])["reference"]
    every = tuple(feature.name for feature in FEATURES)
    worst = explaining.patient(reference, every)
    bodies = {"/predict": ("/predict", worst), "/explain": ("/explain", worst)}
    found = explaining.measure(service.port, bodies, 60)
    assert median(found["/explain"]) <= explaining.TIMES * median(found["/predict"])


def test_the_warning_states_the_measured_figure(
    service: Service, patients: list[dict[str, float | None]]
) -> None:
    answer = ask(service, "/predict", patients[0] | dict.fromkeys(LATE))
    assert [warning["pointer"] for warning in answer["warnings"]] == ["/ca", "/thal"]
    words = answer["warnings"][0]["detail"]
    assert words.startswith("With 'ca' and 'thal' unknown, the ROC AUC of this model is 0.")
    assert "observed / expected cases are" in words


def test_the_model_page_is_the_whole_card_with_the_gates_table(service: Service) -> None:
    status, page = service.ask("/model")
    assert status == 200
    assert "Not the whole card" not in page
    for words in ("sensitivity, female, out of fold, at least 0.5", "V.A. Medical Center",
                  "Long Beach", "age 60 and over", "CC BY 4.0"):  # fmt: skip
        assert words in page
    status, text = service.ask("/model/card.md")
    assert status == 200
    assert text.startswith("# Model card: random forest")
