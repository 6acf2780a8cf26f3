"""The pages without a browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from clinical.schema import FEATURES, Feature
from serving.model import Model
from tests.serving import forge
from tests.serving.conftest import FakeFollowing, MakeApp


def form(patient: dict[str, Any], **more: str) -> dict[str, str]:
    return {name: f"{value:g}" for name, value in patient.items()} | more


def test_the_form_has_every_feature_with_its_unit_and_codes(client: FlaskClient) -> None:
    page = client.get("/").text
    for feature in FEATURES:
        assert f'name="{feature.name}"' in page
        assert feature.title in page
        assert feature.unit in page
        for words in feature.codes.values():
            assert words[1:] in page


def test_a_patient_gets_a_risk_as_number_and_picture(client: FlaskClient, patient: Any) -> None:
    answer = client.post("/", data=form(patient))
    assert answer.status_code == 200
    assert re.search(r'class="figure">\d+&nbsp;%', answer.text)
    assert "<svg" in answer.text
    assert "registry-v3" in answer.text
    assert "uci" in answer.text


def test_the_form_says_what_predict_says(client: FlaskClient, patient: Any) -> None:
    probability = client.post("/predict", json=patient).get_json()["probability"]
    page = client.post("/", data=form(patient)).text
    assert f"{probability * 100:.0f}&nbsp;%" in page


def test_errors_stand_at_their_field_and_what_was_typed_is_kept(
    client: FlaskClient, patient: Any
) -> None:
    answer = client.post("/", data=form(patient, age="abc<", sex=""))
    assert answer.status_code == 422
    assert 'value="abc&lt;"' in answer.text
    assert 'id="age-error"' in answer.text
    assert 'id="sex-error"' in answer.text
    assert 'id="chol-error"' not in answer.text
    assert 'value="240"' in answer.text


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_unknown_is_taken_where_it_is_allowed(
    client: FlaskClient, patient: Any, feature: Feature
) -> None:
    answer = client.post("/", data=form(patient, **{feature.name: "unknown"}))
    assert answer.status_code == (200 if feature.nullable else 422)


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "9" * 5000, "-1", "true", "\u0663"])
def test_what_is_no_age_is_refused(client: FlaskClient, patient: Any, text: str) -> None:
    assert client.post("/", data=form(patient, age=text)).status_code == 422


def test_a_decimal_comma_is_understood(client: FlaskClient, patient: Any) -> None:
    assert client.post("/", data=form(patient, oldpeak="1,5")).status_code == 200


def test_without_a_model_the_form_keeps_what_was_typed(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    following.model = None
    assert client.get("/").status_code == 200
    answer = client.post("/", data=form(patient))
    assert answer.status_code == 503
    assert "Model not loaded" in answer.text
    assert 'value="240"' in answer.text


def test_a_synthetic_model_wears_a_banner(client: FlaskClient, following: FakeFollowing) -> None:
    assert "Synthetic data" not in client.get("/").text
    old = following.model
    assert old is not None
    following.model = Model(old.engine, old.origin, forge.facts("synthetic"))
    for path in ("/", "/model"):
        assert "Synthetic data" in client.get(path).text


def test_the_model_page_says_what_is_served(client: FlaskClient) -> None:
    page = client.get("/model").text
    for words in ("registry-v3", "alias champion", "0.904", "0.850 to 0.950", "passed",
                  "No champion yet.", "242 patients", "2026-01-02"):  # fmt: skip
        assert words in page


def test_the_model_page_without_a_model_says_what_to_run(
    client: FlaskClient, following: FakeFollowing
) -> None:
    following.model = None
    answer = client.get("/model")
    assert answer.status_code == 503
    assert "mlflow run ." in answer.text


@pytest.mark.parametrize("name", ["roc", "nothing", "..%2f..%2fextra_files%2fmodel"])
def test_a_plot_that_is_not_there_is_a_404(client: FlaskClient, name: str) -> None:
    assert client.get(f"/model/plots/{name}.png").status_code == 404


def test_the_form_needs_the_key_where_there_is_one(make_app: MakeApp, patient: Any) -> None:
    client = make_app(HEART_API_KEYS="0123456789abcdef").test_client()
    assert 'name="key"' in client.get("/").text
    assert client.post("/", data=form(patient)).status_code == 403
    answer = client.post("/", data=form(patient, key="0123456789abcdef"))
    assert answer.status_code == 200
    assert "0123456789abcdef" not in answer.text


def test_no_page_names_another_host_or_holds_inline_code(client: FlaskClient, patient: Any) -> None:
    pages = [client.get(path).text for path in ("/", "/model", "/docs")]
    pages.append(client.post("/", data=form(patient)).text)
    for page in pages:
        assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
        assert "style=" not in page
        assert not re.search(r"<script(?![^>]*src=)", page)


def test_swagger_ui_comes_from_the_installed_package(client: FlaskClient) -> None:
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        answer = client.get(f"/docs/{name}")
        assert answer.status_code == 200
        answer.close()
    assert client.get("/docs/index.html").status_code == 404
