"""The geometry of the card's pictures: axes, and curves as paths of an SVG."""

import math
from typing import NamedTuple


class Scale(NamedTuple):
    """The axis of a forest plot, with the value to compare with; a ratio's is logarithmic."""

    low: float
    high: float
    mark: float | None = None
    ratio: bool = False

    def place(self, value: float) -> float:
        """Return where on the axis a value stands, from 0 to 100; what is beyond is at the end."""
        low, high, value = (
            (math.log(max(v, 1e-9)) if self.ratio else v) for v in (self.low, self.high, value)
        )
        return 100 * min(1.0, max(0.0, (value - low) / (high - low)))


SCALES = {
    "roc_auc": Scale(0.5, 1),
    "observed_expected": Scale(0.5, 2, 1, ratio=True),
    "share": Scale(0, 1),
}


class Line(NamedTuple):
    """A curve as paths of an SVG, in a picture of 100 by 100: the line, and its interval."""

    curve: str
    interval: str


def line(curve: dict[str, list[float]], scale: Scale) -> Line:
    """Return a curve up to where it falls below the scale."""
    end = next((i for i, y in enumerate(curve["middle"]) if y < scale.low), len(curve["x"]))

    def points(name: str) -> list[str]:
        placed = zip(curve["x"][:end], curve[name], strict=False)
        return [f"{100 * x:.2f} {100 - scale.place(y):.2f}" for x, y in placed]

    around = points("high") + points("low")[::-1]
    return Line("M" + " L".join(points("middle")), "M" + " L".join(around) + "Z")


def decision_scale(curves: dict[str, dict[str, list[float]]]) -> Scale:
    """Return the axis of net benefit, up to the end of the highest interval."""
    return Scale(-0.05, max(max(curve["high"]) for curve in curves.values()))
