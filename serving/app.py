"""The application factory."""

from functools import partial

from flask import Flask, request

from risk_model.locations import ensure_account
from serving.following.worker import Following
from serving.http import problems
from serving.http.gevent_support import BackgroundThread
from serving.http.keys import Keys
from serving.http.log import protect_server_log
from serving.http.metrics import Metrics
from serving.http.middleware import Handler, Middleware
from serving.predictions.recorder import Recorder
from serving.routes import (
    documentation,
    explain,
    health,
    invocations,
    model,
    monitor,
    pages,
    predict,
    webhooks,
)
from serving.routes.service import Service
from serving.settings import Settings, read_settings


def create_app(config: Settings | None = None) -> Flask:
    """Make the service.

    Parameters
    ----------
    config : mapping, optional
        Settings by name (serving.settings.SETTINGS), which go before the environment; Flask's own;
        and ``following``, which stands in for what follows the registry.

    Returns
    -------
    Flask
        The WSGI application, which serves at once and has a model as soon as there is one.
    """
    protect_server_log()
    ensure_account()
    settings = read_settings(config)
    app = Flask(__name__)
    app.url_map.merge_slashes = False  # //metrics is not /metrics, whatever a proxy in front thinks
    app.config.update(settings)
    app.config["MAX_CONTENT_LENGTH"] = settings["HEART_MAX_CONTENT_LENGTH"]
    following = settings.get("following") or Following(settings)
    metrics = Metrics(following.status)
    following.attach(metrics)
    recorder = Recorder(settings, metrics, lambda: following.challenger)
    keys = Keys(settings["HEART_API_KEYS"])
    service = Service(settings, following, metrics, recorder, keys, BackgroundThread())
    app.extensions["heart"] = service
    hot: dict[str, Handler] = {
        "/predict": partial(predict.answer, service),
        "/invocations": partial(invocations.answer, service),
    }
    for path in hot:  # the middleware answers; of Flask, other methods get 405
        app.add_url_rule(path, path, methods=["POST"])
    problems.register(app)
    for routes in (documentation, explain, health, model, monitor, pages, webhooks):
        app.register_blueprint(routes.blueprint)
    app.before_request(_remember_route)
    if settings["HEART_KEYS_FOR"] == "everything":
        app.before_request(lambda: _require_key(keys))
    middleware = Middleware(app.wsgi_app, hot, metrics, following.ensure, settings)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    following.start()
    return app


def _remember_route() -> None:
    """Tell the middleware which route it was, for metrics and log: a path may hold anything."""
    if request.url_rule is not None:
        request.environ["heart.route"] = request.url_rule.rule


_ALWAYS_OPEN = {"/", "/monitor", "/ping", "/health", "/version", "/ready", "/webhooks/mlflow"}
"""The form and /monitor ask for a key themselves, webhooks for a signature; probes have none."""


def _require_key(keys: Keys) -> None:
    """Ask for a key where the operator wants one for everything."""
    rule = request.environ.get("heart.route", "")
    if rule not in _ALWAYS_OPEN and not rule.startswith("/static/"):
        keys.require(request.environ)
