"""The kinds of values that parameters take: each turns a text into a value, or says what it wants.

The ValueError of a kind completes the sentence "'name' must be ...".
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clinical.numbers import read_float, read_int
from risk_model.locations import file_path

NUMBER_NAMES = {int: "an integer", float: "a number"}
RUN_ID = re.compile(r"[0-9a-f]{32}")
DIGEST = re.compile(r"sha256=[0-9a-fA-F]{64}")
MODEL_URI = re.compile(
    r"models:/[^/@\s]+((/|@)[^/@\s]+)?|runs:/[0-9a-f]{32}/\S+|(s3|gs|wasbs?|https?|mlflow-artifacts)://\S+"
)
SCHEDULER = re.compile(r"(tcp|tls)://([0-9A-Za-z.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")
STAGES = {"Staging": "challenger", "Production": "champion", "Archived": "archived"}


@dataclass(frozen=True)
class Number:
    """A number in a closed range."""

    type: type[int] | type[float]
    low: float
    high: float

    def __call__(self, text: str) -> int | float:
        """Return the number."""
        try:
            value = read_int(text) if self.type is int else read_float(text)
        except ValueError:
            value = None
        if value is None or not self.low <= value <= self.high:
            raise ValueError(f"{NUMBER_NAMES[self.type]} in [{self.low}, {self.high}]")
        return value


@dataclass(frozen=True)
class OneOf:
    """One of some names."""

    allowed: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """Return the name."""
        if text not in self.allowed:
            raise ValueError("one of " + ", ".join(self.allowed))
        return text


@dataclass(frozen=True)
class SomeOf:
    """Some names, each of them once, separated by commas."""

    allowed: tuple[str, ...]

    def __call__(self, text: str) -> tuple[str, ...]:
        """Return the names."""
        names = tuple(text.split(","))
        if not set(names) <= set(self.allowed) or len(set(names)) < len(names):
            raise ValueError("one or more, separated by commas, of " + ", ".join(self.allowed))
        return names


def flag(text: str) -> bool:
    """Return whether something is wanted."""
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def source(text: str) -> str:
    """Return where patients' data comes from; a path is absolute."""
    if text in ("auto", "uci", "sample"):
        return text
    try:
        path = file_path(text)
        if path is None and _is_web_address(text):
            return text
    except ValueError:  # not a host, or not a port
        path = None
    if path is None or not os.path.isfile(path):
        raise ValueError("auto, uci, sample, an existing file, or a file/http(s) URL")
    # A step may run in another directory than the user's: a path is made absolute once, here.
    return str(path.resolve())


def _is_web_address(text: str) -> bool:
    parts = urlsplit(text)
    # Whoever states a digest wants it checked: one that cannot be must not pass for no digest.
    stated = not parts.fragment.startswith("sha256=") or DIGEST.fullmatch(parts.fragment)
    is_web = parts.scheme in ("http", "https")
    return bool(is_web and parts.hostname and parts.port != 0 and stated)


def run_id(text: str) -> str:
    """Return the id of a run; empty for the latest."""
    if text and not RUN_ID.fullmatch(text):
        raise ValueError("empty (the latest), or a run id of 32 hexadecimal digits")
    return text


def data(text: str) -> str:
    """Return the id of a run, or an absolute path; empty for the latest run."""
    if not text or RUN_ID.fullmatch(text):
        return text
    path = os.path.expanduser(text)
    if not os.path.isfile(path):
        raise ValueError("empty (the latest), a run id, or an existing file")
    return str(Path(path).resolve())


def model_name(text: str) -> str:
    """Return the name of a registered model."""
    if not re.fullmatch(r"[^/:%\"'\s]+", text):
        raise ValueError("a registered model name without blanks, quotes, slashes, colons")
    return text


def model_uri(text: str) -> str:
    """Return MLflow's URI of a model, or the absolute path of its folder."""
    if MODEL_URI.fullmatch(text):
        return text
    path = file_path(text) if text else None
    if path is None or not (path / "MLmodel").is_file():
        raise ValueError(
            "models:/<name>@<alias>, models:/<name>/<version>, models:/m-<id>, "
            "runs:/<run id>/<name>, or the folder of a model"
        )
    return str(path.resolve())


def version(text: str) -> str:
    """Return the number of a model version as MLflow writes it; empty for none."""
    if text and not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise ValueError("the number of a version, such as 3")
    return text.lstrip("0")


def target(text: str) -> str:
    """Return the alias that an alias or a stage stands for."""
    value = STAGES.get(text.capitalize(), text)
    if value not in STAGES.values():
        raise ValueError("one of " + ", ".join((*STAGES.values(), *STAGES)))
    return value


def input_path(text: str) -> str:
    """Return a URL, or an absolute path that may be a glob; whether it exists is not asked."""
    path = file_path(text) if text.startswith("file:") or "://" not in text else None
    # A step may run in another directory than the user's: a path is made absolute once, here.
    return os.path.abspath(path) if text and path else text


def _absolute(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text)) if text else ""


def file(text: str) -> str:
    """Return the absolute path of a file; empty for none."""
    path = _absolute(text)
    if path and not os.path.isfile(path):
        raise ValueError("empty (none), or an existing file")
    return path


def log_folder(text: str) -> str:
    """Return the absolute path of a folder; empty for the default one."""
    path = _absolute(text)
    if path and not os.path.isdir(path):
        raise ValueError("empty (the service's own), or an existing folder")
    return path


def replaced_path(text: str) -> str:
    """Return the absolute path of a file that is made or replaced; empty for none."""
    path = _absolute(text)
    if path and (os.path.isdir(path) or not os.path.isdir(os.path.dirname(path))):
        raise ValueError("empty (none), or a file in an existing folder")
    return path


def output_path(text: str) -> str:
    """Return the absolute path of what is to be made."""
    path = _absolute(text)
    if "://" in text or (path and os.path.lexists(path)):
        raise ValueError("a path on this machine where nothing is: an output is not overwritten")
    return path


def scheduler(text: str) -> str:
    """Return the address of a Dask scheduler; empty for a cluster of this machine."""
    if text and not SCHEDULER.fullmatch(text):
        raise ValueError("empty (this machine), or the address of a scheduler: tcp://host:8786")
    return text


def host(text: str) -> str:
    """Return an address or a host name to listen on."""
    if not re.fullmatch(r"[0-9A-Za-z.:\[\]-]+", text):
        raise ValueError("an address or a host name, such as 127.0.0.1")
    return text
