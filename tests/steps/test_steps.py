"""The steps themselves, one after the other in this process, on one store."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion

from clinical import cohort, copies
from clinical.codings.definitions import ZERO_BASED
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES
from risk_model.flavours import saving
from steps.modelling import metrics
from steps.registry import decisions
from steps.registry import versions as registry
from steps.registry.contenders import champion_of
from steps.registry.gate import Champion
from steps.runs import lineage
from steps.runs.files import sha256
from steps.runs.lineage import Lineage
from steps.runs.store import StepError
from steps.runs.tracking.finished import outputs
from steps.work import register
from tests.servers import gives, serving
from tests.steps.stores import NAME, SMALL, Store, steps_in, store_in_use

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, sample_file: Path
) -> Iterator[Store]:
    """Return a store in which each step ran once on a file, and train with another model."""
    folder = tmp_path_factory.mktemp("pipeline")
    with steps_in(folder, empty_database) as made:
        made.done("download", "download", f"--source={sample_file}")
        made.done("preprocess", "preprocess", "--data=")
        made.done("train", "train", *SMALL)
        prepared = made.copies / "data" / "patients.parquet"
        shutil.copytree(made.copies, folder / "first")
        boosted = ("--model=hist_gradient_boosting", "--n_estimators=5")
        made.done("boosted", "train", f"--data={prepared}", *boosted)
        made.done("register", "register", f"--run_id={made.runs['train']}")
        yield made


@pytest.fixture(autouse=True)
def same_store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let every test here talk to the store of the steps, unless it has one of its own."""
    if "store" in request.fixturenames:
        yield
        return
    with store_in_use(request.getfixturevalue("pipeline").uri):
        yield


def known(pipeline: Store, name: str) -> Lineage:
    return lineage.of_run(pipeline.run(name), registry.model_uri(pipeline.run(name)))


@pytest.fixture
def held_out(pipeline: Store) -> pd.DataFrame:
    return pd.read_parquet(pipeline.artifacts("train") / "split" / "held_out.parquet")


def test_the_stored_model_names_its_run_and_data_and_has_the_metrics_that_were_logged(
    pipeline: Store, held_out: pd.DataFrame
) -> None:
    stored, run = known(pipeline, "train"), pipeline.run("train")
    p = stored.model.probabilities(held_out)
    found = metrics.scores(held_out["disease"].to_numpy(np.int8), p)
    for name in metrics.NAMES:
        assert found[name][0] == pytest.approx(run.data.metrics[name], abs=1e-5), name
    about = json.loads((stored.folder / "extra_files" / "model.json").read_text())
    assert about["run_id"] == pipeline.runs["train"]
    assert about["data"]["source"] == "file"
    assert about["data"]["digest"] == run.data.tags["data.digest"]
    assert about["data"]["rows"]["test"] == len(held_out)


def test_mlflow_loads_the_model_by_the_name_of_its_run_and_the_pickle_says_the_same(
    pipeline: Store, held_out: pd.DataFrame
) -> None:
    run_id, uri = pipeline.runs["train"], registry.model_uri(pipeline.run("train"))
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/random_forest_model")
    assert list(model.predict(saving.example()).columns) == [
        "probability", "prediction", "risk_level",
    ]  # fmt: skip
    assert model.metadata.run_id == run_id
    assert model.metadata.signature == saving.signature()
    patients = held_out[list(FEATURE_NAMES)]
    pickled = joblib.load(pipeline.folder / "first" / "models" / "model.pkl")
    stored = mlflow.sklearn.load_model(uri)
    np.testing.assert_array_equal(pickled.predict_proba(patients), stored.predict_proba(patients))
    # Having been loaded, it is still the one that was trained.
    assert sha256(known(pipeline, "train").folder) == outputs(pipeline.run("train"))[uri]


def test_a_model_of_a_file_has_the_digest_of_its_data_and_may_have_no_onnx_model(
    pipeline: Store,
) -> None:
    from_file, from_run = (pipeline.run(name).data.tags for name in ("boosted", "train"))
    assert from_file["data.digest"] == from_run["data.digest"]
    assert from_file["data.source"] == "file"
    boosted = known(pipeline, "boosted")
    assert not (boosted.folder / "model.onnx").exists()
    # Its answers are those of its references, or it could not be loaded.
    assert boosted.model.engine.name == "scikit-learn"


def version_of(pipeline: Store, name: str) -> ModelVersion:
    version = registry.version_of(NAME, pipeline.runs[name])
    assert version is not None
    return version


def test_a_decision_of_an_earlier_release_stands_and_is_kept_as_now(
    pipeline: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (pipeline.artifacts("register") / "gate_decision.json").read_text()
    told = whole.replace("there was no champion", "an earlier release has found no champion")
    pipeline.client.set_model_version_tag(NAME, "1", "gate.decision", told)
    pipeline.client.delete_model_version_tag(NAME, "1", "gate.run")
    pipeline.done("again", "register", f"--run_id={pipeline.runs['train']}")
    assert "passed, an earlier release has found no champion" in capsys.readouterr().err
    tags = pipeline.client.get_model_version(NAME, "1").tags
    assert tags["gate.run"] == pipeline.runs["again"]
    assert "gate.decision" not in tags


@pytest.mark.parametrize("gone", ["file", "run"])
def test_a_decision_whose_file_is_gone_stands_by_its_tags(pipeline: Store, gone: str) -> None:
    words = f"--run_id={pipeline.runs['train']}"
    pipeline.done("lost", "register", words)
    if gone == "file":
        (pipeline.artifacts("lost") / "gate_decision.json").unlink()
    else:
        pipeline.client.set_model_version_tag(NAME, "1", "gate.run", "0" * 32)
    pipeline.done("anew", "register", words)
    decision = decisions.read(registry.named(NAME, "1"))
    assert decision is not None
    assert (decision.verdict, decision.rules) == ("passed", [])
    assert "no champion" in decision.reason


def test_a_model_whose_files_name_another_run_is_rejected(pipeline: Store) -> None:
    path = known(pipeline, "boosted").folder / "extra_files" / "model.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | {"run_id": "1" * 32}))
    try:
        assert pipeline.do("register", f"--run_id={pipeline.runs['boosted']}") == 0
    finally:
        path.write_text(before)
    tags = version_of(pipeline, "boosted").tags
    assert tags["gate.verdict"] == "rejected"
    assert "the stored model passes its checks" in tags["gate.reason"]
    assert "another run" in tags["gate.reason"]


def compared(pipeline: Store, candidate: str) -> Champion:
    return champion_of("1", known(pipeline, "train"), known(pipeline, candidate))


def test_recipes_are_compared_on_all_patients_and_models_on_those_that_neither_has_seen(
    pipeline: Store,
) -> None:
    found = compared(pipeline, "boosted")
    split = pipeline.artifacts("train") / "split"
    assert len(found.held_out.y) == len(pd.read_parquet(split / "held_out.parquet"))
    unseen = pd.read_parquet(split / "out_of_fold.parquet")
    assert list(unseen) == ["row_hash", "disease", "probability", "fold"]  # and no finding
    assert found.note == ""
    assert len(found.compared.y) == len(unseen)
    assert sorted(found.compared.champion) == pytest.approx(sorted(unseen["probability"]))


@pytest.mark.parametrize("file", ["out_of_fold", "held_out", "training_rows"])
@pytest.mark.parametrize("of", ["train", "boosted"], ids=["champion", "candidate"])
def test_without_a_stored_file_less_is_compared(pipeline: Store, file: str, of: str) -> None:
    path = pipeline.artifacts(of) / "split" / f"{file}.parquet"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        found = compared(pipeline, "boosted")
    finally:
        aside.rename(path)
    without_folds = file == "out_of_fold"
    assert ("on held-out patients alone" in found.note) == without_folds
    # Nobody is known to be new to a model where the store does not say whom it has seen.
    assert (len(found.held_out.y) > 0) == without_folds
    assert (len(found.compared.y) == len(found.held_out.y)) == without_folds


def test_near_copies_of_patients_that_it_has_seen_do_not_dethrone_the_champion(
    pipeline: Store, tmp_path: Path
) -> None:
    patients = pd.read_parquet(pipeline.artifacts("preprocess") / "data" / "patients.parquet")
    near = patients.assign(chol=patients["chol"] + 1)
    path = tmp_path / "patients.csv"
    pd.concat([near, patients]).to_csv(path, index=False)
    pipeline.done("copied", "train", f"--data={path}", "--model=logistic_regression")
    path.unlink()
    found, held_out = compared(pipeline, "copied"), known(pipeline, "copied").held_out
    assert held_out is not None
    # Each patient once, and none whom the other has seen as a near-copy.
    assert len(found.compared.y) == len(patients)
    assert len(found.held_out.y) < 0.2 * len(patients)
    assert pipeline.do("register", f"--run_id={pipeline.runs['copied']}") == 0
    assert version_of(pipeline, "copied").tags["gate.verdict"] != "passed"


def test_the_champions_held_out_patients_take_part_whatever_a_candidate_was_trained_on(
    pipeline: Store, held_out: pd.DataFrame, tmp_path: Path
) -> None:
    patients = pd.read_parquet(pipeline.artifacts("preprocess") / "data" / "patients.parquet")
    rest = patients[~np.isin(copies.row_hashes(patients), copies.row_hashes(held_out))]
    rest.to_csv(tmp_path / "patients.csv", index=False)
    words = (f"--data={tmp_path / 'patients.csv'}", "--model=logistic_regression")
    pipeline.done("reduced", "train", *words)
    found = compared(pipeline, "reduced")
    assert len(found.compared.y) == len(patients)
    assert len(found.held_out.y) == len(held_out)
    champion = known(pipeline, "train").model.probabilities(held_out)
    assert set(champion) <= set(found.compared.champion)


def test_the_synthetic_sample_does_not_dethrone_patients_whatever_path_it_came_by(
    pipeline: Store, tmp_path: Path
) -> None:
    path = tmp_path / "patients.data"
    path.write_bytes(cohort.sample())
    pipeline.done("renamed", "download", f"--source={path}")
    assert pipeline.run("renamed").data.tags["data.source"] == "synthetic"
    pipeline.done("renamed", "train", f"--data={path}", "--model=logistic_regression")
    assert pipeline.run("renamed").data.tags["data.source"] == "synthetic"
    assert pipeline.do("register", f"--run_id={pipeline.runs['renamed']}") == 0
    tags = version_of(pipeline, "renamed").tags
    assert tags["gate.verdict"] == "rejected"
    assert "no synthetic patients against real ones" in tags["gate.reason"]


def test_what_cannot_be_registered_or_promoted_is_refused(
    pipeline: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StepError, match="has no model"):  # a run of another project
        register.described(pipeline.run("download"))
    assert pipeline.do("register", f"--run_id={pipeline.runs['download']}") == 2
    assert "is of step 'download', not of 'train'" in capsys.readouterr().err
    for words in ((), ("--version=1", "--rollback=true")):
        assert pipeline.do("promote", *words) == 2
        assert "give either version=<number>, or rollback=true" in capsys.readouterr().err


@pytest.fixture
def fresh(store: str, tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(store, tmp_path)


def written(path: Path, patients: pd.DataFrame) -> Path:
    cohort.write_uci(patients, path)
    return path


def test_a_held_out_set_that_lacks_a_class_is_told(
    fresh: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Complete rows: one that is dropped would change the counts.
    patients = cohort.draw(600, 3).dropna().drop_duplicates()[:70]
    file = written(tmp_path / "few.data", patients.assign(num=[0] * 60 + [1] * 10))
    assert fresh.do("train", f"--data={file}", *SMALL, "--test_size=0.05") == 1
    printed = capsys.readouterr().err
    assert "test_size" in printed
    assert "Traceback" not in printed
    assert not (fresh.copies / "models").exists()


def test_codes_counted_from_0_are_refused_until_they_are_stated(
    fresh: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = read_patients(written(tmp_path / "uci.data", cohort.draw(120, 1)), "drawn").frame
    path = tmp_path / "counted.csv"
    back = {name: {new: old for old, new in c.items()} for name, c in ZERO_BASED.codes.items()}
    counted = drawn.assign(**{name: drawn[name].map(codes) for name, codes in back.items()})
    counted.rename(columns={"disease": "target"}).to_csv(path, index=False)
    assert fresh.do("download", f"--source={path}") == 1
    assert "coding=zero_based" in capsys.readouterr().err
    assert fresh.do("download", f"--source={path}", "--coding=zero_based") == 0
    assert fresh.do("preprocess", "--data=") == 1
    assert "coding=zero_based" in capsys.readouterr().err
    assert fresh.do("preprocess", "--data=", "--coding=zero_based") == 0
    run = fresh.client.get_run(fresh.latest("preprocess"))
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert json.loads((folder / "data_report.json").read_text())["coding"] == "zero_based"
    prepared = pd.read_parquet(folder / "data" / "patients.parquet")
    pd.testing.assert_frame_equal(prepared, drawn)


def test_what_a_stated_coding_prepared_is_not_doubted_by_train_and_unused_columns_are_named(
    fresh: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = read_patients(written(tmp_path / "uci.data", cohort.draw(120, 1)), "drawn").frame
    odd = drawn.assign(cp=3 - drawn["cp"], slope=2 - drawn["slope"], id=7, ward="north")
    odd.to_csv(tmp_path / "odd.csv", index=False)
    given = (f"--data={tmp_path / 'odd.csv'}",)
    assert fresh.do("preprocess", *given) == 1
    assert fresh.do("preprocess", *given, "--coding=canonical") == 0
    assert "columns that are not used: 'id', 'ward'" in capsys.readouterr().err
    assert fresh.do("train", "--data=", *SMALL) == 0


def test_a_signature_of_the_source_is_neither_said_nor_kept(
    fresh: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = written(tmp_path / "drawn.data", cohort.draw(60, 1))
    with serving(gives(drawn.read_bytes())) as server:
        assert fresh.do("download", f"--source={server.url('a.data')}?sig=top-secret") == 0
    run = fresh.client.get_run(fresh.latest("download"))
    about = (Path(run.info.artifact_uri) / "source.json").read_text()
    assert "a.data?***" in about
    assert "a.data?***" in run.data.params["source"]
    assert "top-secret" not in str(run.to_dictionary()) + about + "".join(capsys.readouterr())
