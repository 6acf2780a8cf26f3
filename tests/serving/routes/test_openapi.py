"""The published description."""

import tomllib
from typing import Any

from flask.testing import FlaskClient

from tests.serving.conftest import MakeApp
from tests.serving.service import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text()


def test_every_documented_route_exists_and_the_other_way_round(make_app: MakeApp) -> None:
    app = make_app()
    document = app.test_client().get("/openapi.json").get_json()
    assert document["info"]["version"] == tomllib.loads(PYPROJECT)["project"]["version"]
    cards = {"/model", "/model/card.md", "/model/plots/<name>.png"}
    pages = {"/", "/docs", "/openapi.json", "/monitor", *cards}
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    files = {rule for rule in routes if rule.startswith(("/static", "/docs/"))}
    assert routes - pages - files == set(document["paths"])


def test_every_member_of_an_answer_is_described(client: FlaskClient, patient: Any) -> None:
    document = client.get("/openapi.json").get_json()
    schemas = document["components"]["schemas"]
    ready = document["paths"]["/ready"]["get"]["responses"]["200"]["content"]
    for answer, schema in (
        (client.post("/predict", json=patient), schemas["Prediction"]),
        (client.post("/explain", json=patient), schemas["Explanation"]),
        (client.post("/predict", json={}), schemas["Problem"]),
        (client.get("/ready"), ready["application/json"]["schema"]),
    ):
        assert set(answer.get_json()) <= set(schema["properties"])
        assert set(schema["required"]) <= set(answer.get_json())


def test_swagger_ui_gets_what_its_version_understands(client: FlaskClient) -> None:
    def kinds(part: Any) -> list[Any]:
        if isinstance(part, dict):
            own = [part["type"]] if "type" in part else []
            return own + [kind for value in part.values() for kind in kinds(value)]
        return [kind for item in part for kind in kinds(item)] if isinstance(part, list) else []

    older = client.get("/docs/openapi-3.0.json").get_json()
    assert older["openapi"].startswith("3.0")
    assert not any(isinstance(kind, list) for kind in kinds(older))
    assert older["components"]["schemas"]["Patient"]["properties"]["ca"]["nullable"] is True
