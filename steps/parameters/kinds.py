"""The kinds of values that parameters take: each parses a text, or raises what it expects.

The ValueError of a kind completes the sentence "'name' must be ...".
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clinical.numbers import read_float, read_int
from risk_model.locations import file_path

RUN_ID = re.compile(r"[0-9a-f]{32}")
DIGEST = re.compile(r"sha256=[0-9a-fA-F]{64}")
MODEL_URI = re.compile(
    r"models:/[^/@\s]+((/|@)[^/@\s]+)?|runs:/[0-9a-f]{32}/\S+|(s3|gs|wasbs?|https?|mlflow-artifacts)://\S+"
)
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
            name = "an integer" if self.type is int else "a number"
            raise ValueError(f"{name} in [{self.low}, {self.high}]")
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


@dataclass(frozen=True)
class Text:
    """A text that matches a regular expression, its `form`."""

    form: str
    description: str

    def __call__(self, text: str) -> str:
        """Return the text."""
        if not re.fullmatch(self.form, text):
            raise ValueError(self.description)
        return text


run_id = Text("([0-9a-f]{32})?", "empty (the latest), or a run id of 32 hexadecimal digits")
model_name = Text(
    r"[^/:%\"'\s]+", "a registered model name without blanks, quotes, slashes, colons"
)
scheduler = Text(
    r"((tcp|tls)://([0-9A-Za-z.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5})?",
    "empty (this machine), or the address of a scheduler: tcp://host:8786",
)
host = Text(r"[0-9A-Za-z.:\[\]-]+", "an address or a host name, such as 127.0.0.1")


def flag(text: str) -> bool:
    """Return a text as true or false."""
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
    # A digest is there to be checked: a malformed one must not pass for none.
    is_checkable = not parts.fragment.startswith("sha256=") or DIGEST.fullmatch(parts.fragment)
    is_web = parts.scheme in ("http", "https")
    return bool(is_web and parts.hostname and parts.port != 0 and is_checkable)


def data(text: str) -> str:
    """Return the id of a run, or an absolute path; empty for the latest run."""
    if not text or RUN_ID.fullmatch(text):
        return text
    path = os.path.expanduser(text)
    if not os.path.isfile(path):
        raise ValueError("empty (the latest), a run id, or an existing file")
    return str(Path(path).resolve())


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
    """Return the alias for an alias or a stage."""
    value = STAGES.get(text.capitalize(), text)
    if value not in STAGES.values():
        raise ValueError("one of " + ", ".join((*STAGES.values(), *STAGES)))
    return value


def input_path(text: str) -> str:
    """Return a URL, or an absolute path that may be a glob; it need not exist."""
    if not text:
        raise ValueError("a CSV or Parquet file, a folder, a glob or a URL")
    path = file_path(text) if text.startswith("file:") or "://" not in text else None
    # A step may run in another directory than the user's: a path is made absolute once, here.
    return os.path.abspath(path) if path else text


@dataclass(frozen=True)
class AbsolutePath:
    """A path, made absolute, where it is allowed; empty for none."""

    allowed: Callable[[str], bool]
    description: str

    def __call__(self, text: str) -> str:
        """Return the path."""
        path = os.path.abspath(os.path.expanduser(text)) if text else ""
        if path and not self.allowed(path):
            raise ValueError(self.description)
        return path


def _may_be_made(path: str) -> bool:
    return os.path.isdir(os.path.dirname(path)) and not os.path.isdir(path)


file = AbsolutePath(os.path.isfile, "empty (none), or an existing file")
log_folder = AbsolutePath(os.path.isdir, "empty (the service's own), or an existing folder")
replaced_path = AbsolutePath(_may_be_made, "empty (none), or a file in an existing folder")


def output_path(text: str) -> str:
    """Return the absolute path of what is to be made."""
    path = os.path.abspath(os.path.expanduser(text))
    if not text or "://" in text or os.path.lexists(path):
        raise ValueError("a path on this machine where nothing is: an output is not overwritten")
    return path
