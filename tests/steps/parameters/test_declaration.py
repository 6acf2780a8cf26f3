"""Every parameter of every entry point: what is taken, and what is said to what is not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from steps.parameters import kinds
from steps.parameters.declaration import (
    Parameter,
    ParameterError,
    as_texts,
    check,
    parameters_of,
    parse,
)
from steps.parameters.entry_points import ENTRY_POINTS, Download, Score, Train
from steps.parameters.kinds import Number, OneOf, SomeOf

RUN_ID = "0123456789abcdef" * 2
EACH = [
    pytest.param(entry, name, parameter, id=f"{step}.{name}")
    for step, entry in ENTRY_POINTS.items()
    for name, parameter in parameters_of(entry).items()
]
each_parameter = pytest.mark.parametrize(("entry", "name", "parameter"), EACH)
NEEDED: dict[type, dict[str, str]] = {Score: {"input": "/in.csv", "output": "/nowhere/out"}}
"""What must be given, since the default, an empty text, is refused."""

# Of the kinds that are functions: texts that are taken, and texts that are not.
TEXTS: dict[object, tuple[tuple[str, ...], tuple[str, ...]]] = {
    kinds.flag: (("true", "false", "FALSE"), ("", "yes", "0")),
    kinds.source: (
        ("auto", "uci", "sample", "http://example.org/heart.csv",
         "https://example.org/x.zip#sha256=" + "a" * 64),
        ("", "nowhere.zip", "file:///nowhere/heart.csv", "ftp://example.org/heart.csv", "http://",
         "https:///heart.csv", "http://[::1/heart.csv",
         "https://example.org/heart.zip#sha256=../../../etc",
         "https://example.org/heart.zip#sha256=abc", "~nobody_of_this_name/heart.csv",
         "a" * 5000, "/", "Auto"),
    ),
    kinds.data: (
        ("", RUN_ID), ("nowhere.parquet", RUN_ID[:-1], RUN_ID.upper(), "/", "~nobody/x", "a" * 5000)
    ),
    kinds.run_id: (("", RUN_ID), ("latest", RUN_ID[:-1], RUN_ID + "0", RUN_ID.upper())),
    kinds.model_name: (
        ("heart-disease-model", "main.clinic.heart_2"),
        ("", "a b", "a/b", "a:b", "a%b", "a'b", 'a"b', "a\nb"),
    ),
    kinds.model_uri: (
        ("models:/heart-disease-model@champion", "models:/heart-disease-model/1",
         f"models:/m-{RUN_ID}", f"runs:/{RUN_ID}/random_forest_model"),
        ("", "models:/", "runs:/abc", "nowhere", "/nowhere"),
    ),
    kinds.version: (("", "1", "12", "007"), ("0", "-1", "1.0", "v3", "\uff13", "9" * 20)),
    kinds.target: (
        ("champion", "challenger", "archived", "production", "Staging", "Archived"),
        ("", "winner", "CHAMPION", "none"),
    ),
    kinds.file: (("", __file__), ("nowhere.csv", "/", "~nobody_of_this_name/x.csv", "a" * 5000)),
    kinds.log_folder: (("", "/"), ("nowhere", __file__, "a" * 5000)),
    kinds.replaced_path: (
        ("", "/heart.prom"), ("/", "/nowhere/heart.prom", "a" * 5000 + "/heart.prom")
    ),
    # What is not there is told by the step, whatever kind of source it is.
    kinds.input_path: (("/in/patients.csv", "/in/*.csv", "s3://bucket/in"), ("",)),
    kinds.output_path: (
        ("/nowhere/scored.parquet",),
        ("", "/", "~", "s3://bucket/scored.parquet", "file:///s.parquet"),
    ),
    kinds.scheduler: (
        ("", "tcp://127.0.0.1:8786", "tls://dask.clinic.example:8786", "tcp://[::1]:8786"),
        ("localhost", "127.0.0.1:8786", "http://host:8786", "tcp://host", "tcp://a b:1"),
    ),
    kinds.host: (
        ("127.0.0.1", "::1", "heart.clinic.example"), ("", "a b", "host;true", "http://host/")
    ),
}  # fmt: skip
VALUES = {
    "true": True, "false": False, "FALSE": False, "007": "7",
    "production": "champion", "Staging": "challenger", "Archived": "archived",
}  # fmt: skip
"""The values of those texts that are changed."""
NOT_NUMBERS = ("", "abc", "nan", "inf", "-inf", "None", "1,5", "0x10", "1_0", "\uff11", "9" * 5000)


def taken(parameter: Parameter) -> dict[str, object]:
    """Return texts that a parameter takes, up to the ends of its range, and their values."""
    match parameter.read:
        case Number() as kind:
            ends = (kind.type(kind.low), kind.type(kind.high))
            return {str(end): end for end in ends}
        case OneOf(allowed):
            return {name: name for name in allowed}
        case SomeOf(allowed):
            return {allowed[0]: allowed[:1], ",".join(allowed): allowed}
        case kind:
            return {text: VALUES.get(text, text) for text in TEXTS[kind][0]}


def refused(parameter: Parameter) -> Iterator[str]:
    """Return texts that a parameter does not take."""
    match parameter.read:
        case Number() as kind:
            beyond = 1 if kind.type is int else 0.01
            ends = (kind.type(kind.low - beyond), kind.type(kind.high + beyond))
            fraction = ("5.5", "1e2") if kind.type is int else ()
            yield from (*NOT_NUMBERS, *fraction, *map(str, ends))
        case OneOf(allowed):
            yield from ("", "no such name", allowed[0].title(), f"{allowed[0]} ")
        case SomeOf(allowed):
            first = allowed[0]
            yield from ("", "no such name", f"{first},", f"{first}, {first}", f"{first},{first}")
        case kind:
            yield from TEXTS[kind][1]


@each_parameter
def test_the_default_and_valid_texts_up_to_the_ends_of_the_range_are_taken(
    entry: type, name: str, parameter: Parameter
) -> None:
    declared = get_type_hints(entry)[name]
    needed = NEEDED.get(entry, {})
    default = {} if name in needed else {parameter.default: parameter.read(parameter.default)}
    for text, wanted in (default | taken(parameter)).items():
        values = check(entry, {**needed, name: text})
        value = getattr(values, name)
        assert (value, type(value)) == (wanted, type(wanted))
        assert type(value) is getattr(declared, "__origin__", declared)
        # As a step that is launched gets it.
        assert check(entry, as_texts(values)) == values
    assert all(getattr(check(entry, needed), name) == value for value in default.values())


@each_parameter
def test_an_invalid_text_gets_one_line_that_says_what_is_allowed(
    entry: type, name: str, parameter: Parameter
) -> None:
    for text in refused(parameter):
        with pytest.raises(ParameterError) as caught:
            check(entry, {**NEEDED.get(entry, {}), name: text})
        (line,) = str(caught.value).split("\n")
        assert re.match(rf"'{name}' must be (an? |the |one |true |empty |auto,|models:)", line)
        assert line.endswith(f" Got {text!r} instead.")


@pytest.mark.parametrize(("words", "line"), [
    (["--max_depth", "-1"], "'max_depth' must be an integer in [1, 100]. Got '-1' instead."),
    (["--max_depth"], "argument --max_depth: expected one argument"),
    (["--max"], "unknown parameter 'max'"),
    (["-m", "5"], "unknown parameter 'm'"),
])  # fmt: skip
def test_what_is_wrong_stands_in_the_line(words: list[str], line: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(Train, words)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("who", ["me:secret", "secret", ":secret", "me:sec/ret", "me:a@secret"])
@pytest.mark.parametrize("place", ["http://{}@host/x.csv", "s3://{}@bucket", "tcp://{}@host:8786"])
@pytest.mark.parametrize(
    ("entry", "name"),
    [(Score, name) for name in ("input", "output", "model_uri", "scheduler")]
    + [(Download, "source"), (Train, "data")],
)
def test_a_url_with_a_password_is_refused_and_the_password_is_not_told(
    entry: type, name: str, place: str, who: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(entry, [f"--{name}={place.format(who)}", f"http://{who}@stray"])
    assert f"'{name}' must be given without name and password" in str(caught.value)
    assert "ret" not in str(caught.value).replace("~/.netrc", "")


@pytest.mark.parametrize(("entry", "name"), [(Download, "source"), (Train, "data")])
def test_a_path_is_made_absolute_from_here_or_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: type, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a b.csv").write_text("x")
    # The test runs in tmp_path; the step that reads the value may not.
    for text in ("a b.csv", "~/a b.csv"):
        assert getattr(check(entry, {name: text}), name) == str(tmp_path / "a b.csv")
    path = tmp_path / "a b%.csv"
    path.write_text("x")
    assert check(Download, {"source": path.as_uri()}).source == str(path)


@pytest.mark.parametrize("form", ["{}", "file://{}", "uri"])
def test_a_model_and_an_input_may_be_file_uris_in_folders_of_any_name(
    tmp_path: Path, form: str
) -> None:
    folder = tmp_path / "Schöne Modelle"
    folder.mkdir()
    (folder / "MLmodel").touch()
    text = folder.as_uri() if form == "uri" else form.format(folder)
    given = check(Score, {**NEEDED[Score], "model_uri": text, "input": f"{text}/part-?.csv"})
    assert given.model_uri == str(folder)
    assert given.input == f"{folder}/part-?.csv"
