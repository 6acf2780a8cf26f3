"""Where patients' data comes from: the UCI archive, a URL, or the synthetic sample."""

import os
from threading import Thread

import requests
from urllib3.exceptions import HTTPError

from risk_model.locations import file_path
from steps.runs.downloads import read_cached, stated_digest
from steps.runs.files import sha256

UCI_URL = "https://archive.ics.uci.edu/static/public/45/heart+disease.zip"
UCI_DIGEST = "b17cd273da9ce1caa4710fce80227ea454d4dbf9fcbc8e6a9121672751563adc"
ANSWER_SECONDS = 3


def uci_url() -> str:
    """Return the address of the UCI archive; HEART_UCI_URL names a mirror of the same file."""
    return os.environ.get("HEART_UCI_URL") or UCI_URL


def resolve_auto(source: str) -> str:
    """Return the source that ``auto`` means now: uci, or sample where UCI is out of reach."""
    if source != "auto":
        return source
    return "uci" if read_cached(UCI_DIGEST) or _answers(uci_url(), ANSWER_SECONDS) else "sample"


def _answers(url: str, seconds: float) -> bool:
    """Return within seconds whether a server answers, a name server that hangs included."""
    answers = []

    def ask() -> None:
        try:
            answers.append(requests.head(url, timeout=seconds))
        except (requests.RequestException, HTTPError):
            return

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds + 1)
    return bool(answers)


def source_digest(source: str) -> str | None:
    """Return the SHA-256 of a source's content; None for a URL that does not state it."""
    if source == "sample":  # its figures lie beside the code, and are part of every key
        return source
    if source == "uci":
        return UCI_DIGEST
    path = file_path(source)
    return stated_digest(source) if path is None else sha256(path)
