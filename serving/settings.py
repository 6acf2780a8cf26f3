"""The configuration of the service: one table, read from the environment or from a mapping.

Values are cast when they are read, so that a mistake is answered at the start and by name. The
table is what docs/settings.md is made from.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from clinical.numbers import read_float, read_int

STATE_FOLDER = "_HEART_STATE_DIR"
"""The variable by which gunicorn passes the folder of this service to its workers."""

Settings = Mapping[str, Any]
"""Values by the names of SETTINGS: what `read_settings` returns."""


class SettingError(ValueError):
    """Settings cannot be used; each line of the message says why for one of them."""


class Setting(NamedTuple):
    """One thing that can be configured."""

    name: str  # the environment variable, and the key in create_app(config)
    default: str  # its text where nothing is given
    read: Callable[[str], Any]  # returns the value of a text, or raises what is allowed: ValueError
    help: str  # for the operator of the service
    secret: bool = False  # whether the value may never be shown
    may_be_empty: bool = False  # whether an empty text is a value; else it counts as not given


def _within(
    read: Callable[[str], float], noun: str, low: float, high: float
) -> Callable[[str], float]:
    def checked(text: str) -> float:
        try:
            value = read(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"{noun} in [{low:g}, {high:g}]")
        return value

    return checked


_integer = partial(_within, read_int, "an integer")
_number = partial(_within, read_float, "a number")


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return read


def _host(text: str) -> str:
    kind, _, path = text.partition(":")
    is_socket = kind == "unix" and 0 < len(os.fsencode(path)) <= _LONGEST_SOCKET
    if not is_socket and (kind in ("unix", "fd") or not re.fullmatch(r"[\w.:%\[\]-]+", text)):
        raise ValueError(f"a name, an address, or unix: and a path of {_LONGEST_SOCKET} bytes")
    return text


def _port(text: str) -> Any:
    # What Kubernetes sets for a service that is named heart; not meant for us.
    return _integer(0, 65535)("8000" if text.startswith("tcp://") else text)


def _root_path(text: str) -> str:
    path = text.rstrip("/")
    if path and not (path.startswith("/") and path.isascii() and path.isprintable()):
        raise ValueError("a path that starts with /")
    return path


def _yes_or_no(text: str) -> bool | None:
    values = {"": None, "true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise ValueError("true, false or empty")
    return values[text.lower()]


def _keys(text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if any(len(key) < 16 or not key.isascii() for key in keys):
        raise ValueError("keys of at least 16 ASCII characters, separated by commas")
    return keys


MIB = 2**20
_LONGEST_SOCKET = 107  # what Linux takes

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "HEART_HOST", "127.0.0.1", _host,
        "Address to listen on, such as 0.0.0.0, ::1, or unix: and the path of a socket.",
    ),
    Setting(
        "HEART_PORT", "8000", _port,
        "Port to listen on. tcp://..., which Kubernetes sets for a service named heart, counts as "
        "none.",
    ),
    Setting(
        "HEART_ROOT_PATH", "", _root_path,
        "The path below which a proxy shows the service, such as /heart; whether the proxy takes "
        "it off or not. SCRIPT_NAME and gunicorn's --root-path say the same.",
    ),
    Setting(
        "HEART_WORKERS", "2", _integer(1, 256),
        "Worker processes.",
    ),
    Setting(
        "MODEL_URI", "", str,
        "Serve this and nothing else: models:/heart-disease-model/1, .../Production, @champion, "
        "runs:/<id>/random_forest_model, or a path. Empty: follow the registry.",
    ),
    Setting(
        "HEART_MODEL_NAME", "heart-disease-model", str,
        "The registered model to follow.",
    ),
    Setting(
        "MLFLOW_EXPERIMENT_NAME", "Heart Disease Prediction", str,
        "Where the latest train run is looked for when the registry has no version to serve.",
    ),
    Setting(
        "HEART_LOCAL_MODEL", "models/model.pkl", str,
        "The last resort: a joblib file with its SHA-256 in a .sha256 file beside it. It is taken "
        "only where these files and their folder belong to this user or root and nobody else may "
        "write them.",
    ),
    Setting(
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "", _yes_or_no,
        "Whether pickles are loaded, which run whatever code they hold. Empty: HEART_LOCAL_MODEL "
        "alone. true: models of the registry too. false: none. Models in skops format are none: "
        "they are held to a list of reviewed types, and served whatever this says. `evaluate`, "
        "`score` and the gate read it too.",
    ),
    Setting(
        "HEART_POLL_SECONDS", "2", _number(0.1, 3600),
        "How often the registry is asked.",
    ),
    Setting(
        "HEART_START_SECONDS", "15", _number(0, 600),
        "How long the first answer of the registry is awaited before the last model that this host "
        "served is taken. A new generation (USR2) takes connections once that is settled.",
    ),
    Setting(
        "HEART_CACHED_MODELS", "5", _integer(1, 1000),
        "How many models the disk cache keeps, besides those that are served.",
    ),
    Setting(
        "HEART_CHECK_SECONDS", "60", _number(1, 3600),
        "How long a model may take to load and to answer its references and 10,000 made-up "
        "patients; one that takes longer is refused.",
    ),
    Setting(
        "HEART_PATIENT_SECONDS", "0.25", _number(0.0001, 60),
        "How long a model may take for one patient (median of 5); one that takes longer is "
        "refused.",
    ),
    Setting(
        "HEART_API_KEYS", "", _keys,
        "Keys of at least 16 characters, separated by commas; when given, predictions need one as "
        "a Bearer token.",
        secret=True,
    ),
    Setting(
        "HEART_KEYS_FOR", "predictions", _one_of("predictions", "everything"),
        "What HEART_API_KEYS protect: predictions, or everything: then /model, /docs, "
        "/openapi.json and /metrics need a key too, and /ready says without one only whether there "
        "is a model.",
    ),
    Setting(
        "HEART_WEBHOOK_SECRET", "", str,
        "The secret of the MLflow webhooks; empty: POST /webhooks/mlflow answers 404.",
        secret=True,
    ),
    Setting(
        "HEART_MAX_CONTENT_LENGTH", str(MIB), _integer(256, 2**31),
        "Largest request body in bytes.",
    ),
    Setting(
        "HEART_MAX_BATCH_LENGTH", str(32 * MIB), _integer(256, 2**31),
        "Largest body of /invocations in bytes.",
    ),
    Setting(
        "HEART_BODY_SECONDS", "10", _number(0.1, 600),
        "How long a client may take to send a body.",
    ),
    Setting(
        "HEART_SEND_SECONDS", "30", _number(0.1, 600),
        "How long a client may take to receive each MiB of an answer.",
    ),
    Setting(
        "HEART_MAX_CONCURRENCY", "2048", _integer(1, 100_000),
        "Requests that one worker holds at once; further ones get 503.",
    ),
    Setting(
        "HEART_ACCESS_LOG", "-", str,
        "Where the line for each request goes: - (standard output), a file, or empty for nowhere.",
        may_be_empty=True,
    ),
    Setting(
        "HEART_PREDICTION_LOG", "off", _one_of("off", "profile", "rows"),
        "What is kept of predictions for `monitor`: nothing, counts by bin (profile), or each "
        "patient's findings with the answer (rows): see docs/monitoring.md for who may read them.",
    ),
    Setting(
        "HEART_PREDICTION_LOG_DIR", "", str,
        "The folder of that log; empty: heart-disease-model/predictions in $XDG_STATE_HOME or "
        "~/.local/state.",
    ),
    Setting(
        "HEART_PREDICTION_LOG_DAYS", "90", _integer(1, 36_500),
        "After how many days it is deleted.",
    ),
    Setting(
        "HEART_SHADOW", "0", _number(0, 1),
        "The share of patients about whom the alias challenger is asked too, after the answer.",
    ),
)  # fmt: skip


def read_settings(
    config: Settings | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Read every setting: from `config` first, then the environment, then its default.

    Texts are cast, other values taken as they are; names that are not in SETTINGS are handed
    through (Flask's own, such as TESTING).

    Raises
    ------
    SettingError
        With a line for each text that is not allowed.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = dict(config or {})
    problems = []
    for setting in SETTINGS:
        given = values.get(setting.name, environ.get(setting.name, setting.default))
        if given == "" and not setting.may_be_empty:
            given = setting.default
        try:
            values[setting.name] = setting.read(given) if isinstance(given, str) else given
        except ValueError as error:
            actual = "" if setting.secret else f" Got {given!r} instead."
            problems.append(f"{setting.name} must be {error}.{actual}")
    if problems:
        raise SettingError("\n".join(problems))
    return values


def cache_home() -> Path:
    """Return the folder in which this project may keep files of its own."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "heart-disease-model"
