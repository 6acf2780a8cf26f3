"""The project's files agree with each other: one source for each fact."""

import re
import subprocess
import tomllib
from typing import get_type_hints

import pytest
import yaml

from docs import tables
from serving.routes import documentation
from serving.settings import read_settings
from steps.parameters.declaration import parameters_of
from steps.parameters.entry_points import ENTRY_POINTS, MODEL_NAME
from tests import pages
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
TYPES = {int: "int", float: "float"}
OTHERS = {"requirements-dev.txt": "dev", "requirements-serve.txt": "serve"}
"""Requirements beside requirements.txt, and the group of dependencies that each is made from."""


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
def test_mlproject_declares_each_parameter_and_passes_it_to_its_module(step: str) -> None:
    about, known = MLPROJECT["entry_points"][step], parameters_of(ENTRY_POINTS[step])
    kinds = get_type_hints(ENTRY_POINTS[step])
    for name, parameter in known.items():
        declared = about["parameters"][name]
        assert str(declared["default"]) == parameter.default
        assert declared["type"] == TYPES.get(kinds[name], "string")
    given = [f"--{name}={{{name}}}" for name in known]
    assert list(about["parameters"]) == list(known)
    assert about["command"].split() == ["python", "-m", f"steps.{step}", *given]


def test_the_readme_names_every_entry_point_and_no_other() -> None:
    table = README.split("| entry point | what it does |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(ENTRY_POINTS)


def test_the_tables_of_the_docs_are_those_of_the_code() -> None:
    page = tables.PIPELINE.read_text()
    assert tables.pipeline(page) == page
    assert tables.SETTINGS_PAGE.read_text() == tables.settings()
    assert tables.SCHEMA.read_text() == tables.schema()


def test_every_entry_point_and_parameter_in_the_commands_of_the_pages_exists() -> None:
    for command in re.findall(r"^mlflow run \. .*$", pages.text(), re.MULTILINE):
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
    for name, group in OTHERS.items():
        assert {normal(each) for each in project["dependency-groups"][group]} <= set(pins(name))


def test_every_requirement_is_pinned_with_its_hashes_and_names_no_index() -> None:
    pin = r"[\w-]+(\[[\w,-]+\])?==[\w.]+( ; [^;\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    for name in ("requirements.txt", *OTHERS):
        text = (ROOT / name).read_text()
        assert re.fullmatch(rf"( *#.*\n|{pin})+", text)
        assert "://" not in text


@pytest.mark.parametrize("name", OTHERS)
def test_other_requirements_have_the_same_versions(name: str) -> None:
    production, other = pins("requirements.txt"), pins(name)
    shared = set(production) & set(other)
    assert shared
    assert {each: production[each] for each in shared} == {each: other[each] for each in shared}


def test_the_service_needs_nothing_that_the_pipeline_does_not_have() -> None:
    assert set(pins("requirements-serve.txt")) <= set(pins("requirements.txt"))


def test_the_service_and_the_pipeline_mean_the_same_registered_model() -> None:
    """The two never import each other, so a name that both need stands in both."""
    assert read_settings({}, {})["HEART_MODEL_NAME"] == MODEL_NAME


def test_the_release_is_the_newest_of_the_changelog_wherever_it_is_stated() -> None:
    released = re.findall(r"^## \[([\d.]+)\] - ([\d-]+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (project, str(citation["date-released"])) == released[0]
    assert project == citation["version"] == documentation.VERSION


def test_no_lock_file_replaces_the_requirements() -> None:
    """With ``--env-manager uv``, MLflow would install from uv.lock instead."""
    assert not (ROOT / "uv.lock").exists()


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1200


def test_every_file_that_the_pages_link_exists() -> None:
    for page in [*pages.pages(), *ROOT.glob("*.md"), *ROOT.glob("docs/decisions/*.md")]:
        for target in re.findall(r"\]\((?!http|#)([^)#\s]+)[^)]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    known = {page.name for page in pages.pages()} | {"index.md"}
    assert {page.name for page in ROOT.glob("docs/*.md")} <= known


def test_the_layout_of_the_readme_is_the_layout() -> None:
    block = re.search(r"```\n(clinical/.*?)```", README, re.DOTALL)
    assert block
    named = re.findall(r"^(\w+)/", block[1], re.MULTILINE)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = {name.split("/")[0] for name in listed.stdout.splitlines() if "/" in name}
    assert set(named) == {name for name in tracked if not name.startswith(".")}


def test_decisions_are_numbered_without_gaps_and_are_at_most_a_page() -> None:
    files = sorted(ROOT.glob("docs/decisions/0*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    for number, path in enumerate(files, 1):
        assert path.read_text().startswith(f"# {number}. ")
        assert len(path.read_text().split()) <= 600, path.name


def test_git_ignores_patients_and_what_is_made_of_them() -> None:
    files = ["heart.csv", "in/heart+disease.zip", "scored.parquet/part-000000.parquet",
             "scored.rejects.csv", "processed.cleveland.data", "data/patients.parquet"]  # fmt: skip
    done = subprocess.run(
        ["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == files
