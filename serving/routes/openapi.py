"""The OpenAPI 3.1 description, drawn from FEATURES."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from serving.http.problems import MEDIA_TYPE, problem_schema
from serving.predictions.schemas import EXAMPLE, patient_schema

_WORDS = {
    400: "The body cannot be read.",
    401: "An API key, or a signature, is missing.",
    403: "The API key is not valid.",
    404: "There is nothing here.",
    405: "This route does not take that method.",
    408: "The body took too long to arrive.",
    409: "The model that is served cannot be explained.",
    413: "The body is too long.",
    415: "The content type is not one that this route takes.",
    422: "Fields are missing, unknown or not valid; each of them is listed.",
    431: "The headers are too long.",
    500: "The service failed.",
    503: "No model is loaded yet, or too many requests are held. Retry-After says when to try.",
}


def openapi(*, keys: bool = False) -> dict[str, Any]:
    """Return the description.

    Parameters
    ----------
    keys : bool
        Whether predictions need an API key.
    """
    schemes = {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Heart disease risk",
            "version": _own_version(),
            "description": (
                "Probability of coronary artery disease among patients referred for angiography. "
                "For research and teaching: not a medical device, not for clinical decisions. "
                f"Label: {LABEL.definition}."
            ),
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/predict": {"post": _predict(keys)},
            "/explain": {"post": _explain(keys)},
            "/invocations": {"post": _invocations(keys)},
            "/ready": {"get": _get("Whether there is a model, and which", _READY, 503)},
            "/ping": {"get": _alive("Alive and with a model, as MLflow's scoring server")},
            "/health": {"get": _alive("The same as /ping")},
            "/version": {"get": _text("The version of MLflow")},
            "/metrics": {"get": _text("Metrics for Prometheus")},
            "/webhooks/mlflow": {"post": _webhook()},
        },
        "components": {
            "schemas": {
                "Patient": patient_schema(),
                "Prediction": _PREDICTION,
                "Explanation": _EXPLANATION,
                "Problem": problem_schema(),
            },
            **({"securitySchemes": schemes} if keys else {}),
        },
    }


def for_swagger_ui(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description as OpenAPI 3.0, which the installed Swagger UI can show."""
    older: dict[str, Any] = _older(description)
    return older | {"openapi": "3.0.3"}


def _older(part: Any) -> Any:
    if isinstance(part, list):
        return [_older(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {name: _older(value) for name, value in part.items()}
    kind = made.get("type")
    if isinstance(kind, list):
        made |= {"type": next(name for name in kind if name != "null"), "nullable": True}
    if isinstance(made.get("examples"), list):
        made["example"] = made.pop("examples")[0]
    return made


def _own_version() -> str:
    try:
        return version("heart-disease-model")
    except PackageNotFoundError:
        return "0.1.0"  # run from a clone, as is usual


_ref = "#/components/schemas/"
_UNIT = {"type": "number", "minimum": 0, "maximum": 1}
_WARNING = {
    "type": "object",
    "required": ["pointer", "detail"],
    "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
}
_PREDICTION: dict[str, Any] = {
    "type": "object",
    "title": "Prediction",
    "required": [
        "prediction",
        "confidence",
        "probability",
        "risk_level",
        "model_version",
        "engine",
        "data_source",
        "imputed",
        "warnings",
    ],
    "properties": {
        "prediction": {
            "type": "integer",
            "enum": [0, 1],
            "description": f"{LABEL.definition}; 0 = not.",
        },
        "confidence": _UNIT | {"description": "Probability of the predicted class."},
        "probability": _UNIT | {"description": "Probability of disease."},
        "risk_level": {"type": "string", "description": "The band of the probability."},
        "model_version": {
            "type": "string",
            "description": "registry-v<N>, run-<id>, local-pickle, ...",
        },
        "engine": {"type": "string", "enum": ["onnx", "scikit-learn"]},
        "data_source": {
            "type": "string",
            "description": "What the model was trained on; synthetic: no clinical meaning at all.",
        },
        "imputed": {
            "type": "array",
            "items": {"type": "string", "enum": list(FEATURE_NAMES)},
            "description": "Fields that were null; the model put in a typical value.",
        },
        "warnings": {
            "type": "array",
            "items": _WARNING,
            "description": (
                "Fields that are possible but outside of what the model has seen, or unknown "
                "though much depends on them."
            ),
        },
    },
}
_said = _PREDICTION["properties"]


def _by_feature(each: Mapping[str, Any], words: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": words,
        "required": list(FEATURE_NAMES),
        "properties": {name: dict(each) for name in FEATURE_NAMES},
    }


_EXPLANATION: dict[str, Any] = {
    "type": "object",
    "title": "Explanation",
    "required": ["probability", "base_probability", "contributions", "reference", "model_version"],
    "properties": {
        "probability": _said["probability"],
        "base_probability": _UNIT | {"description": "That of the reference patient."},
        "contributions": _by_feature(
            {"type": "number", "minimum": -1, "maximum": 1},
            "What each field added to the probability; with base_probability they add up to it. "
            "Shapley values: they describe the model, and are no causes.",
        ),
        "reference": _by_feature(
            {"type": "number"},
            "The patient compared with, made up of what replaces unknown values.",
        ),
        **{
            name: _said[name]
            for name in (
                "risk_level", "model_version", "engine", "data_source", "imputed", "warnings",
            )
        },
    },
}  # fmt: skip
_READY = {
    "type": "object",
    "required": ["status", "degraded", "problems", "notes", "seconds_since_registry_answered"],
    "properties": {
        "status": {"type": "string", "enum": ["ready", "unavailable"]},
        "model_version": {"type": "string"},
        "source": {"type": "string"},
        "engine": _said["engine"],
        "data_source": _said["data_source"],
        "trained_at": {"type": ["string", "null"]},
        "degraded": {
            "type": "boolean",
            "description": "Whether something other than the first choice is served.",
        },
        "problems": {"type": "array", "items": {"type": "string"}},
        "notes": {"type": "array", "items": {"type": "string"}},
        "seconds_since_registry_answered": {"type": ["number", "null"]},
        "detail": {"type": "string"},
    },
}


def _problems(*statuses: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": _ref + "Problem"}}}
    return {str(status): {"description": _WORDS[status], "content": content} for status in statuses}


def _ok(schema: Mapping[str, Any], example: Any = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": dict(schema)}
    if example is not None:
        media["example"] = example
    return {"200": {"description": "The answer.", "content": {"application/json": media}}}


def _locks(keys: bool) -> dict[str, Any]:
    return {"security": [{"key": []}]} if keys else {}


def _predict(keys: bool) -> dict[str, Any]:
    body = {"schema": {"$ref": _ref + "Patient"}, "example": EXAMPLE}
    example = {
        "prediction": 1,
        "confidence": 0.87,
        "probability": 0.87,
        "risk_level": "High",
        "model_version": "registry-v1",
        "engine": "onnx",
        "data_source": "uci",
        "imputed": [],
        "warnings": [],
    }
    denied = (401, 403) if keys else ()
    return {
        "operationId": "predict",
        "summary": "Score one patient",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": _ok({"$ref": _ref + "Prediction"}, example)
        | _problems(400, *denied, 408, 413, 415, 422, 503),
        **_locks(keys),
    }


def _explain(keys: bool) -> dict[str, Any]:
    body = {"schema": {"$ref": _ref + "Patient"}, "example": EXAMPLE}
    denied = (401, 403) if keys else ()
    return {
        "operationId": "explain",
        "summary": "Say how each field of one patient moved the probability",
        "description": "Takes what /predict takes, and longer.",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": _ok({"$ref": _ref + "Explanation"})
        | _problems(400, *denied, 408, 409, 413, 415, 422, 503),
        **_locks(keys),
    }


def _invocations(keys: bool) -> dict[str, Any]:
    example = {"probability": 0.18, "prediction": 0, "risk_level": "Low"}
    label = {"type": "integer", "enum": [0, 1]}
    prediction = {
        "type": "object",
        "required": list(example),
        "properties": {
            "probability": {"type": "number"},
            "prediction": label,
            "risk_level": {"type": "string"},
        },
    }
    number = {"type": ["number", "null"]}
    row = {"type": "array", "items": number, "minItems": 13, "maxItems": 13}
    record = {
        "type": "object",
        "required": [feature.name for feature in FEATURES if not feature.nullable],
        "properties": dict.fromkeys(FEATURE_NAMES, number),
    }
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "additionalProperties": False,
        "properties": {
            "columns": {"type": "array", "enum": [list(FEATURE_NAMES)]},
            "data": {"type": "array", "items": row, "minItems": 1},
            "index": {"type": "array"},
        },
    }
    records = {"type": "array", "items": record, "minItems": 1}
    rows = {"type": "array", "items": row, "minItems": 1}
    json_body = {
        "schema": {
            "oneOf": [
                _only("dataframe_split", split),
                _only("dataframe_records", records),
                _only("instances", rows),
                _only("inputs", records),
            ]
        },
        "example": {
            "dataframe_split": {"columns": list(EXAMPLE), "data": [list(EXAMPLE.values())]}
        },
    }
    header = ",".join(EXAMPLE)
    csv_body = {
        "schema": {"type": "string"},
        "example": f"{header}\n{','.join(f'{value:g}' for value in EXAMPLE.values())}\n",
    }
    answer = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": {"oneOf": [prediction, label]}}},
    }
    denied = (401, 403) if keys else ()
    return {
        "operationId": "invocations",
        "summary": "Score many patients, as MLflow's scoring server does",
        "description": (
            "Gives what `mlflow models serve` gives for the same model: probability, prediction "
            "and risk level, and 400 for a value that is impossible. Null is unknown. A model "
            "that release 0.1 registered gives classes, and its ranges are not checked."
        ),
        "requestBody": {
            "required": True,
            "content": {"application/json": json_body, "text/csv": csv_body},
        },
        "responses": _ok(answer, {"predictions": [example]})
        | _problems(400, *denied, 408, 413, 415, 503),
        **_locks(keys),
    }


def _only(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name],
        "additionalProperties": False,
        "properties": {name: dict(schema)},
    }


def _get(summary: str, schema: Mapping[str, Any], *further: int) -> dict[str, Any]:
    content = {"application/json": {"schema": dict(schema)}}
    responses = _ok(schema) | {
        str(status): {"description": _WORDS[status], "content": content} for status in further
    }
    return {"summary": summary, "responses": responses | _shed(further)}


_TEXT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}


def _alive(summary: str) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": "Alive and with a model; a line break.", "content": _TEXT},
        "404": {"description": "Alive, but there is no model yet.", "content": _TEXT},
    }
    return {"summary": summary, "responses": responses | _shed(())}


def _text(summary: str) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": summary + ".", "content": _TEXT}}
    return {"summary": summary, "responses": responses | _shed(())}


def _shed(described: tuple[int, ...]) -> dict[str, Any]:
    return {} if 503 in described else _problems(503)


def _webhook() -> dict[str, Any]:
    def header(name: str, words: str) -> dict[str, Any]:
        return {
            "in": "header",
            "name": name,
            "required": True,
            "description": words,
            "schema": {"type": "string"},
        }

    return {
        "operationId": "webhook",
        "summary": "A signed event of the registry: look at it now",
        "parameters": [
            header("X-MLflow-Delivery-Id", "Repeated deliveries are dropped."),
            header("X-MLflow-Timestamp", "Unix seconds, at most 300 old."),
            header("X-MLflow-Signature", "v1, and the base64 of the HMAC-SHA256."),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "responses": {"204": {"description": "Taken."}}
        | _problems(400, 401, 404, 408, 413, 415, 503),
    }
