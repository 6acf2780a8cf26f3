"""What the commands print and how they end: help, and parameters that are refused."""

from typing import Any

import yaml

from tests.recorded.project import Project

# Two values for each parameter: of the wrong kind, and out of range or not existing. Parameters
# that came later are left at their defaults: MLproject's difference tells of them.
BAD = {
    "source": ("no-such-file.csv", "http://me:secret@127.0.0.1/heart.zip"),
    "data": ("no-such-file.parquet", "0123"),
    "model": ("perceptron", ""),
    "models": ("perceptron", "random_forest,random_forest"),
    "n_estimators": ("many", "0"),
    "max_depth": ("1_0", "101"),
    "min_samples_leaf": ("1.5", "0"),
    "C": ("weak", "0"),
    "calibration": ("beta", ""),
    "test_size": ("a fifth", "0.95"),
    "random_state": ("seed", "-1"),
    "name": ("a/b", "a b"),
    "promote": ("perhaps", ""),
    "cache": ("perhaps", "1"),
    "trials": ("many", "0"),
    "scheduler": ("dask", "tcp://127.0.0.1"),
    "workers": ("all", "257"),
    "run_id": ("latest", "0123"),
    "version": ("latest", "0"),
    "to": ("emperor", ""),
    "rollback": ("perhaps", "1"),
    "model_uri": ("models:/", "no-such-folder"),
    "input": ("http://me:secret@127.0.0.1/in.csv",) * 2,
    "output": ("s3://bucket/out", "."),
    "host": ("a host", ""),
    "port": ("http", "65536"),
}


def record(project: Project) -> dict[str, Any]:
    """Return MLproject, and what each entry point says to --help and to bad parameters."""
    described = yaml.safe_load((project.path / "MLproject").read_text())
    found: dict[str, Any] = {"MLproject": described}
    for entry, about in described["entry_points"].items():
        known = [name for name in about["parameters"] if name in BAD]
        wrong, outside = ({name: BAD[name][i] for name in known} for i in (0, 1))
        found |= {
            f"{entry} --help": project.step(entry, "--help"),
            f"{entry} of the wrong kind": project.step(entry, **wrong),
            f"{entry} out of range, and unknown": project.step(
                entry, "stray", **outside, no_such_parameter=1
            ),
        }
    return found


def record_refused(project: Project) -> dict[str, Any]:
    """Return what is refused once the store has been looked at."""
    nobody = "0" * 32
    return {
        "train by mlflow run": project.launch("train", n_estimators=0),
        "train on a run that is not there": project.step("train", data=nobody),
        "register of a run that is not there": project.step("register", run_id=nobody),
        "promote of nothing": project.step("promote"),
        "promote of a version that is not there": project.step("promote", version=99),
        "evaluate of a version that is not there": project.step(
            "evaluate", model_uri="models:/heart-disease-model/99"
        ),
        "score without input": project.step("score", output=project.work / "none.parquet"),
        "score of a file that is not there": project.step(
            "score", input="no-such-file.csv", output=project.work / "none.parquet"
        ),
    }
