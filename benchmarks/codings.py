"""How often right files are refused for their coding, and codings counted from 0 are noticed.

Run as ``python -m benchmarks.codings <heart+disease.zip> [draws]``; a thousand draws take about
ten minutes. Files without a label, drawn from a hospital's patients, are judged by what their rows
show alone; the figures go to docs/benchmarks.md. Fails where a right file of Cleveland's patients
is refused more often than once in 1,000.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from clinical.archive import open_source
from clinical.codings.definitions import CANONICAL, UCI, ZERO_BASED, Coding
from clinical.codings.evidence import count_coding_evidence
from clinical.hospitals import TITLES, TRAINING
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES

SIZES = (12, 20, 30, 60, 100, 303)
DRAWS = 1000
MOST_REFUSED = 0.001
SEED = 21


def written_in(coding: Coding, patients: pd.DataFrame) -> pd.DataFrame:
    """Return canonical patients as a coding writes them."""
    back = {name: {new: old for old, new in c.items()} for name, c in coding.codes.items()}
    return patients.assign(**{name: patients[name].map(codes) for name, codes in back.items()})


def is_refused(patients: pd.DataFrame, coding: Coding) -> bool:
    """Return whether patients would be refused if they were read in a coding."""
    columns = {name: patients[name].to_numpy(np.float64) for name in FEATURE_NAMES}
    return bool(count_coding_evidence(columns).objections(coding))


def shares(patients: pd.DataFrame, size: int, draws: int, replace: bool) -> tuple[float, ...]:
    """Return the shares of refused files: in UCI's coding, the canonical one, and from 0."""
    rng = np.random.default_rng(SEED)
    files = [(UCI, UCI), (CANONICAL, CANONICAL), (ZERO_BASED, CANONICAL)]
    written = [(written_in(coding, patients), read_as) for coding, read_as in files]
    refused = np.zeros(len(files))
    for _ in range(draws):
        rows = rng.choice(len(patients), size, replace=replace)
        refused += [is_refused(frame.iloc[rows], read_as) for frame, read_as in written]
    return tuple(refused / draws)


def measure(path: Path, draws: int) -> tuple[str, float]:
    """Return the table, and the highest share of refused files that are right, in Cleveland."""
    members, lines, worst = open_source(path), [], 0.0
    for site in TITLES:
        patients = read_patients(members[f"processed.{site}.data"], site).frame
        for size in SIZES:
            for replace in (False, True) if site == TRAINING else (True,):
                whole = size == len(patients) and not replace
                found = shares(patients, size, 1 if whole else draws, replace)
                worst = max(worst, *found[:2]) if site == TRAINING else worst
                how = "bootstrap" if replace else "subset"
                cells = " | ".join(f"{share:.1%}" for share in found)
                lines.append(f"| {site} | {how} | {size} | {cells} |")
                print(lines[-1], flush=True)
    return "\n".join(lines), worst


def main() -> int:
    """Measure, and paste the figures."""
    given = arguments(__doc__, archive=True, draws=DRAWS)
    draws = given.draws
    table, worst = measure(given.archive, draws)
    paste(
        "codings",
        f"python -m benchmarks.codings <heart+disease.zip> {draws}",
        f"""## Codings

Files without a label, {draws:,} drawn of each kind (a subset of all patients once): how many are refused because their rows speak
against the coding in which they would be read. Right files should pass; those counted from 0 are read as canonical if they do.

| patients | drawn as | rows | UCI, refused | canonical, refused | counted from 0, noticed |
|---|---|---|---|---|---|
{table}
""",  # noqa: E501
    )
    return int(worst > MOST_REFUSED)


if __name__ == "__main__":
    sys.exit(main())
