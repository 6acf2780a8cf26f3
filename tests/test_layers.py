"""Who imports whom: clinical <- steps, clinical <- serving, never sideways; and nobody too much."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("clinical", "steps", "serving")
ALLOWED = {
    "clinical": {"clinical"},
    "steps": {"steps", "clinical"},
    "serving": {"serving", "clinical"},
}
STANDARD_LIBRARY_ALONE = (
    "clinical/schema.py", "clinical/errors.py", "steps/runs/files.py", "steps/runs/parameters.py",
)  # fmt: skip
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in ROOT.glob(f"{package}/**/*.py")
)
HEAVY = {"sklearn", "matplotlib", "skl2onnx", "onnxruntime", "joblib"}


def imported(module: str) -> set[str]:
    """Return the modules that a file imports anywhere, also within functions, by full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names.add(str(node.module))
    return names


def roots(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(module)}


@pytest.mark.parametrize("module", MODULES)
def test_no_package_imports_its_neighbour(module: str) -> None:
    package = module.partition("/")[0]
    assert roots(module) & set(PACKAGES) <= ALLOWED[package]
    assert "tests" not in roots(module)


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ALONE)
def test_the_leaves_import_the_standard_library_alone(module: str) -> None:
    assert roots(module) <= sys.stdlib_module_names | {"__future__"}


def in_a_fresh_process(statements: str) -> dict[str, list[str]]:
    """Run statements in another Python, and return what its last line, JSON, says."""
    done = subprocess.run(
        [sys.executable, "-c", statements], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def loaded_by(*modules: str) -> set[str]:
    found = in_a_fresh_process(
        f"import json, sys, {', '.join(modules)}\n"
        "print(json.dumps({'modules': sorted({m.split('.')[0] for m in sys.modules})}))"
    )
    return set(found["modules"])


def test_the_steps_that_train_nothing_do_not_import_what_trains() -> None:
    steps = ("main", "download", "register", "promote")
    assert not loaded_by(*(f"steps.{step}" for step in steps)) & HEAVY


def test_a_wrong_parameter_is_answered_before_mlflow_is_imported() -> None:
    assert not loaded_by("steps.runs.running") & {"mlflow", "pandas", "numpy", *HEAVY}


def test_importing_the_steps_does_nothing_else(tmp_path: Path) -> None:
    names = [path.stem for path in (ROOT / "steps").glob("*.py") if path.stem != "__init__"]
    found = in_a_fresh_process(
        "import json, logging, os, signal, sys, threading, warnings\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"os.chdir({str(tmp_path)!r})\n"
        # What the libraries do to a process that imports them is no work of ours.
        "import boto3, mlflow, mlflow.sklearn, matplotlib, onnxruntime, pandas, requests\n"
        "import skl2onnx\n"
        "def state():\n"
        "    return {\n"
        "        'uri': mlflow.get_tracking_uri(), 'environment': dict(os.environ),\n"
        "        'term': str(signal.getsignal(signal.SIGTERM)), 'path': list(sys.path),\n"
        "        'run': str(mlflow.active_run()), 'handlers': len(logging.getLogger().handlers),\n"
        "        'filters': [str(f) for f in warnings.filters], 'files': os.listdir('.'),\n"
        "    }\n"
        "before = state()\n"
        f"for name in {names!r}: __import__(f'steps.{{name}}')\n"
        "after = state()\n"
        "changed = {key: [str(before[key]), str(after[key])]\n"
        "           for key in before if before[key] != after[key]}\n"
        "print(json.dumps(changed))"
    )
    assert found == {}
    assert list(tmp_path.iterdir()) == []
