"""Who imports whom: never upwards, never in a circle, sideways only as the table says."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("clinical", "risk_model", "steps", "serving")

# Who may import whom, from the bottom up. Each room may import itself, and the rooms named.
FOUNDATION = {"clinical", "risk_model"}
STEPS = FOUNDATION | {"steps.parameters"}
WINGS = STEPS | {"steps.runs", "steps.modelling", "steps.reports"}
EDGE = FOUNDATION | {"serving.errors", "serving.settings", "serving.http"}
ROOMS: dict[str, set[str]] = {
    "clinical": set(),
    "risk_model": {"clinical"},
    "steps.parameters": FOUNDATION,
    "steps.runs": STEPS,
    "steps.modelling": STEPS,
    "steps.reports": STEPS | {"steps.modelling"},
    "steps.registry": WINGS,
    "steps.batch": WINGS,
    "steps.monitoring": WINGS,
    "steps.work": WINGS | {"steps.registry", "steps.batch", "steps.monitoring"},
    "steps": {"steps.parameters", "steps.runs"},
    "serving.errors": set(),
    "serving.settings": {"clinical", "serving.errors"},
    "serving.http": {"serving.errors", "serving.settings"},
    "serving.following": EDGE,
    "serving.predictions": EDGE,
    "serving.routes": EDGE | {"serving.following", "serving.predictions"},
    "serving": EDGE | {"serving.following", "serving.predictions", "serving.routes"},
}
# Libraries that a room must not import, whatever it may import of ours.
WITHOUT = {
    "clinical": {"mlflow", "flask", "sklearn"},
    "steps.runs": {"sklearn", "flask"},
    "steps.modelling": {"mlflow", "flask"},
    "serving.http": {"mlflow", "sklearn", "pandas"},
    "serving.following": {"flask"},
    "serving.predictions": {"flask", "mlflow"},
    "serving.routes": {"mlflow"},
}
STANDARD_LIBRARY_ALONE = (
    "clinical/schema.py", "clinical/errors.py", "clinical/numbers.py",
    "clinical/codings/definitions.py", "steps/runs/files.py", "steps/runs/terminal.py",
    *(f"steps/parameters/{name}.py" for name in ("declaration", "entry_points", "kinds", "uris")),
)  # fmt: skip
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in ROOT.glob(f"{package}/**/*.py")
)
HEAVY = {"sklearn", "matplotlib", "skl2onnx", "onnxruntime", "joblib"}


def imported(module: str) -> set[str]:
    """Return what a file imports anywhere, also within functions: modules, and names in them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(name: str) -> str:
    """Return the room that a module, or a name in one, belongs to."""
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(prefix for prefix in prefixes if prefix in ROOMS)


def roots(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(module)}


def dotted(module: str) -> str:
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_table(module: str) -> None:
    own = room(dotted(module))
    ours = {name for name in imported(module) if name.split(".")[0] in PACKAGES}
    # An entry point is a room of its own, and in no other's row: nobody imports one.
    assert {room(name) for name in ours} <= ROOMS[own] | {own} - {"steps"}
    unix = (
        {"fcntl", "grp", "pwd", "resource", "termios"} if own.split(".")[0] != "serving" else set()
    )
    assert not roots(module) & (WITHOUT.get(own, set()) | unix | {"tests", "benchmarks"})


def test_there_is_no_circle() -> None:
    known = {dotted(module): module for module in MODULES}

    def direct(name: str) -> set[str]:
        found = imported(known[name])
        return {
            n for n in found | {n.rpartition(".")[0] for n in found} if n in known and n != name
        }

    graph = {name: direct(name) for name in known if not known[name].endswith("__init__.py")}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ALONE)
def test_the_leaves_import_the_standard_library_and_each_other(module: str) -> None:
    leaves = {dotted(leaf) for leaf in STANDARD_LIBRARY_ALONE}
    ours = {name for name in imported(module) if name.split(".")[0] in PACKAGES}
    # risk_model.locations is nothing but the standard library as long as no database is named.
    modules = {name if name in leaves else name.rpartition(".")[0] for name in ours}
    assert modules <= leaves | {"risk_model.locations"}
    assert roots(module) <= sys.stdlib_module_names | {"__future__", *PACKAGES}


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
    assert not loaded_by(*(f"steps.work.{step}" for step in steps)) & {*HEAVY, "boto3"}


@pytest.mark.parametrize(
    "module", [n for n in MODULES if n.endswith("__init__.py") and not n.startswith("serving/")]
)
def test_no_package_has_names_of_other_modules(module: str) -> None:
    """What is imported by way of a package, nobody finds; nor does the key of a step's work."""
    assert roots(module) <= sys.stdlib_module_names | {"__future__"}


def test_importing_the_steps_does_nothing_else(tmp_path: Path) -> None:
    names = [dotted(module) for module in MODULES if module.startswith(("steps/", "risk_model/"))]
    found = in_a_fresh_process(
        "import json, logging, os, signal, sys, threading, warnings\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"os.chdir({str(tmp_path)!r})\n"
        # What the libraries do to a process that imports them is no work of ours.
        "import boto3, mlflow, mlflow.sklearn, matplotlib, onnxruntime, pandas, requests\n"
        "import skl2onnx\n"
        # Counts before the import of onnxruntime only; see risk_model and steps.
        "os.environ['ORT_DISABLE_TELEMETRY'] = '1'\n"
        "def state():\n"
        "    return {\n"
        "        'uri': mlflow.get_tracking_uri(), 'environment': dict(os.environ),\n"
        "        'term': str(signal.getsignal(signal.SIGTERM)), 'path': list(sys.path),\n"
        "        'run': str(mlflow.active_run()), 'handlers': len(logging.getLogger().handlers),\n"
        "        'filters': [str(f) for f in warnings.filters], 'files': os.listdir('.'),\n"
        "    }\n"
        "before = state()\n"
        f"for name in {names!r}: __import__(name)\n"
        "after = state()\n"
        "changed = {key: [str(before[key]), str(after[key])]\n"
        "           for key in before if before[key] != after[key]}\n"
        "print(json.dumps(changed))"
    )
    assert found == {}
    assert list(tmp_path.iterdir()) == []
