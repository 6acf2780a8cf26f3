"""MLflow's consumers get an answer for every way to write a patient, or one clear line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from clinical.schema import FEATURE_NAMES, FEATURES
from tests.serving import forge

OPTIONAL = [feature.name for feature in FEATURES if feature.nullable]


@pytest.fixture(scope="module")
def model(new_folder: Path) -> Any:
    return mlflow.pyfunc.load_model(str(new_folder))


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    rows = forge.patients(8, seed=21, unknown=0).round()
    return pd.DataFrame(rows, columns=list(FEATURE_NAMES))


WAYS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "int64": lambda f: f.astype("int64"),
    "int8 and float32": lambda f: f.astype({"sex": "int8", "oldpeak": "float32"}),
    "nullable": lambda f: f.astype("Int64"),
    "arrow": lambda f: f.astype("int64").convert_dtypes(dtype_backend="pyarrow"),
    "objects": lambda f: f.astype(object),
    "codes as categories": lambda f: f.astype({"cp": "int64"}).astype({"cp": "category"}),
    "shuffled": lambda f: f[list(FEATURE_NAMES)[::-1]],
    "further columns": lambda f: f.assign(name="Doe", id=range(len(f))),
    "named rows": lambda f: f.set_axis([f"p{i}" for i in range(len(f))]),
    "records": lambda f: f.to_dict("records"),
    "columns": lambda f: f.to_dict("list"),
    "columns of arrays": lambda f: {name: f[name].to_numpy() for name in f},
    "columns of scalars": lambda f: {n: [np.array(v) for v in f[n]] for n in f},
    "columns of numpy's numbers": lambda f: f.astype("float32").astype(object),
    "rows": lambda f: f.to_numpy(),
    "lists": lambda f: f.to_numpy().tolist(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_patient_gets_the_same_answer_however_written(
    model: Any, patients: pd.DataFrame, way: str
) -> None:
    expected, given = model.predict(patients), WAYS[way](patients)
    answer = model.predict(given)
    assert list(answer.columns) == ["probability", "prediction", "risk_level"]
    pd.testing.assert_frame_equal(answer.reset_index(drop=True), expected)
    if isinstance(given, pd.DataFrame):
        assert answer.index.equals(given.index)


@pytest.mark.parametrize("unknown", [
    lambda f: f.drop(columns=OPTIONAL),
    lambda f: f.assign(**dict.fromkeys(OPTIONAL, np.nan)),
    lambda f: f.assign(**dict.fromkeys(OPTIONAL, None)),
    lambda f: f.astype("Int64").assign(**dict.fromkeys(OPTIONAL, pd.NA)),
    lambda f: f.drop(columns=OPTIONAL).to_dict("records"),
    lambda f: [{**row, "ca": None} for row in f.drop(columns=OPTIONAL).to_dict("records")],
])  # fmt: skip
def test_what_may_be_unknown_may_be_missing(
    model: Any, patients: pd.DataFrame, pipeline: Any, unknown: Callable[[pd.DataFrame], Any]
) -> None:
    rows = patients.assign(**dict.fromkeys(OPTIONAL, np.nan)).to_numpy(float)
    answer = model.predict(unknown(patients))
    np.testing.assert_allclose(
        answer["probability"], forge.probabilities(pipeline, rows), atol=1e-5
    )


def at(frame: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    """Return patients of whom one has other values."""
    changed = frame.astype(object)
    for name, value in values.items():
        changed.iloc[row, changed.columns.get_loc(name)] = value
    return changed


@pytest.mark.parametrize(("made", "words"), [
    (lambda f: at(f, 2, cp=4), r"'cp' must be one of 0 \(asymptomatic\), .*\(row 3\)\.$"),
    (lambda f: at(f, 0, thal=7, age=98765), r"'age' must .* years \(row 1\); 'thal' .*\(row 1\)"),
    (lambda f: f.assign(thal=6), r"'thal' must be .* \(rows 1, 2, 3, 4, 5 and 3 more\)"),
    (lambda f: at(f, 1, age=None), r"'age' must not be unknown \(row 2\)"),
    (lambda f: at(f, 1, sex=0.5), r"'sex' must be one of"),
    (lambda f: at(f, 1, chol=float("inf")), r"'chol' must be a number in \[80, 700\] mg/dl"),
    (lambda f: at(f, 1, chol=-(10**400)), r"'chol' must be"),
    (lambda f: f.drop(columns=["age", "ca"]), r"columns that are missing: age\.$"),
    (lambda f: f.assign(age="63"), r"texts or booleans in place of numbers: age\.$"),
    (lambda f: f.assign(sex=True), r"texts or booleans in place of numbers: sex\.$"),
    (lambda f: at(f, 1, fbs=False, age="98765"), r"in place of numbers: age, fbs\.$"),
    (lambda f: f.assign(age=pd.Timestamp("2020-01-01")), r"in place of numbers: age\.$"),
    (lambda f: pd.concat([f, f[["age"]]], axis=1), r"more than once: age\.$"),
    (lambda f: f.to_numpy()[:, :5], "rows of 13 values"),
    (lambda f: f.to_numpy()[0], "rows of 13 values"),
    (lambda f: "98765", "rows of 13 values"),
    (lambda f: {"age": [1, 2], "sex": [1]}, "rows of 13 values"),
])  # fmt: skip
def test_what_cannot_be_scored_is_one_line_without_a_value(
    model: Any, patients: pd.DataFrame, made: Callable[[pd.DataFrame], Any], words: str
) -> None:
    with pytest.raises(MlflowException, match=words) as found:
        model.predict(made(patients))
    message = found.value.message
    assert message.startswith("The input cannot be scored: ")
    assert "\n" not in message
    assert "98765" not in message
    assert found.value.get_http_status_code() == 400


def test_no_patients_get_no_answers(model: Any, patients: pd.DataFrame) -> None:
    answer = model.predict(patients[:0])
    assert answer.shape == (0, 3)
    assert answer["probability"].dtype == np.float64


def test_it_can_give_predictions_alone(new_folder: Path, patients: pd.DataFrame) -> None:
    whole = mlflow.pyfunc.load_model(str(new_folder)).predict(patients)
    chosen = {"output": "prediction"}
    classes = mlflow.pyfunc.load_model(str(new_folder), model_config=chosen).predict(patients)
    assert list(classes) == whole["prediction"].tolist()
    with pytest.raises(MlflowException, match="output must be None or 'prediction'"):
        mlflow.pyfunc.load_model(str(new_folder), model_config={"output": "risk"})


def test_many_patients_get_their_own_answers(model: Any, pipeline: Any) -> None:
    rows = forge.patients(20_000, seed=5, unknown=0.2)
    answer = model.predict(pd.DataFrame(rows, columns=list(FEATURE_NAMES)))
    expected = forge.probabilities(pipeline, rows)
    np.testing.assert_allclose(answer["probability"], expected, atol=1e-5)
