"""Which coding a file is in: by its label, its codes and what its rows show; else refused."""

from clinical.codings.definitions import (
    BY_LABEL,
    CANONICAL,
    CODINGS,
    HEART_CSV,
    UCI,
    ZERO_BASED,
    Coding,
    offer,
)
from clinical.codings.evidence import TELLING, Evidence, require_coding
from clinical.errors import DataError


def recognise(evidence: Evidence, label: str | None, label_is_named: bool = True) -> Coding:
    """Return the coding of a file from which something will be learnt.

    A file whose label no header names is UCI's.

    Raises a `DataError` where nothing decides, label and codes contradict each other, or the rows
    do not show the known associations if they are read in this coding.
    """
    if label is None:
        if (by_rows := coding_of_rows(evidence)) is None:
            raise _too_small()
        return by_rows
    coding, by_codes = BY_LABEL[label], evidence.coding
    if by_codes and not evidence.mixed and not by_codes.same_features(coding):
        raise DataError(_contradiction(coding, label if label_is_named else None))
    require_no_objections(evidence, coding)
    return coding


def _too_small() -> DataError:
    return DataError(
        "it is too small to tell its coding: it has no label, and no code in "
        f"{', '.join(TELLING)} that only one coding has.\n  {offer(UCI, CANONICAL, ZERO_BASED)}"
    )


def coding_of_rows(evidence: Evidence, label: str | None = None) -> Coding | None:
    """Return the coding by the codes; None where none decides.

    A label decides where no code does, and counts for nothing else.

    Raises a `DataError` where the rows are in several codings, or contradict that of their
    codes.
    """
    if evidence.mixed:
        raise DataError(
            f"its rows are not all in one coding: the codes in {', '.join(TELLING)} are those of "
            "UCI files in some, and of heart.csv and canonical files in others"
        )
    coding = evidence.coding
    if coding is None and label is not None:
        coding = UCI if BY_LABEL[label] is UCI else CANONICAL
    if coding is not None:
        require_no_objections(evidence, coding)
    return coding


def coding_of_files(
    counted: dict[tuple[str, str | None], Evidence], stated: Coding | None
) -> Coding:
    """Return the one coding of files that are to be scored, the one that is stated if any.

    What was counted on their rows is given by their names and those of their labels. A `DataError`
    where they are in several codings, or none can be recognised.
    """
    first_of: dict[str, str] = {}
    for (name, label), evidence in counted.items():
        try:
            coding = stated or coding_of_rows(evidence, label)
            if coding:
                require_coding(evidence, coding, "expected one coding")
                first_of.setdefault(coding.name, name)
        except DataError as error:
            raise DataError(f"'{name}': {error}") from None
    if len(first_of) > 1:
        each = ", ".join(f"'{name}' is {coding}" for coding, name in first_of.items())
        raise DataError(f"expected one coding in all files, found several: {each}")
    if not first_of and any(evidence.rows for evidence in counted.values()):
        raise _too_small()
    return CODINGS[next(iter(first_of), CANONICAL.name)]


def require_no_objections(evidence: Evidence, coding: Coding) -> None:
    """Raise a `DataError` for a coding in which rows are the reverse of the known associations.

    It names the columns and offers the codings that can be stated. Nothing is converted on such
    evidence alone.
    """
    against = evidence.objections(coding)
    if against:
        columns = "\n".join(f"  {name}: {objection}" for name, objection in against.items())
        others = [UCI] if coding.same_features(UCI) else [ZERO_BASED, coding]
        raise DataError(
            f"its codes in {', '.join(against)} speak against the {coding.name} coding, in which "
            f"it would be read:\n{columns}\n  {offer(*others)}"
        )


def _contradiction(coding: Coding, label: str | None) -> str:
    named = f"the label '{label}'" if label else "no header"
    codes, others = "UCI files", [UCI]
    if coding is UCI:
        codes, others = "heart.csv and canonical files", [HEART_CSV, CANONICAL, ZERO_BASED]
    return (
        f"its columns and its codes contradict each other: {named} means the {coding.name} coding, "
        f"but the codes in {', '.join(TELLING)} are those of {codes}.\n  {offer(*others)}"
    )
