"""Updating a model for other patients: which model, and on which patients."""

from dataclasses import replace

from clinical.errors import DataError
from clinical.hospitals import Cohort
from risk_model.metadata import FORMAT, Base
from risk_model.serialization import read_estimator
from steps.modelling.calibration.fitting import Update
from steps.modelling.training import Input
from steps.registry import versions as registry
from steps.runs import lineage
from steps.runs.lineage import Lineage
from steps.runs.store import StepError
from steps.runs.terminal import echo

EARLIER = "Earlier patients, held out from the model that was updated"


def follow(uri: str) -> tuple[Lineage, Base]:
    """Return the model that a URI names, and the metadata of an update on it.

    Raises a `StepError` where it cannot be updated.
    """
    uri, _ = registry.pinned(uri)
    origin = lineage.follow(uri)
    metadata = origin.metadata
    if metadata.format != FORMAT:
        raise StepError(
            f"{uri} cannot be recalibrated: expected format {FORMAT}, found {metadata.format}; "
            "train a model anew, with -P extra=<file>"
        )
    rows = metadata.data.rows if metadata.data else None
    return origin, Base(
        uri=uri, run_id=metadata.run_id, source=origin.source, patients=rows.train if rows else None
    )


def recipe(origin: Lineage) -> Update:
    """Return the unfitted update of a model."""
    return Update(read_estimator(origin.folder))


def without_seen(data: Input, origin: Lineage) -> Input:
    """Return patients that a model has not seen, and beside them those held out from it.

    An update of a model of synthetic patients is one of synthetic patients. A `DataError` where
    none is left.
    """
    seen = origin.has_seen(data.patients)
    if seen.any():
        echo(f"train: {seen.sum()} patients whom the model was trained on are left out")
    if seen.all():
        raise DataError("the model was trained on all of these patients: nothing can be learnt")
    source = "synthetic" if origin.source == "synthetic" else data.source
    earlier = origin.held_out
    elsewhere = [] if earlier is None else [Cohort("earlier", EARLIER, earlier, len(earlier))]
    patients = data.patients[~seen].reset_index(drop=True)
    return replace(data, patients=patients, source=source, elsewhere=elsewhere)
