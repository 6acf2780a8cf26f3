"""The project's files agree with each other: one source for each fact."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from steps.parameters.declaration import check, parameters_of
from steps.parameters.entry_points import ENTRY_POINTS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
TYPES = {int: "int", float: "float"}


def pins(name: str) -> dict[str, str]:
    """Return the version of each requirement; of some it is another on another platform."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([\w-]+)(?:\[\S+\])?==(\S+)", text, re.MULTILINE))


def normal(requirement: str) -> str:
    """Return the name of a requirement, as requirements files spell it."""
    return re.split(r"[\[<>=;~! ]", requirement)[0].lower().replace("_", "-")


def test_mlproject_has_the_entry_points_of_the_code_and_a_module_for_each() -> None:
    assert list(MLPROJECT["entry_points"]) == list(ENTRY_POINTS)
    for step in ENTRY_POINTS:
        assert (ROOT / "steps" / f"{step}.py").is_file()


@pytest.mark.parametrize("step", ENTRY_POINTS)
def test_mlproject_declares_each_parameter_with_its_type_and_default(step: str) -> None:
    declared = MLPROJECT["entry_points"][step]["parameters"]
    values = check(ENTRY_POINTS[step], {})
    assert list(declared) == list(parameters_of(ENTRY_POINTS[step]))
    for name, parameter in parameters_of(ENTRY_POINTS[step]).items():
        assert str(declared[name]["default"]) == parameter.default
        assert declared[name]["type"] == TYPES.get(type(getattr(values, name)), "string")


@pytest.mark.parametrize("step", ENTRY_POINTS)
def test_mlproject_passes_every_parameter_to_its_module(step: str) -> None:
    words = MLPROJECT["entry_points"][step]["command"].split()
    expected = [f"--{name}={{{name}}}" for name in parameters_of(ENTRY_POINTS[step])]
    assert words == ["python", "-m", f"steps.{step}", *expected]


@pytest.mark.parametrize("step", ENTRY_POINTS)
def test_the_readme_names_every_parameter_and_no_other(step: str) -> None:
    (row,) = re.findall(rf"^\| `{step}` \|.*\| (.*) \|$", README, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == list(parameters_of(ENTRY_POINTS[step]))
    stated = dict(re.findall(r"`(\w+)` \(([^)]*)\)", row))
    for name, parameter in parameters_of(ENTRY_POINTS[step]).items():
        if name in stated and not stated[name].startswith("the latest"):
            assert stated[name] == parameter.default


def test_every_entry_point_and_parameter_in_the_readmes_commands_exists() -> None:
    for command in re.findall(r"^mlflow run \. .*$", README, re.MULTILINE):
        step = re.search(r"-e (\w+)", command)
        assert step, command
        known = set(parameters_of(ENTRY_POINTS[step[1]]))
        assert set(re.findall(r"-P (\w+)=", command)) <= known, command


def test_conda_and_python_env_describe_the_same_environment() -> None:
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert re.fullmatch(r"3\.11\.\d+", python_env["python"])
    assert f"python={python_env['python']}" in conda["dependencies"]
    (pip,) = (entry for entry in conda["dependencies"] if isinstance(entry, dict))
    assert pip["pip"] == python_env["dependencies"] == ["-r requirements.txt"]


def test_requirements_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {normal(name) for name in project["project"]["dependencies"]} <= set(
        pins("requirements.txt")
    )
    assert {normal(name) for name in project["dependency-groups"]["dev"]} <= set(
        pins("requirements-dev.txt")
    )


def test_every_requirement_is_pinned_with_its_hashes_and_names_no_index() -> None:
    pin = r"[\w-]+(\[[\w,-]+\])?==[\w.]+( ; [^;\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert re.fullmatch(rf"( *#.*\n|{pin})+", text)
        assert "://" not in text


def test_development_uses_the_same_versions_as_production() -> None:
    production, development = pins("requirements.txt"), pins("requirements-dev.txt")
    shared = set(production) & set(development)
    assert shared
    assert {name: production[name] for name in shared} == {
        name: development[name] for name in shared
    }


def test_the_service_and_the_pipeline_mean_the_same_registered_model() -> None:
    """The two never import each other, so a name that both need stands in both."""
    settings = ROOT / "serving" / "settings.py"
    if settings.exists():
        assert '"heart-disease-model"' in settings.read_text()


def test_no_lock_file_replaces_the_requirements() -> None:
    """With ``--env-manager uv``, MLflow would install from uv.lock instead."""
    assert not (ROOT / "uv.lock").exists()


def test_every_file_that_the_readme_links_exists() -> None:
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_layout_of_the_readme_is_the_layout() -> None:
    block = re.search(r"## Layout\n\n```\n(.*?)```", README, re.DOTALL)
    assert block
    for name in re.findall(r"^(\w+)/", block[1], re.MULTILINE):
        assert Path(ROOT, name).is_dir(), name


def test_git_ignores_patients_and_what_is_made_of_them() -> None:
    files = ["heart.csv", "in/heart+disease.zip", "scored.parquet/part-000000.parquet",
             "scored.rejects.csv", "processed.cleveland.data", "data/patients.parquet"]  # fmt: skip
    done = subprocess.run(
        ["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == files
