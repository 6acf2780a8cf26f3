"""The published OpenAPI held against the running service by schemathesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.serving.service import environment, running


def test_description_and_service_agree(new_folder: Path, tmp_path: Path) -> None:
    settings = {"MODEL_URI": str(new_folder), "HEART_WEBHOOK_SECRET": "a secret for tests"}
    with running(tmp_path / "home", "", workers=1, **settings) as service:
        url = f"http://127.0.0.1:{service.port}/openapi.json"
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", url, "--checks", "all",
             "--max-examples", "60", "--seed", "1", "--phases", "examples,coverage,fuzzing"],
            env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=900,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
