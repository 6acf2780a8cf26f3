"""The data report as a page to read: the account of preprocessing, with the distributions."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from clinical.schema import FEATURES, LABEL, Feature
from risk_model.card.wording import percent
from steps.reports import drawing
from steps.reports.pages import render

Groups = dict[int, npt.NDArray[np.float64]]
"""Values by label."""

COLOURS = {0: drawing.NO, 1: drawing.YES}
BINS = 24
REASONS = {
    "repeated": "copies of another row",
    "incomplete": "lacking a value that must be known",
    "contradictory": "the same patient with and without disease",
}


def draw(report: dict[str, Any], frame: pd.DataFrame) -> str:
    """Draw the report as one self-contained HTML page.

    ``clinical.preparation.Prepared.report`` gives every number in the text; the pictures show the
    patients kept, `frame`.
    """
    with drawing.colours(on_page=True):
        pictures = [
            {
                "feature": feature,
                "missing": report["features"][feature.name]["missing"],
                "svg": _svg(feature, frame),
            }
            for feature in FEATURES
        ]
    return render(
        "data_report.html.j2",
        title=f"Data report: {report['file']}",
        report=report,
        tiles=[
            ("rows read", f"{report['rows']['read']:,}"),
            ("patients kept", f"{report['rows']['kept']:,}"),
            ("rows dropped", f"{sum(report['dropped'].values()):,}"),
            ("with disease", _share(report["prevalence"]["all"]["share"])),
        ],
        prevalence=[
            [name, f"{part['patients']:,}", f"{part['diseased']:,}", _share(part["share"])]
            for name, part in report["prevalence"].items()
        ],
        dropped=[
            *([REASONS[key], f"{count:,}"] for key, count in report["dropped"].items()),
            *([f"lacking {name}", f"{count:,}"] for name, count in report["incomplete"].items()),
        ],
        features=[_feature(feature, report["features"][feature.name]) for feature in FEATURES],
        pictures=pictures,
    )


def _share(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else percent(share, 1)


def _feature(feature: Feature, figures: dict[str, Any]) -> list[str]:
    unit = f", {feature.unit}" if feature.unit else ""
    unknown = f"{figures['missing']:,} ({_share(figures['missing_share'])})"
    classes = (_summary(figures["by_class"][str(code)], feature) for code in LABEL.codes)
    return [f"{feature.title}{unit}", unknown, *classes]


def _summary(figures: dict[str, Any] | None, feature: Feature) -> str:
    if figures is None or (feature.codes and not sum(figures.values())):
        return _share(None)
    if not feature.codes:
        return f"{figures['median']:g} ({figures['q1']:g} to {figures['q3']:g})"
    most = max(feature.codes, key=lambda code: figures[str(code)])
    return f"{_share(figures[str(most)] / sum(figures.values()))} {feature.codes[most]}"


def _svg(feature: Feature, frame: pd.DataFrame) -> str:
    rows = frame.loc[frame[feature.name].notna(), [feature.name, LABEL.name]]
    groups = {
        label: rows.loc[rows[LABEL.name] == label, feature.name].to_numpy() for label in COLOURS
    }
    draw = partial(_bars if feature.codes else _histogram, feature=feature, groups=groups)
    return drawing.svg(feature.name, f"{feature.title} by outcome", draw, 5.8, 2.4)


def _bars(axes: Axes, feature: Feature, groups: Groups) -> None:
    places = np.arange(len(feature.codes))
    for shift, (label, values) in zip((-0.2, 0.2), groups.items(), strict=True):
        counts = np.array([(values == code).sum() for code in feature.codes])
        axes.barh(places + shift, counts / max(len(values), 1), 0.4, color=COLOURS[label])
    drawing.in_percent(axes, "x")
    axes.set_yticks(places, list(feature.codes.values()))
    axes.invert_yaxis()


def _histogram(axes: Axes, feature: Feature, groups: Groups) -> None:
    values = np.concatenate(list(groups.values()))
    low, high = (values.min(), values.max()) if len(values) else (feature.low, feature.high)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    drawing.outcomes(axes, edges, {LABEL.codes[label]: groups[label] for label in COLOURS})
    drawing.in_percent(axes, "y")
