"""The split of a training, and the out-of-fold probabilities of its patients.

A later comparison of models needs them.
"""

import numpy as np
import pandas as pd

from clinical.copies import Hashes, row_hashes
from clinical.schema import LABEL
from steps.modelling.training import Training
from steps.runs.tracking import datasets, finished
from steps.runs.tracking.step_run import StepRun
from steps.work.patients import HELD_OUT_FILE, log_table


def log_split(run: StepRun, trained: Training, seen: Hashes | None) -> None:
    """Keep the held-out rows, hashes of the training rows, and the out-of-fold probabilities.

    What the model has `seen` that an update is of, the update has.
    """
    digest = log_table(run, trained.held_out, HELD_OUT_FILE)
    uri = finished.artifact_uri(run.run_id, HELD_OUT_FILE)
    dataset = datasets.as_dataset(trained.held_out, uri=uri, name=datasets.HELD_OUT, digest=digest)
    datasets.log_dataset(run, dataset, trained.data.source)
    hashes = row_hashes(trained.fitting)
    if seen is not None:
        hashes = np.concatenate([hashes, seen])
    log_table(run, pd.DataFrame({"row_hash": hashes}), "split/training_rows.parquet")
    patients = trained.data.patients
    out_of_fold = pd.DataFrame(
        {
            "row_hash": row_hashes(patients),
            LABEL.name: patients[LABEL.name].to_numpy(np.int8),
            "probability": trained.validated.probabilities,
            "fold": trained.validated.fold.astype(np.int8),
        }
    )
    log_table(run, out_of_fold, "split/out_of_fold.parquet")
