PYTHON ?= python3.11

.PHONY: install run serve test check docs

install:  ## an environment with all that is needed
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -r requirements.txt -r requirements-dev.txt

run:  ## the whole pipeline
	. .venv/bin/activate && mlflow run . -e main --env-manager local

serve:  ## the service, http://localhost:8000
	. .venv/bin/activate && gunicorn -c serving/gunicorn.conf.py

test:  ## all tests
	. .venv/bin/activate && pytest -n 3

check:  ## lint, format and types
	. .venv/bin/activate && ruff check . && ruff format --check . && mypy

docs:  ## the documentation as a site, docs/_build/html
	rm -rf docs/generated
	. .venv/bin/activate && sphinx-build -W --keep-going -b html docs docs/_build/html
