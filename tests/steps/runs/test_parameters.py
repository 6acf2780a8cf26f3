"""Every parameter of every entry point: what is taken, and what is said to what is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from steps.runs import parameters
from steps.runs.parameters import CALIBRATIONS, ENTRY_POINTS, MODELS, Parameter, ParameterError

RUN_ID = "0123456789abcdef" * 2

EACH = [(step, parameter) for step, taken in ENTRY_POINTS.items() for parameter in taken]
NAMES = [f"{step}.{parameter.name}" for step, parameter in EACH]

# By name, because a parameter means the same wherever it is taken: texts and their values.
VALID: dict[str, dict[str, object]] = {
    "source": {
        "auto": "auto",
        "uci": "uci",
        "sample": "sample",
        "http://example.org/heart.csv": "http://example.org/heart.csv",
        "https://example.org/x.zip#sha256=" + "a" * 64: None,
    },
    "model": {name: name for name in MODELS},
    "n_estimators": {"1": 1, "10000": 10_000},
    "max_depth": {"1": 1, "100": 100},
    "min_samples_leaf": {"1": 1, "10000": 10_000},
    "C": {"1e-6": 1e-6, "1000000": 1e6, "0.1": 0.1},
    "calibration": {name: name for name in CALIBRATIONS},
    "coding": {name: name for name in ("auto", "uci", "heart.csv", "canonical", "zero_based")},
    "test_size": {"0.05": 0.05, "0.9": 0.9, "5e-1": 0.5},
    "random_state": {"0": 0, "4294967295": 2**32 - 1},
    "promote": {"true": "true", "false": "false", "require": "require"},
    "cache": {"true": True, "false": False, "True": True, "FALSE": False},
    "data": {"": "", RUN_ID: RUN_ID},
    "run_id": {"": "", RUN_ID: RUN_ID},
    "name": {"heart-disease-model": None, "main.clinic.heart_2": None},
    "version": {"": "", "1": "1", "12": "12", "007": "7"},
    "to": {
        "champion": "champion",
        "challenger": "challenger",
        "archived": "archived",
        "Production": "champion",
        "production": "champion",
        "Staging": "challenger",
        "Archived": "archived",
    },
    "rollback": {"true": True, "false": False},
    "model_uri": {
        "models:/heart-disease-model@champion": None,
        "models:/heart-disease-model/1": None,
        "models:/heart-disease-model/Production": None,
        f"models:/m-{RUN_ID}": None,
        f"runs:/{RUN_ID}/random_forest_model": None,
    },
    "input": {"": "", "/in/patients.csv": None, "/in/*.csv": None, "s3://bucket/in": None},
    "output": {"": "", "/nowhere/scored.parquet": None},
    "host": {"127.0.0.1": None, "0.0.0.0": None, "::1": None, "heart.clinic.example": None},
    "port": {"1": 1, "65535": 65_535},
    "workers": {"1": 1, "256": 256},
    "models": {"extra_trees": None, "random_forest,logistic_regression": None},
    "trials": {"1": 1, "10000": 10_000},
    "scheduler": {
        "": "",
        "tcp://127.0.0.1:8786": None,
        "tls://dask.clinic.example:8786": None,
        "tcp://[::1]:8786": None,
    },
}

NUMBERS = ("", "abc", "nan", "inf", "-inf", "None", "1,5", "0x10", "1_0", "\uff11")
INVALID: dict[str, tuple[str, ...]] = {
    "source": (
        "",
        "nowhere.zip",
        "/nowhere/heart.csv",
        "file:///nowhere/heart.csv",
        "ftp://example.org/heart.csv",
        "http://",
        "https:///heart.csv",
        "http://[::1/heart.csv",
        "https://example.org/heart.zip#sha256=../../../etc",
        "https://example.org/heart.zip#sha256=abc",
        "~nobody_of_this_name/heart.csv",
        "a" * 5000,
        "/",
        "Auto",
    ),
    "model": ("", "svm", "Random_Forest", "random_forest "),
    "n_estimators": (*NUMBERS, "0", "-1", "10001", "5.5", "1e2"),
    "max_depth": (*NUMBERS, "0", "-1", "101", "5.0", "9" * 5000),
    "min_samples_leaf": (*NUMBERS, "0", "10001", "0.5"),
    "C": (*NUMBERS, "0", "-1", "1e7"),
    "calibration": ("", "platt", "Sigmoid", "sigmoid "),
    "coding": ("", "UCI", "statlog", "zero-based"),
    "model_uri": ("", "models:/", "runs:/abc", "nowhere", "/nowhere", "champion"),
    "input": (),  # what is not there is told by the step, whatever kind of source it is
    "output": ("/", "~", "s3://bucket/scored.parquet", "file:///scored.parquet"),
    "test_size": (*NUMBERS, "0", "0.049", "0.91", "1.5", "-0.2", "20%"),
    "random_state": (*NUMBERS, "-1", "4294967296"),
    "promote": ("", "yes", "TRUE", "required"),
    "cache": ("", "yes", "0", "1"),
    "data": (
        "nowhere.parquet",
        RUN_ID[:-1],
        RUN_ID.upper(),
        "/",
        "~nobody_of_this_name/x.parquet",
        "a" * 5000,
    ),
    "run_id": ("latest", RUN_ID[:-1], RUN_ID + "0", RUN_ID.upper()),
    "name": ("", "a b", "a/b", "a:b", "a%b", "a'b", 'a"b', "a\nb"),
    "version": ("0", "-1", "1.0", "latest", "v3", "\uff13", "9" * 20),
    "to": ("", "winner", "CHAMPION", "none"),
    "rollback": ("", "yes", "1"),
    "host": ("", "a b", "host;true", "http://host/"),
    "port": (*NUMBERS, "0", "65536", "80.5"),
    "workers": (*NUMBERS, "-1", "257"),
    "models": (
        "",
        "svm",
        "random_forest,",
        "random_forest, extra_trees",
        "extra_trees,extra_trees",
    ),
    "trials": (*NUMBERS, "0", "-1", "10001", "1.5"),
    "scheduler": ("localhost", "127.0.0.1:8786", "http://host:8786", "tcp://host", "tcp://a b:1"),
}


def one(step: str, name: str) -> Parameter:
    return next(parameter for parameter in ENTRY_POINTS[step] if parameter.name == name)


def test_every_parameter_has_valid_and_invalid_cases_here() -> None:
    named = {parameter.name for _, parameter in EACH}
    assert named == set(VALID) == set(INVALID)


@pytest.mark.parametrize(("step", "parameter"), EACH, ids=NAMES)
def test_the_default_is_valid(step: str, parameter: Parameter) -> None:
    assert parameters.check(step, {})[parameter.name] == parameter.read(parameter.default)


@pytest.mark.parametrize(("step", "parameter"), EACH, ids=NAMES)
def test_valid_texts_are_taken_up_to_the_ends_of_the_range(step: str, parameter: Parameter) -> None:
    for text, value in VALID[parameter.name].items():
        found = parameters.check(step, {parameter.name: text})[parameter.name]
        wanted = text if value is None else value
        assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(("step", "parameter"), EACH, ids=NAMES)
def test_an_invalid_text_gets_one_line_that_says_what_is_allowed(
    step: str, parameter: Parameter
) -> None:
    for text in INVALID[parameter.name]:
        with pytest.raises(ParameterError) as caught:
            parameters.check(step, {parameter.name: text})
        (line,) = str(caught.value).split("\n")
        allowed = (
            "(one or more|one of|an integer in|a number in|true or false"
            "|auto, |empty |models:/|a registered|an address|a path|the)"
        )
        assert re.match(rf"'{parameter.name}' must be {allowed}", line), line
        assert line.endswith(f" Got {text!r} instead.")


def test_the_allowed_range_stands_in_the_line() -> None:
    with pytest.raises(ParameterError, match=r"^'max_depth' must be an integer in \[1, 100\]\."):
        parameters.check("train", {"max_depth": "0"})
    with pytest.raises(ParameterError, match=r"an integer in \[0, 4294967295\]\."):
        parameters.check("train", {"random_state": "-1"})


@pytest.mark.parametrize("step", ENTRY_POINTS)
def test_a_value_follows_its_name_after_a_blank_or_an_equals_sign(step: str) -> None:
    name = ENTRY_POINTS[step][0].name
    text = next(text for text in VALID[name] if text)
    assert parameters.read(step, [f"--{name}={text}"]) == parameters.read(step, [f"--{name}", text])


def test_both_ways_of_writing_a_number_give_the_number() -> None:
    assert parameters.read("train", ["--max_depth=7"])["max_depth"] == 7
    assert parameters.read("train", ["--max_depth", "7"])["max_depth"] == 7


def test_a_negative_number_is_a_value_out_of_range_and_no_unknown_parameter() -> None:
    with pytest.raises(ParameterError, match=r"^'max_depth' must be .* Got '-1' instead\.$"):
        parameters.read("train", ["--max_depth", "-1"])


@pytest.mark.parametrize("step", ENTRY_POINTS)
def test_an_unknown_parameter_is_named_with_those_that_there_are(step: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters.read(step, ["--depth", "5"])
    taken = ", ".join(parameter.name for parameter in ENTRY_POINTS[step])
    assert str(caught.value) == f"unknown parameter 'depth'. {step} takes: {taken}."


@pytest.mark.parametrize("words", [["stray"], ["--max_dept=5"], ["--max"], ["-m", "5"]])
def test_neither_stray_words_nor_short_forms_are_taken(words: list[str]) -> None:
    with pytest.raises(ParameterError, match=r"^unknown parameter '"):
        parameters.read("train", words)


def test_a_name_without_a_value_is_told() -> None:
    with pytest.raises(ParameterError, match="max_depth"):
        parameters.read("train", ["--max_depth"])


def test_a_service_has_a_worker_at_least_and_a_cluster_may_have_one_for_each_core() -> None:
    with pytest.raises(ParameterError, match=r"^'workers' must be an integer in \[1, 256\]"):
        parameters.check("serve", {"workers": "0"})
    assert parameters.check("sweep", {"workers": "0"})["workers"] == 0


@pytest.mark.parametrize("who", ["me:secret", "secret", ":secret", "me:sec/ret", "me:a@secret"])
@pytest.mark.parametrize("place", ["http://{}@host/x.csv", "s3://{}@bucket", "tcp://{}@host:8786"])
@pytest.mark.parametrize(
    ("step", "name"),
    [("score", name) for name in ("input", "output", "model_uri", "scheduler")]
    + [("download", "source"), ("train", "data")],
)
def test_a_url_with_a_password_is_refused_and_the_password_is_not_told(
    step: str, name: str, place: str, who: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters.read(step, [f"--{name}={place.format(who)}", f"http://{who}@stray"])
    assert f"'{name}' must be given without name and password" in str(caught.value)
    assert "ret" not in str(caught.value).replace("~/.netrc", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://host/x.csv?X-Amz-Signature=abc/d%2F", "https://host/x.csv?***"),
        ("HTTPS://host/x.zip?sig=a#sha256=b", "HTTPS://host/x.zip?***#sha256=b"),
        ("'https://host/x?sig=a' is gone: 403, url='http://b/?sig=c'",
         "'https://host/x?***' is gone: 403, url='http://b/?***'"),
        ("http://token@host:80/a/b", "http://***@host:80/a/b"),
        ("from http://host:80/a to me@host", "from http://host:80/a to me@host"),
        ("/in/what?.csv", "/in/what?.csv"),
        ("models:/heart-disease-model@champion", "models:/heart-disease-model@champion"),
    ],
)  # fmt: skip
def test_what_a_signature_says_is_not_shown(text: str, told: str) -> None:
    assert parameters.shown(text) == told


def test_all_problems_are_told_at_once() -> None:
    words = ["--max_depth=0", "--depth=5", "--test_size=2", "--promote=maybe", "stray"]
    with pytest.raises(ParameterError) as caught:
        parameters.read("main", words)
    lines = str(caught.value).splitlines()
    told = [re.findall(r"'(\w+)'", line)[0] for line in lines]
    assert sorted(told) == ["depth", "max_depth", "promote", "stray", "test_size"]


def test_the_last_of_two_values_counts() -> None:
    assert parameters.read("train", ["--max_depth=3", "--max_depth=4"])["max_depth"] == 4


@pytest.mark.parametrize("name", ["source", "data"])
def test_a_relative_path_is_made_absolute(tmp_path: Path, name: str) -> None:
    (tmp_path / "a b.csv").write_text("x")
    step = "download" if name == "source" else "train"
    # The test runs in tmp_path; the step that reads the value may not.
    assert parameters.check(step, {name: "a b.csv"})[name] == str(tmp_path / "a b.csv")


@pytest.mark.parametrize("name", ["source", "data"])
def test_a_path_may_begin_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "heart.csv").write_text("x")
    step = "download" if name == "source" else "train"
    assert parameters.check(step, {name: "~/heart.csv"})[name] == str(tmp_path / "heart.csv")


def test_a_file_url_becomes_the_path_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "a b%.csv"
    path.write_text("x")
    assert parameters.check("download", {"source": path.as_uri()})["source"] == str(path)


@pytest.mark.parametrize("form", ["{}", "file://{}", "uri"])
def test_a_model_and_an_input_may_be_file_uris_in_folders_of_any_name(
    tmp_path: Path, form: str
) -> None:
    folder = tmp_path / "Schöne Modelle"
    folder.mkdir()
    (folder / "MLmodel").touch()
    text = folder.as_uri() if form == "uri" else form.format(folder)
    given = parameters.check("score", {"model_uri": text, "input": f"{text}/part-?.csv"})
    assert given["model_uri"] == str(folder)
    assert given["input"] == f"{folder}/part-?.csv"


@pytest.mark.parametrize("step", ENTRY_POINTS)
def test_help_tells_every_parameter_and_its_default(
    step: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # lines break at the hyphens of a name
    with pytest.raises(SystemExit) as caught:
        parameters.read(step, ["--help"], "What this step does.")
    assert caught.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"python -m steps.{step}" in said
    assert "What this step does." in said
    for parameter in ENTRY_POINTS[step]:
        assert f"--{parameter.name}" in said
        assert f"{parameter.help} Default: {parameter.default or 'empty'}." in said


def test_main_takes_every_parameter_of_training_with_the_same_defaults() -> None:
    training = [p for p in ENTRY_POINTS["train"] if p.name != "data"]
    assert [one("main", parameter.name) for parameter in training] == training
