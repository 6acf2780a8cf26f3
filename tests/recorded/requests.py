"""The invented requests: every route, every way to ask it, and every way to get it wrong."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

from tests.recorded.patients import EXAMPLE, FIELDS, NAMES, Row, as_csv, patient
from tests.recorded.service import Request

JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MIB = 2**20
ROUTES = (
    "/", "/model", "/model/card.md", "/model/plots/roc.png", "/predict", "/explain", "/invocations",
    "/ping", "/health", "/version", "/ready", "/metrics", "/openapi.json", "/docs",
    "/docs/openapi-3.0.json", "/docs/swagger-ui.css", "/static/style.css", "/static/form.js",
    "/static/icon.svg", "/webhooks/mlflow", "/nothing", "/model/plots/nothing.png", "/docs/nothing",
    "/static/nothing.css", "/model/", "/%00", "/?age=54",
)  # fmt: skip
METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND")
TYPED = {name: f"{value:g}" for name, value in EXAMPLE.items()}
UNREAD = ("/metrics", "/docs/openapi-3.0.json")
"""Read apart: names and labels; another form of openapi.json."""


def routes() -> dict[str, Request]:
    """Return every route by every method that takes no body."""
    return {
        f"{method} {path}": Request(method, path)
        for path in ROUTES
        for method in METHODS
        if (method, path) not in [("GET", unread) for unread in UNREAD]
    }


def post(path: str, content: object, **headers: str) -> Request:
    return Request("POST", path, json.dumps(content).encode(), JSON | headers)


def bodies(path: str) -> dict[str, Request]:
    """Return good and bad bodies of /predict and /explain, but for single fields."""
    good = json.dumps(EXAMPLE)
    raw = {
        "empty": "",
        "empty object": "{}",
        "null": "null",
        "list": "[]",
        "text": '"age"',
        "cut off": good[:-1],
        "trailing comma": good[:-1] + ",}",
        "two objects": good + good,
        "repeated field": good[:-1] + ', "age": 50, "sex": 1}',
        "NaN": good.replace("240", "NaN"),
        "Infinity": good.replace("240", "-Infinity"),
        "1e999": good.replace("240", "1e999"),
        "byte order mark": "\ufeff" + good,
        "blanks around": f"\n {good} \n",
        "whole numbers as 54.0": good.replace("54", "54.0"),
        "further field": good[:-1] + ', "smoker": 1}',
        "further field of an odd name": good[:-1] + ', "<b>1": 1}',
        "far too many fields": json.dumps(EXAMPLE | {f"f{i}": i for i in range(500)}),
        "nested": json.dumps({"patient": EXAMPLE}),
        "unknown what may be": json.dumps(patient([None if f.nullable else f.example
                                                   for f in FIELDS])),
        "everything null": json.dumps(dict.fromkeys(NAMES)),
    }  # fmt: skip
    made = {name: Request("POST", path, text.encode(), JSON) for name, text in raw.items()}
    body = good.encode()
    return made | {
        "good": Request("POST", path, body, JSON),
        "not UTF-8": Request("POST", path, body.replace(b"age", b"\xff"), JSON),
        "UTF-16": Request("POST", path, good.encode("utf-16"), JSON),
        "text/plain": Request("POST", path, body, {"Content-Type": "text/plain"}),
        "a form": Request("POST", path, urlencode(EXAMPLE).encode(), FORM),
        "no content type": Request("POST", path, body),
        "charset utf-8": Request("POST", path, body, kind("application/json; charset=UTF-8")),
        "charset latin-1": Request("POST", path, body, kind("application/json; charset=latin-1")),
        "other parameter": Request("POST", path, body, kind("application/json; version=1")),
        "compressed": Request("POST", path, body, JSON | {"Content-Encoding": "gzip"}),
        "chunked": Request("POST", path, _chunked(body), JSON | {"Transfer-Encoding": "chunked"}),
        "too large": Request("POST", path, None, JSON, MIB + 1),
        "no length": Request("POST", path, None, JSON),
        "a request id": Request("POST", path, body, JSON | {"X-Request-ID": "a-1:2.3_4"}),
        "a bad request id": Request("POST", path, b"{", JSON | {"X-Request-ID": "a b"}),
        "a key where none is asked": Request("POST", path, body, JSON | bearer("nobody")),
    }


def kind(text: str) -> dict[str, str]:
    return {"Content-Type": text}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def single_fields(path: str) -> dict[str, Request]:
    """Return requests of which one field is missing, unknown, out of range or no number."""
    made = {}
    for field in FIELDS:
        bad: dict[str, Any] = {
            "null": None,
            "below": field.low - 1,
            "above": field.high + 1,
            "between codes": field.low + 0.5,
            "lowest": field.low,
            "highest": field.high,
            "text": str(field.example),
            "true": True,
            "list": [field.example],
        }
        for name, value in bad.items():
            made[f"{field.name} {name}"] = post(path, EXAMPLE | {field.name: value})
        rest = {name: value for name, value in EXAMPLE.items() if name != field.name}
        made[f"{field.name} missing"] = post(path, rest)
    return made


def invocations(rows: list[Row]) -> dict[str, Request]:
    """Return the formats of MLflow's scoring protocol, and bad ones."""
    path, few = "/invocations", rows[:20]
    records = [patient(row) for row in few]
    columns = {name: [row[i] for row in few] for i, name in enumerate(NAMES)}
    split = {"columns": NAMES, "data": few}
    good = {
        "dataframe_split": {"dataframe_split": split},
        "with an index": {"dataframe_split": split | {"index": list(range(20))}},
        "other order": {
            "dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in few]}
        },
        "further column": {
            "dataframe_split": {"columns": [*NAMES, "x"], "data": [[*row, 1] for row in few]}
        },
        "dataframe_records": {"dataframe_records": records},
        "record without what may be unknown": {
            "dataframe_records": [records[1], {n: records[1][n] for n in NAMES if n != "ca"}]
        },
        "instances": {"instances": records},
        "instances as rows": {"instances": few},
        "inputs": {"inputs": columns},
        "inputs as records": {"inputs": records},
        "inputs of one patient": {"inputs": patient(rows[1])},
        "with params": {"dataframe_records": records, "params": {"x": 1}},
        "split without columns": {"dataframe_split": {"data": few}},
        "out of range": {"dataframe_records": [EXAMPLE | {"age": 987}]},
    }
    bad = {
        "no format": {"rows": few},
        "two formats": {"instances": records, "inputs": records},
        "split without data": {"dataframe_split": {"columns": NAMES}},
        "a column missing": {"dataframe_split": {"columns": NAMES[1:],
                                                 "data": [row[1:] for row in few]}},
        "a column twice": {"dataframe_split": {"columns": [*NAMES, "age"],
                                               "data": [[*row, 1] for row in few]}},
        "a ragged row": {"dataframe_split": {"columns": NAMES, "data": [few[0], few[1][1:]]}},
        "columns of other lengths": {"inputs": columns | {"age": [54]}},
        "text": {"dataframe_records": [EXAMPLE | {"age": "54"}]},
        "no rows": {"dataframe_records": []},
        "too large a number": {"dataframe_records": [EXAMPLE | {"chol": 1e300}]},
        "a list": few,
    }  # fmt: skip
    text = as_csv(few, NAMES)
    raw = {
        "CSV": text,
        "CSV of CR LF": text.replace("\n", "\r\n"),
        "CSV in other order": as_csv([row[::-1] for row in few], NAMES[::-1]),
        "CSV of many": as_csv(rows * 4, NAMES),
        "CSV with words": as_csv([["old", *few[1][1:]]], NAMES),
        "CSV without a column": as_csv([row[1:] for row in few], NAMES[1:]),
        "CSV with a ragged line": text + "1,2\n",
        "CSV without rows": ",".join(NAMES),
        "CSV that is empty": "",
    }
    return (
        {name: post(path, content) for name, content in (good | bad).items()}
        | {name: Request("POST", path, body.encode(), CSV) for name, body in raw.items()}
        | {
            "malformed": Request("POST", path, b'{"inputs":', JSON),
            "Parquet": Request("POST", path, b"PAR1", kind("application/vnd.apache.parquet")),
            "no content type": Request("POST", path, text.encode()),
            "not UTF-8": Request("POST", path, b"\xff\xfe", CSV),
            "too large": Request("POST", path, None, CSV, 32 * MIB + 1),
        }
    )


def forms() -> dict[str, Request]:
    """Return the form as the page lets a person send it."""
    open_ = {field.name: "unknown" if field.coded else "" for field in FIELDS if field.nullable}
    filled = {
        "the example": TYPED,
        "a patient at risk": TYPED | {"cp": "0", "exang": "1", "oldpeak": "2,5", "ca": "2",
                                        "thal": "3", "thalach": "110"},
        "what may be unknown": TYPED | open_,
        "blanks around": {name: f" {text} " for name, text in TYPED.items()},
        "everything empty": dict.fromkeys(NAMES, ""),
        "out of range": TYPED | {"age": "111", "chol": "12", "oldpeak": "-9"},
        "no numbers": TYPED | {"age": "old", "trestbps": "1_20", "thalach": "nan"},
        "codes that are none": TYPED | {"cp": "7", "thal": "0"},
        "unknown what must be known": TYPED | {"sex": "unknown", "age": "unknown"},
        "nothing": {},
        "a further field": TYPED | {"smoker": "1"},
    }  # fmt: skip
    made = {
        name: Request("POST", "/", urlencode(fields).encode(), FORM)
        for name, fields in filled.items()
    }
    parts = "".join(
        f'--part\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in TYPED.items()
    )
    multipart = kind("multipart/form-data; boundary=part")
    return made | {
        "multipart": Request("POST", "/", f"{parts}--part--\r\n".encode(), multipart),
        "as JSON": post("/", EXAMPLE),
        "too large": Request("POST", "/", b"age=" + b"5" * MIB, FORM),
    }


def keyed(key: str) -> dict[str, Request]:
    """Return requests to a service that asks for a key."""
    asked = {"without a key": {}, "a wrong key": bearer("x" * 20), "the key": bearer(key)}
    made = {
        f"{path}, {name}": post(path, content, **headers)
        for path, content in (("/predict", EXAMPLE), ("/explain", EXAMPLE),
                              ("/invocations", {"inputs": EXAMPLE}))
        for name, headers in asked.items()
    }  # fmt: skip
    made["another scheme"] = post("/predict", EXAMPLE, Authorization=f"Basic {key}")
    made["the page"] = Request("GET", "/")
    for name, text in {"without a key": "", "a wrong key": "x" * 20, "the key": key}.items():
        fields = urlencode(TYPED | {"key": text}).encode()
        made[f"the form, {name}"] = Request("POST", "/", fields, FORM)
    return made | {
        "a body over the limit that is set": post("/predict", {"x": "y" * 2048}, **bearer(key)),
        "a body that does not come": Request("POST", "/predict", b"{", JSON | bearer(key), 200),
        "open: /ready": Request("GET", "/ready"),
        "open: /openapi.json": Request("GET", "/openapi.json"),
    }


def webhooks(secret: str) -> dict[str, Request]:
    """Return deliveries of MLflow's webhooks, in this order."""
    body, now = b'{"entity": "model_version_alias"}', int(time.time())
    return {
        "signed": _delivery(secret, "1", now, body),
        "signed, again": _delivery(secret, "1", now, body),
        "signed with another secret": _delivery("another", "2", now, body),
        "of yesterday": _delivery(secret, "3", now - 86_400, body),
        "not signed": Request("POST", "/webhooks/mlflow", body, JSON),
    }


def _delivery(secret: str, name: str, at: int, body: bytes) -> Request:
    text = f"{name}.{at}.".encode() + body
    digest = base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()
    headers = {
        "X-MLflow-Delivery-Id": name,
        "X-MLflow-Timestamp": str(at),
        "X-MLflow-Signature": f"v1,{digest}",
    }
    return Request("POST", "/webhooks/mlflow", body, JSON | headers)
