"""The code that travels with a model: MLflow's python_function flavour."""

import hashlib
import json
from pathlib import Path

import mlflow.pyfunc
from mlflow.models import Model

from risk_model.flavours import inputs, python_function
from risk_model.serialization import REVIEWED_TYPES


def add(folder: Path, model: Model) -> None:
    """Put the loader and its definition under `code`, by a name that no other content has.

    A process imports a module of one name once: a second model would get the first one's loader.
    """
    definition = {"features": inputs.features(), "reviewed_types": REVIEWED_TYPES}
    texts = {
        ".py": Path(python_function.__file__).read_text("utf-8"),
        ".json": json.dumps(definition, indent=1),
    }
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()
    name = f"heart_disease_model_{digest[:12]}"
    (folder / "code").mkdir()
    for suffix, text in texts.items():
        (folder / "code" / f"{name}{suffix}").write_text(text, "utf-8")
    mlflow.pyfunc.add_to_model(
        model,
        loader_module=name,
        code="code",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config={"output": None},
    )
