"""The pages without a browser."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from clinical.schema import FEATURES
from risk_model.model import Model
from serving.following.cache import decision_path
from serving.predictions.prediction import Prediction
from serving.routes import result
from tests.serving import forge
from tests.serving.conftest import FakeFollowing, MakeApp

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


TYPED = {feature.name: f"{feature.example:g}" for feature in FEATURES}


def answer(client: FlaskClient, **typed: str) -> str:
    """Return the page of the example, with some fields typed otherwise."""
    page = client.post("/", data=TYPED | typed)
    assert page.status_code == 200
    return page.text


def test_a_patient_gets_what_predict_says_as_number_and_picture(
    client: FlaskClient, patient: Any, model: Model
) -> None:
    said = client.post("/predict", json=patient).get_json()
    page = answer(client)
    assert f'class="figure">{result.percent(model, said["probability"])}&nbsp;%' in page
    counts = {"Low": (130, 16, 12), "Moderate": (60, 26, 43), "High": (113, 97, 86)}
    patients, diseased, percent = counts[said["risk_level"]]
    assert f">{percent}&nbsp;%<" in page
    assert f"{diseased} of {patients} (95&nbsp;% interval" in page
    parts = ("patients like this one had the disease", "probability of disease for this patient",
             "<svg", "angiography, at the Cleveland Clinic from 1981 to 1984; 46 % of them",
             "Low reaches up to 30 % because 46 % of these patients", "registry-v3")  # fmt: skip
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert not [word for word in ("confidence", "risk", "How sure") if word in page]


def test_findings_that_nobody_had_together_are_warned_of_by_title(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    pairs = [["age", 2, "ca", 0], ["chol", 1, "age", 2], ["age", 0, "sex", 1]]
    following.model = forge.knowing(following.model, unseen_pairs={"parts": 4, "pairs": pairs})
    words = "both such a value of age and such a value of major vessels coloured or serum"
    assert words in answer(client, age="70", chol="320")
    body = client.post("/predict", json=patient | {"age": 70, "chol": None}).get_json()
    told = [each["pointer"] for each in body["warnings"] if "such a value" in each["detail"]]
    assert told == ["/ca"]
    assert "such a value" not in answer(client)


@pytest.mark.parametrize(("probability", "told"), [
    (0.227, "23"), (0.297, "29.7"), (0.29996, "29.996"), (0.3, "30"), (0.496, "50"), (0.5, "50"),
    (0.504, "50"), (0.699999, "69.999900"), (0.9999, "over 99"), (0.001, "under 1"),
])  # fmt: skip
def test_a_probability_is_never_rounded_into_another_band_nor_to_certainty(
    model: Model, probability: float, told: str
) -> None:
    assert result.percent(model, probability) == told


def test_the_form_says_what_moved_the_probability(client: FlaskClient, patient: Any) -> None:
    found = client.post("/explain", json=patient).get_json()
    page = answer(client)
    assert f"{found['base_probability'] * 100:.0f}&nbsp;%" in page
    shown = re.findall(r'<strong>([^<]+):</strong>.*?class="points[^>]*>([^<]+)<', page, re.S)
    points = {f.title: 100 * found["contributions"][f.name] for f in FEATURES}
    expected = sorted(points.items(), key=lambda move: -abs(move[1]))
    assert shown == [
        (title, f"{by:+.0f}".replace("-", MINUS)) for title, by in expected if abs(by) >= 0.5
    ]
    assert "What this is not" in page


def test_the_reference_itself_has_nothing_to_explain(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    same = {name: float(value) for name, value in patient.items()}
    following.model = forge.knowing(following.model, reference={"values": same})
    assert "Nothing moved it" in answer(client)


def test_the_rate_is_that_of_patients_of_whom_as_much_was_unknown(
    client: FlaskClient, following: FakeFollowing
) -> None:
    measured = forge.unknown_patterns((), ("ca", "thal"))
    following.model = forge.knowing(following.model, format=2, unknown_patterns=measured)
    page = answer(client, ca="unknown", thal="unknown")
    assert "of 102 (95&nbsp;%" in page
    assert "with as much unknown" in page
    assert "Unknown: major vessels coloured, thallium scan. The model is calibrated" in page
    # All known: as the bands of all patients; not measured: nothing.
    page = answer(client)
    assert "of 102 (95" not in page
    assert "like this one had" in page
    assert "like this one had" not in answer(client, chol="")


@pytest.mark.parametrize(("unknown", "probability", "counts", "reach"), [
    ([], 0.5, (5, 4), (0.3, 0.8)), ([], 1.0, (3, 3), (0.7, 1.0)), ([], 0.0, (3, 0), (0.0, 0.3)),
    (["ca"], 0.55, (10, 5), (0.3, 0.8)), (["thal"], 0.2, (60, 20), (0.0, 0.3)),
])  # fmt: skip
def test_patients_like_one_have_about_the_same_probability_and_as_much_unknown(
    model: Model, unknown: list[str], probability: float,
    counts: tuple[int, int], reach: tuple[float, float],
) -> None:  # fmt: skip
    """For thal nobody has counted by probability, so that it is the band."""
    seen = {"patients": 60, "diseased": 20, "low": 0.2, "high": 0.5}
    bands = [{"level": "Low", "from": 0.0, "observed": seen}, {"level": "High", "from": 0.3}]
    histogram = {"0": [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], "1": [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]}
    known = {"patients": 10, "diseased": 6, "metrics": {}, "calibration": {"histogram": histogram}}
    patterns = [
        {"unknown": ["ca"], "patients": 20, "histogram": {"0": [1] * 10, "1": [1] * 10}},
        {"unknown": ["thal"], "patients": 60, "risk_bands": bands},
    ]
    same = forge.knowing(model, risk_bands=bands, out_of_fold=known, unknown_patterns=patterns)
    level = same.risk_level(probability)
    found = result.observed(same, Prediction(0, probability, level, unknown, []))
    assert found is not None
    assert (found["patients"], found["diseased"]) == counts
    assert (found["start"], found["end"]) == pytest.approx(reach)


def test_an_unknown_finding_is_told_among_what_moved_the_probability(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    """The reference has three vessels coloured: that they are unknown moves the probability."""
    reference = {**(following.model.reference or {}), "ca": 3.0}
    following.model = forge.knowing(following.model, format=2, reference={"values": reference})
    assert "<strong>Major vessels coloured:</strong> unknown" in answer(client, ca="unknown")
    body = client.post("/explain", json=patient | {"ca": None}).get_json()
    assert body["contributions"]["ca"] < -0.01
    whole = body["base_probability"] + sum(body["contributions"].values())
    assert whole == pytest.approx(body["probability"], abs=1e-4)


@pytest.mark.parametrize(("name", "text", "status"), [
    *((f.name, text, 200 if f.nullable else 422) for f in FEATURES for text in ("", "unknown")),
    *(("age", text, 422) for text in ("nan", "inf", "1e400", "9" * 5000, "-1", "true",
                                      "\u0665\u0664", "5_4")),
    ("oldpeak", "1,5", 200),
])  # fmt: skip
def test_what_is_typed_is_a_number_or_unknown_where_it_may_be(
    client: FlaskClient, name: str, text: str, status: int
) -> None:
    assert client.post("/", data=TYPED | {name: text}).status_code == status


def test_a_synthetic_model_wears_a_banner(client: FlaskClient, following: FakeFollowing) -> None:
    assert "Synthetic data" not in client.get("/").text
    following.model = forge.of(following.model, forge.facts("synthetic"))
    for path in ("/", "/model"):
        assert "Synthetic data" in client.get(path).text


def test_an_answer_wears_the_banner_of_the_model_that_gave_it(
    make_app: MakeApp, following: FakeFollowing
) -> None:
    real = following.model
    assert real is not None

    class Swapping(FakeFollowing):
        """Goes over to another model while a request is being answered."""

        models = iter([Model(real.engine, real.origin, forge.metadata("synthetic")), real])
        model = property(lambda self: next(self.models, real), lambda self, model: None)  # type: ignore[assignment]

    client = make_app(following=Swapping(following.folder)).test_client()
    assert "Synthetic data" in answer(client)


def test_the_model_page_says_what_is_served_and_is_its_card(client: FlaskClient) -> None:
    page = client.get("/model").text
    for words in (
        "registry-v3", "alias champion", "0.904", "(0.859 to 0.940)", "passed", "No champion yet.",
        "242 to learn from", "2026-01-02", "no medical device", "cross-validated (303)",
        "held out (61)", "age 60 and over", "too few",
        "Another hospital", "12 %<small>8 to 19 %</small>", "What moves its answers", "CC BY 4.0",
        "0.86 (0.81 to 0.90)",
    ):  # fmt: skip
        assert words in page
    assert "0.821" not in page  # A figure over folds is not one of this model.
    assert "Not the whole card" not in page


def test_a_model_of_an_earlier_release_explains_nothing_and_its_card_says_what_it_lacks(
    client: FlaskClient, following: FakeFollowing
) -> None:
    following.model = forge.of(following.model, forge.facts())
    page = client.get("/model").text
    assert "This model does not carry: groups of patients, other hospitals, what moves" in page
    assert "0.904" in page
    page = answer(client)
    assert "How each finding moved" not in page
    assert "like this one" not in page


@pytest.mark.parametrize("facts", [
    {}, {"label": "1 = ill"}, forge.facts(data={"source": "uci"}),
    forge.facts(elsewhere=None, out_of_fold=None), forge.facts(risk_bands=[]),
    {"unknown_patterns": [{"unknown": ["ca"], "patients": 1}]},
])  # fmt: skip
def test_a_model_of_which_little_is_known_spoils_no_page(
    client: FlaskClient, following: FakeFollowing, facts: dict[str, Any]
) -> None:
    following.model = forge.of(following.model, facts)
    page = client.get("/model")
    assert page.status_code == 200
    assert "no medical device" in page.text
    assert answer(client)


def judged(model: Model, folder: Path, verdict: str, decision: str, *, as_tag: bool) -> Model:
    """Return a model as the gate has judged it: now, or up to release 0.2, with it all in a tag."""
    run_id = "e" * 32
    tags = {"gate.verdict": verdict, "gate.reason": "broken", "gate.against": "2",
            **({"gate.decision": decision} if as_tag else {"gate.run": run_id})}  # fmt: skip
    origin = dataclasses.replace(model.origin, tags=tags, directory=str(folder))
    if path := decision_path(origin):
        path.parent.mkdir()
        path.write_text(decision)
    return model.moved(origin)


@pytest.mark.parametrize("as_tag", [False, True], ids=["file", "tag"])
def test_the_gates_verdict_is_a_table_with_both_figures(
    client: FlaskClient, following: FakeFollowing, model: Model, tmp_path: Path, as_tag: bool
) -> None:
    rules = [
        {"rule": "ROC AUC at least 0.75", "candidate": 0.9, "champion": None, "passed": True},
        {"rule": "Brier score not worse", "candidate": 0.31, "champion": 0.12, "passed": False},
        {"rule": "no synthetic patients", "candidate": "uci", "champion": "uci", "passed": True},
    ]
    decision = json.dumps({"rules": rules})
    following.model = judged(model, tmp_path, "rejected", decision, as_tag=as_tag)
    page = client.get("/model").text
    row = r"<th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td>"
    for cells in (("ROC AUC at least 0.75", "0.9", DASH, "ok"),
                  ("Brier score not worse", "0.31", "0.12", "BROKEN"),
                  ("no synthetic patients", "uci", "uci", "ok")):  # fmt: skip
        assert re.search(row.format(*cells), page)
    assert "against version 2: broken." in page


@pytest.mark.parametrize("stored", [None, "", "nonsense", "[]", "{}", '{"rules": 5}', "[" * 10**5])
def test_a_decision_that_was_not_fetched_or_cannot_be_read_leaves_the_verdict(
    client: FlaskClient, following: FakeFollowing, model: Model, tmp_path: Path, stored: str | None
) -> None:
    following.model = judged(model, tmp_path, "passed", stored or "", as_tag=False)
    if stored is None:
        shutil.rmtree(tmp_path / f"gate-{'e' * 32}")
    assert "<strong>passed</strong>" in client.get("/model").text


def test_the_card_can_be_taken_along(client: FlaskClient, following: FakeFollowing) -> None:
    with client.get("/model/card.md") as found:
        assert (found.status_code, found.text) == (200, "# Model card\n")
        assert found.content_type.startswith("text/markdown")
        assert "registry-v3-card.md" in found.headers["Content-Disposition"]
    elsewhere = dataclasses.replace(following.model.origin, directory="/no")
    following.model = following.model.moved(elsewhere)
    assert client.get("/model/card.md").status_code == 404
    assert "card.md" not in client.get("/model").text


@pytest.mark.parametrize("name", ["roc", "nothing", "..%2f..%2fextra_files%2fmodel"])
def test_a_plot_that_is_not_there_is_a_404(client: FlaskClient, name: str) -> None:
    assert client.get(f"/model/plots/{name}.png").status_code == 404
