"""A server that answers as the registry of Unity Catalog is documented to.

It knows aliases and no stages, finds versions by name or by run and never by both, and takes no tag
whose name has one of ``. , - = / :`` or whose value is longer than 1,000 characters.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

ROOT = "/api/2.0/mlflow/unity-catalog"


class RefusedError(HTTPException):
    """What the catalog does not do."""

    def __init__(self, code: int, error: str, message: str) -> None:
        super().__init__(message)
        self.code, self.error = code, error


def check_tag(key: str, value: str) -> None:
    if re.search(r"[.,\-=/:]", key):
        raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"Tag name {key} is reserved")
    if len(value) > 1000:
        raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"The value of tag {key} is too long")


class Catalog:
    """One registered model and its versions."""

    def __init__(self, name: str) -> None:
        self.name, self.url = name, ""
        self.tags: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self.versions: dict[str, dict[str, Any]] = {}

    def add(self, run_id: str, **tags: str) -> str:
        """Make a version, as an upload would have, and return its number."""
        number = str(len(self.versions) + 1)
        self.versions[number] = {"run_id": run_id, "tags": dict(tags)}
        return number

    def model(self, name: str) -> dict[str, Any]:
        if name != self.name:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"{name} does not exist")
        aliases = [{"alias": alias, "version": v} for alias, v in self.aliases.items()]
        return {"name": name, "aliases": aliases, "tags": as_list(self.tags)}

    def version(self, name: str, number: str) -> dict[str, Any]:
        self.model(name)
        if number not in self.versions:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"There is no version {number}")
        aliases = [{"alias": alias} for alias, v in self.aliases.items() if v == number]
        tags = as_list(self.versions[number]["tags"])
        return self.brief(number) | {"aliases": aliases, "tags": tags}

    def brief(self, number: str) -> dict[str, Any]:
        run_id = self.versions[number]["run_id"]
        return {"name": self.name, "version": number, "run_id": run_id, "status": "READY"}

    def by_alias(self, name: str, alias: str) -> dict[str, Any]:
        if alias not in self.aliases:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"There is no alias {alias}")
        return self.version(name, self.aliases[alias])

    def search(self, condition: str) -> list[dict[str, Any]]:
        wanted = re.fullmatch(r"(name|run_id) ?= ?'([^']*)'", condition)
        if not wanted:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", "one condition: name or run_id")
        found = [self.brief(number) for number in self.versions]
        return [version for version in found if version[wanted[1]] == wanted[2]]


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def answer(catalog: Catalog, method: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """Answer one request; what is not here, Unity Catalog does not do, or not without a cloud."""
    name, number = str(given.get("name", "")), str(given.get("version", ""))
    key, value = str(given.get("key", "")), str(given.get("value", ""))
    alias = str(given.get("alias", ""))

    def tag(tags: dict[str, str]) -> None:
        check_tag(key, value)
        tags[key] = value

    versions = catalog.versions
    routes: dict[str, Callable[[], object]] = {
        "GET registered-models/get": lambda: {"registered_model": catalog.model(name)},
        "GET model-versions/get": lambda: {"model_version": catalog.version(name, number)},
        "GET registered-models/alias": lambda: {"model_version": catalog.by_alias(name, alias)},
        "GET model-versions/search": lambda: {"model_versions": catalog.search(given["filter"])},
        "POST registered-models/alias": lambda: catalog.aliases.update({alias: number}),
        "DELETE registered-models/alias": lambda: catalog.aliases.pop(alias),
        "POST registered-models/set-tag": lambda: tag(catalog.tags),
        "POST model-versions/set-tag": lambda: tag(versions[number]["tags"]),
        "DELETE model-versions/delete-tag": lambda: versions[number]["tags"].pop(key),
    }
    route = f"{method} {path}"
    if route not in routes:
        raise RefusedError(404, "ENDPOINT_NOT_FOUND", f"{route} is not a request of the catalog")
    found = routes[route]()
    return found if method == "GET" and isinstance(found, dict) else {}


@contextmanager
def a_catalog(name: str) -> Iterator[Catalog]:
    """Run a catalog with one registered model."""
    catalog, app = Catalog(name), Flask("catalog")

    @app.route(f"{ROOT}/<path:path>", methods=["GET", "POST", "PATCH", "DELETE"])
    def catch(path: str) -> Any:
        given = request.args.to_dict() if request.method == "GET" else request.get_json()
        try:
            return jsonify(answer(catalog, request.method, path, given))
        except RefusedError as error:
            told = {"error_code": error.error, "message": error.description}
            return jsonify(told), error.code

    server = make_server("127.0.0.1", 0, app)
    catalog.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield catalog
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
