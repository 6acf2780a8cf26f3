"""The request: a strict validator derived from FEATURES, and its error messages.

The validator is pydantic's core, called on the raw bytes: it reports every field at once, takes no
number for a boolean or a text, and no NaN. It returns plain numbers in the order of FEATURES.
"""

import json
import re
from typing import Any

from pydantic_core import ErrorDetails, SchemaValidator, ValidationError, core_schema, from_json

from clinical.schema import FEATURE_NAMES, FEATURES, Feature
from serving.errors import Problem

Values = list[float | None]
_BY_NAME = {feature.name: feature for feature in FEATURES}


def _field(feature: Feature) -> core_schema.CoreSchema:
    number = core_schema.float_schema(
        strict=True,
        allow_inf_nan=False,
        ge=feature.low,
        le=feature.high,
        multiple_of=1 if feature.codes else None,  # codes fill their range
    )
    return core_schema.nullable_schema(number) if feature.nullable else number


_validate = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            feature.name: core_schema.typed_dict_field(_field(feature), required=True)
            for feature in FEATURES
        },
        extra_behavior="forbid",
        config=core_schema.CoreConfig(hide_input_in_errors=True),
    )
).validate_json

_QUOTES = 2 * len(FEATURES)
_MOST_QUOTES = 400  # tens of thousands of fields would take a third of a second to list
_NOT_JSON = "The body is not valid JSON (RFC 8259, UTF-8)."
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w{0,39}", re.ASCII)


def read_patient(body: bytes) -> Values:
    """Return the 13 values of a request in the order of FEATURES, None where unknown.

    Raises
    ------
    Problem
        400 where the body is not JSON or names a field twice, 422 with every bad field.
    """
    quotes = body.count(b'"')
    if quotes > _MOST_QUOTES:
        raise _far_too_many(body)
    try:
        values = _validate(body, strict=True)
    except ValidationError as error:
        raise _problem(error) from None
    # A valid body holds no text but its 13 names, so that a further quote is a repeated name.
    if quotes != _QUOTES:
        raise _repeated(body)
    return list(values.values())


def _problem(error: ValidationError) -> Problem:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return Problem(400, _NOT_JSON)
    if not details[0]["loc"]:
        return _unfit("The body must be a JSON object with the 13 fields of one patient.")
    count = f"{len(details)} fields are" if len(details) > 1 else "One field is"
    message = f"{count} not valid; see errors for each of them."
    return Problem(422, message, [_field_error(detail) for detail in details])


def _far_too_many(body: bytes) -> Problem:
    try:
        from_json(body)
    except ValueError:
        return Problem(400, _NOT_JSON)
    return _unfit("The object has far more fields than the 13 of one patient.")


def _unfit(detail: str) -> Problem:
    return Problem(422, detail, [{"pointer": "", "detail": detail}])


def _field_error(detail: ErrorDetails) -> dict[str, str]:
    """Return what is wrong with a field and what is expected, never the value itself."""
    name = str(detail["loc"][0])
    feature = _BY_NAME.get(name)
    if feature is None:
        # The name is the client's own text: it is repeated only where it reads like a name.
        plain = _PLAIN_NAME.fullmatch(name)
        problem = "is not a field of a patient; there are " + ", ".join(FEATURE_NAMES) + "."
        return {
            "pointer": f"/{name}" if plain else "",
            "detail": f"'{name}' {problem}" if plain else f"A name {problem}",
        }
    problem = "is missing; it must be" if detail["type"] == "missing" else "must be"
    return {"pointer": f"/{name}", "detail": f"'{name}' {problem} {feature.allowed}."}


def _repeated(body: bytes) -> Problem:
    names = [name for name, _ in json.loads(body, object_pairs_hook=list)]
    errors = [
        {"pointer": f"/{name}", "detail": f"'{name}' is there more than once."}
        for name in FEATURE_NAMES
        if names.count(name) > 1
    ]
    return Problem(400, "The JSON object names a field more than once.", errors)


def patient_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a request."""
    return {
        "type": "object",
        "title": "Patient",
        "additionalProperties": False,
        "required": list(FEATURE_NAMES),
        "properties": {feature.name: _property(feature) for feature in FEATURES},
    }


def _property(feature: Feature) -> dict[str, Any]:
    description = f"{feature.help} {feature.allowed[0].upper()}{feature.allowed[1:]}."
    schema: dict[str, Any] = {
        "title": feature.title,
        "description": description,
        "type": ["number", "null"] if feature.nullable else "number",
        "examples": [feature.example],
    }
    if feature.codes:
        schema["enum"] = [*feature.codes, *([None] if feature.nullable else [])]
        schema["x-codes"] = {str(code): word for code, word in feature.codes.items()}
    else:
        schema |= {"minimum": feature.low, "maximum": feature.high}
    if feature.unit:
        schema["x-unit"] = feature.unit
    return schema


EXAMPLE: dict[str, float] = {feature.name: feature.example for feature in FEATURES}
