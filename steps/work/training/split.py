"""Who was held out from a training, who was not, and what is said of each by who had not seen them.

A later comparison of models asks for it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from clinical.copies import row_hashes
from clinical.schema import LABEL
from steps.modelling.training import Training
from steps.runs.lineage import Lineage
from steps.runs.tracking import datasets
from steps.runs.tracking.finished import artifact_uri
from steps.runs.tracking.step_run import StepRun
from steps.work.patients import HELD_OUT_FILE, log_table


def log_split(run: StepRun, done: Training, origin: Lineage | None) -> None:
    """Keep the held-out rows, hashes of the training rows, and the out-of-fold probabilities.

    What the `origin` of an update has seen, the update has.
    """
    digest = log_table(run, done.held_out, HELD_OUT_FILE)
    uri = artifact_uri(run.run_id, HELD_OUT_FILE)
    dataset = datasets.as_dataset(done.held_out, uri=uri, name=datasets.HELD_OUT, digest=digest)
    datasets.log_dataset(run, dataset, done.data.source)
    hashes = row_hashes(done.fitting)
    if origin and origin.training_rows is not None:
        hashes = np.concatenate([hashes, origin.training_rows])
    log_table(run, pd.DataFrame({"row_hash": hashes}), "split/training_rows.parquet")
    patients = done.data.patients
    out_of_fold = pd.DataFrame(
        {
            "row_hash": row_hashes(patients),
            LABEL.name: patients[LABEL.name].to_numpy(np.int8),
            "probability": done.validated.probabilities,
            "fold": done.validated.fold.astype(np.int8),
        }
    )
    log_table(run, out_of_fold, "split/out_of_fold.parquet")
