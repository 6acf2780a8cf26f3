"""Monitoring and updating, step by step in this process, on one store and logs made up for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical import cohort
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES, LABEL
from risk_model.model import Model
from risk_model.prediction_log.records import bins_of
from steps.monitoring import reading
from steps.registry import decisions
from steps.registry import versions as registry
from steps.runs import lineage
from tests.steps.monitoring.logs import rows_of, write_profile, write_rows
from tests.steps.stores import NAME, SMALL, Store, steps_in, store_in_use


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, sample_file: Path
) -> Iterator[Store]:
    """Return a store with a champion of synthetic patients."""
    folder = tmp_path_factory.mktemp("served")
    with steps_in(folder, empty_database) as made:
        made.done("download", "download", f"--source={sample_file}")
        made.done("preprocess", "preprocess", "--data=")
        made.done("train", "train", *SMALL)
        made.done("register", "register", "--promote=false")
        made.done("promote", "promote", "--version=1")
        yield made


@pytest.fixture(autouse=True)
def same_store(served: Store) -> Iterator[None]:
    with store_in_use(served.uri):
        yield


def champion() -> Model:
    return lineage.follow(f"models:/{NAME}/1").model


def patients(count: int, seed: int, tmp_path: Path) -> pd.DataFrame:
    """Return synthetic patients of the population that the champion is for, with outcomes."""
    path = tmp_path / f"{seed}.data"
    cohort.write_uci(cohort.draw(count, seed), path)
    return prepare(path, path.name).frame


def others(count: int, seed: int, tmp_path: Path) -> pd.DataFrame:
    """Return patients of whom two findings are unknown, and who are ill more often."""
    made = patients(3 * count, seed, tmp_path)
    stays = (made[LABEL.name] == 1) | (np.random.default_rng(seed).random(len(made)) < 0.3)
    some = made[stays].sample(count, random_state=seed, ignore_index=True)
    return some.assign(ca=np.nan, thal=np.nan)


def log_of(made: pd.DataFrame, folder: Path, **more: Any) -> pd.DataFrame:
    """Write the rows of patients scored by the champion, and return them."""
    rows = rows_of(made, champion().probabilities(made), **more)
    write_rows(folder, rows)
    return rows


def outcomes_of(rows: pd.DataFrame, made: pd.DataFrame, path: Path) -> Path:
    observed = (rows["timestamp"] + pd.Timedelta("1D")).map(pd.Timestamp.isoformat)
    columns = {"id": rows["id"], "disease": made[LABEL.name], "observed_at": observed}
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def found_by(served: Store) -> tuple[dict[str, Any], dict[str, str], str]:
    """Return the JSON, the tags and the page of the latest monitoring run."""
    run = served.client.get_run(served.latest("monitor"))
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    page = (folder / "monitoring.html").read_text()
    return json.loads((folder / "monitoring.json").read_text()), run.data.tags, page


def test_patients_like_those_of_the_baseline_raise_no_alarm(served: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    made = patients(400, 11, tmp_path)
    rows = log_of(made, log, days_ago=2)
    file = outcomes_of(rows, made, tmp_path / "outcomes.csv")
    assert served.do("monitor", f"--log={log}", f"--outcomes={file}", "--fail_on=warning") == 0
    found, tags, page = found_by(served)
    assert tags["monitor.verdict"] == "ok"
    assert tags["monitor.version"] == "1"
    run = served.client.get_run(served.latest("monitor"))
    measured = run.data.metrics
    assert measured["rows"] == 400
    assert measured["mean_probability"] == pytest.approx(rows["probability"].mean())
    p = rows["probability"]
    assert measured["expected_brier"] == pytest.approx((p * (1 - p)).mean())
    assert {f"data_drift_psi_{name}" for name in FEATURE_NAMES} <= measured.keys()
    assert measured["missing_rate_age"] == 0
    assert 0 < measured["prediction_drift_psi"] < 0.2
    assert 0.8 < measured["observed_expected"] < 1.25
    contexts = [tag.value for one in run.inputs.dataset_inputs for tag in one.tags
                if tag.key == "mlflow.data.context"]  # fmt: skip
    assert sorted(set(contexts)) == ["baseline", "current"]
    trained = served.run("train").outputs.model_outputs
    assert [one.model_id for one in run.inputs.model_inputs] == [trained[0].model_id]
    assert "OK" in page
    assert "<script" not in page
    (model,) = found["models"]
    assert model["outcomes"]["delay_days"]["median"] == pytest.approx(1)


def test_other_patients_alarm_and_their_outcomes_too(served: Store, tmp_path: Path) -> None:
    log, prom, labelled = tmp_path / "log", tmp_path / "heart.prom", tmp_path / "labelled.parquet"
    made = others(300, 12, tmp_path)
    rows = log_of(made, log, days_ago=5)
    half = outcomes_of(rows[:200], made[:200], tmp_path / "outcomes.csv")
    words = (f"--log={log}", f"--outcomes={half}", f"--textfile={prom}", f"--labelled={labelled}")
    assert served.do("monitor", *words, "--fail_on=alarm") == 1
    found, tags, page = found_by(served)
    assert tags["monitor.verdict"] == "alarm"
    assert "calibration intercept" in tags["monitor.reason"]
    assert "data drift of " in tags["monitor.reason"]
    outcomes = found["models"][0]["outcomes"]
    assert outcomes["patients"] == 200
    assert outcomes["coverage"] == pytest.approx(2 / 3)
    assert "calibration_intercept" in [one["name"] for one in outcomes["judged"] if one["left"]]
    whose = f'{{model_version="registry-v1",name="{NAME}",verdict="alarm"}}'
    assert f"heart_monitor_verdict{whose} 1.0" in prom.read_text()
    kept = pd.read_parquet(labelled)
    assert list(kept) == [*FEATURE_NAMES, LABEL.name]
    assert kept[LABEL.name].tolist() == made[LABEL.name][:200].tolist()
    for text in (json.dumps(found), page, prom.read_text()):
        assert not [name for name in rows["id"] if name in text]


def test_a_profile_is_enough_for_drift_and_not_for_outcomes(
    served: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = champion()
    made = others(600, 13, tmp_path)
    bins = bins_of(model.metadata.baseline)
    scored = made.assign(probability=model.probabilities(made))
    counts = {name: [value if value >= 5 else 0 for value in values.tolist()]
              for name, values in reading.count_rows(bins, scored).items()}  # fmt: skip
    write_profile(tmp_path, counts)
    assert served.do("monitor", f"--log={tmp_path}") == 0
    found, tags, _ = found_by(served)
    assert tags["monitor.verdict"] == "alarm"
    variables = found["models"][0]["variables"]
    assert {"ca", "thal"} <= {name for name, one in variables.items() if one["drift"]}
    assert variables["ca"]["missing_rate"] == 1
    assert found["models"][0]["log"] == "profile"
    (tmp_path / "outcomes.csv").write_text("id,disease,observed_at\n")
    words = (f"--log={tmp_path}", f"--outcomes={tmp_path / 'outcomes.csv'}")
    assert served.do("monitor", *words) == 1
    assert "outcomes need HEART_PREDICTION_LOG=rows" in capsys.readouterr().err


def test_what_no_version_answered_is_left_out_and_said(
    served: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = patients(60, 14, tmp_path)
    log = tmp_path / "log"
    for label in ("registry-v99", "run-0123"):
        write_rows(log, rows_of(made, [0.5] * len(made), label))
    assert served.do("monitor", f"--log={log}") == 1
    refusal = capsys.readouterr().err
    assert f"has nothing of {NAME}" in refusal
    assert "run-0123" in refusal
    log_of(made, log)
    assert served.do("monitor", f"--log={log}") == 0
    found, _, _ = found_by(served)
    assert len(found["notes"]) == 2
    assert [model["version"] for model in found["models"]] == ["1"]


def test_no_count_below_five_is_in_what_is_kept(served: Store, tmp_path: Path) -> None:
    made = patients(100, 15, tmp_path)
    made.loc[0, "chol"] = np.nan
    log_of(made, tmp_path / "log")
    assert served.do("monitor", f"--log={tmp_path / 'log'}") == 0
    found, _, _ = found_by(served)
    variables = found["models"][0]["variables"]
    shares = [share for one in variables.values() for share in one["now"] if share]
    assert min(shares) >= 0.05
    assert variables["chol"]["missing_rate"] is None
    run = served.client.get_run(served.latest("monitor"))
    assert "missing_rate_chol" not in run.data.metrics


def test_the_gate_heeds_how_a_challenger_in_shadow_turned_out(
    served: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.done("rival", "train", "--model=logistic_regression", "--random_state=1")
    words = (f"--run_id={served.runs['rival']}", "--promote=false")
    assert served.do("register", *words) == 0
    (rival,) = served.client.search_model_versions(f"run_id = '{served.runs['rival']}'")
    alone = rival.tags["gate.verdict"]
    made = patients(300, 17, tmp_path)
    p, ill = champion().probabilities(made), made[LABEL.name].to_numpy()
    for challenger, verdict in ((1 - p, "rejected"), (0.8 * ill + 0.1, alone)):
        log = tmp_path / verdict
        seen = rows_of(made, p).assign(challenger_version=f"registry-v{rival.version}")
        write_rows(log, seen.assign(challenger_probability=challenger))
        file = outcomes_of(seen, made, tmp_path / "outcomes.csv")
        assert served.do("monitor", f"--log={log}", f"--outcomes={file}") == 0
        for _ in range(2):
            assert served.do("register", *words) == 0
            decision = decisions.read(registry.named(NAME, rival.version))
            assert decision is not None
            assert (decision.verdict, decision.against) == (verdict, "1")
            cited = decision.rules[-1]
            assert "300 patients in shadow" in cited.rule
            assert served.latest("monitor") in cited.rule
            assert cited.passed == (verdict == alone)
            assert cited.candidate == pytest.approx(((challenger - ill) ** 2).mean())
            assert cited.champion == pytest.approx(((p - ill) ** 2).mean())
    assert "in shadow, not worse beyond chance" in capsys.readouterr().err
