"""The verdict on a model: from drift, and from how it turned out, to one word and one line."""

from typing import Any, NamedTuple

from risk_model.card.wording import MEASURES
from risk_model.prediction_log.records import PROBABILITY
from steps.monitoring.drift import Drift

OK, WARNING, ALARM, INSUFFICIENT = "ok", "warning", "alarm", "insufficient"
FEWEST = {"rows": 50, "profile": 500}
"""With fewer patients than this, drift is not judged; by the kind of the log.

A profile lacks up to four patients in each bin for each worker, which has yet to write them.
"""
NAMED = 3
"""How many features the reason names; the others it counts."""


class Verdict(NamedTuple):
    """What is to be thought of a model, and why, in one line."""

    word: str
    reason: str

    def is_at_least(self, word: str) -> bool:
        """Return whether it is as bad as a word, warning or alarm, or worse."""
        return self.word in (word, ALARM) and self.word in (WARNING, ALARM)


def judge(
    rows: int, kind: str, drifts: dict[str, Drift] | None, judged: list[dict[str, Any]]
) -> Verdict:
    """Return the verdict on a model.

    So many `rows` were scored, and the log is of the `kind` rows or profile. `drifts` are by
    variable, None where there is no baseline; `judged` are by `calibration.judge`, none without
    enough outcomes.
    """
    fewest = FEWEST[kind]
    beyond = {name: one for name, one in (drifts or {}).items() if one.detected and rows >= fewest}
    grave = {name: one for name, one in beyond.items() if one.matters}
    left = [_left(one) for one in judged if one["left"]]
    if grave or left:
        return Verdict(ALARM, "; ".join([*left, *_drifted(grave)]))
    if beyond:
        reason = "; ".join(_drifted(beyond))
        return Verdict(WARNING, f"beyond chance, of a size that hardly matters: {reason}")
    calibrated = "calibration is what the card states" if judged else "too few outcomes are known"
    if rows < fewest:
        return Verdict(INSUFFICIENT, f"fewer than {fewest} patients were scored; {calibrated}")
    if drifts is None:
        return Verdict(INSUFFICIENT, f"there is no baseline to compare with; {calibrated}")
    return Verdict(OK, f"no drift beyond chance; {calibrated}")


def _drifted(drifts: dict[str, Drift]) -> list[str]:
    """Return descriptions of the drift: the features that drift most, and the probability."""
    features = sorted(drifts.keys() - {PROBABILITY}, key=lambda name: -drifts[name].psi)
    named = [f"{name} (PSI {drifts[name].psi:.2f})" for name in features[:NAMED]]
    more = f" and {len(features) - NAMED} more" if len(features) > NAMED else ""
    reasons = [f"data drift of {', '.join(named)}{more}"] if named else []
    if PROBABILITY in drifts:
        reasons.append(f"prediction drift (PSI {drifts[PROBABILITY].psi:.2f})")
    return reasons


def _left(one: dict[str, Any]) -> str:
    measure = MEASURES[one["name"]]
    return f"{measure} is {one['value']:.2f}, the card states {one['stated']:.2f}"
