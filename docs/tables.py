"""The tables of these pages that are drawn from the code: ``python -m docs.tables``.

``settings.md`` from the service's settings, ``schema.md`` from FEATURES, and the parameters in
``pipeline.md`` from those of the entry points. Tests hold the pages to them.
"""

from __future__ import annotations

import re
from pathlib import Path

from clinical.schema import FEATURES, LABEL, Feature
from serving.settings import SETTINGS
from steps.parameters.declaration import parameters_of
from steps.parameters.entry_points import ENTRY_POINTS

DOCS = Path(__file__).parent
PIPELINE, SCHEMA, SETTINGS_PAGE = (
    DOCS / f"{name}.md" for name in ("pipeline", "schema", "settings")
)
_START, _END = "<!-- parameters -->", "<!-- /parameters -->"


def _row(name: str, default: str, text: str) -> str:
    return f"| `{name}` | {f'`{default}`' if default else ''} | {text} |"


def settings() -> str:
    """Return the page of the service's settings."""
    rows = [_row(setting.name, setting.default, setting.help) for setting in SETTINGS]
    lines = [
        "# Settings of the service",
        "",
        "Environment variables, read when the service starts. `MLFLOW_TRACKING_URI` and MLflow's",
        "other variables name the store, as everywhere.",
        "",
        "| setting | default | |",
        "|---|---|---|",
        *rows,
        "",
        "This table is made by `python -m docs.tables`.",
    ]
    return "\n".join(lines) + "\n"


def schema() -> str:
    """Return the page of what the data means."""
    rows = [
        f"| `{f.name}` | {f.title} | {f.group} | {_valid(f)} | {'yes' if f.nullable else 'no'} "
        f"| {f.help} |"
        for f in FEATURES
    ]
    lines = [
        "# What the data means",
        "",
        "Generated from `FEATURES` in `clinical/schema.py` by `python -m docs.tables`; a test",
        "holds this page to it. The coding is the canonical one, which the API, the form and the",
        "model speak; `clinical/patients.py` brings files of other codings to it.",
        "",
        "| name | title | group | valid | may be unknown | meaning |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"The label is `{LABEL.name}` ({LABEL.title.lower()}): {LABEL.definition}.",
    ]
    return "\n".join(lines) + "\n"


def _valid(feature: Feature) -> str:
    if feature.codes:
        return "<br>".join(f"{code} = {word}" for code, word in feature.codes.items())
    return f"{feature.low:g} to {feature.high:g} {feature.unit}".rstrip()


def parameters() -> str:
    """Return the tables of the entry points' parameters."""
    tables = []
    for step, entry in ENTRY_POINTS.items():
        declared = parameters_of(entry).items()
        rows = [_row(name, each.default, each.help) for name, each in declared]
        head = ["| parameter | default | |", "|---|---|---|"]
        tables.append("\n".join([f"### `{step}`", "", *head, *rows]))
    return "\n\n".join(tables)


def pipeline(page: str) -> str:
    """Return the page of the pipeline with these tables in their place."""
    block = f"{_START}\n{parameters()}\n\nThese tables are made by `python -m docs.tables`.\n{_END}"
    return re.sub(f"{_START}.*?{_END}", lambda _: block, page, flags=re.DOTALL)


def main() -> None:
    """Write the pages."""
    SCHEMA.write_text(schema(), encoding="utf-8")
    SETTINGS_PAGE.write_text(settings(), encoding="utf-8")
    PIPELINE.write_text(pipeline(PIPELINE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
