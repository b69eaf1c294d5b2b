"""rq-dashboard for looking only: on loopback, without pickle, without a single request that changes anything.

As it comes, it binds 0.0.0.0, unpickles what it shows, and requeues on a GET. RQ's keys are the transport's
cache: what a job's state really is, `conductor status` tells.
"""

from __future__ import annotations

import hmac
import os
import secrets
import signal
import socket
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import orjson
from loguru import logger

from conductor.adapters.host.processes import detach, live_pid, remove_pid, stop_by_file, write_pid
from conductor.base.errors import ConductorError, ConfigError, Unreachable, UsageError
from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import make_own, write_whole
from conductor.base.redis_keys import PLAIN, Keys
from conductor.base.settings.sections import Redis as RedisSettings
from conductor.base.settings.web_settings import Dashboard as DashboardSettings

if TYPE_CHECKING:
    from flask import Flask
    from redis import Redis
    from werkzeug.serving import BaseWSGIServer

LOOPBACK = "127.0.0.1"
#: Another name in the Host header is a web page elsewhere that had its name point here (DNS rebinding).
HOSTS = frozenset({"localhost", LOOPBACK})
#: From a detached start to its listening.
READY_S = 30.0
#: Its loop has nothing to look for by itself: a signal ends the wait.
LOOK_S = 60.0
#: So many ports are tried from the wished one on.
PORTS = 50
READER = "conductor-dashboard"
PREFIX = "rq_dashboard."
#: The pages of rq-dashboard 0.9 that only read. Everything else of it is refused, whatever the method.
PAGES = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("queues_overview", "workers_overview", "jobs_overview", "job_view", "list_queues", "list_jobs"),
        *("job_info", "list_workers", "favicon", "static"),
    )
) | {"static"}
#: Only the scripts of the page as it was served run (its templates need eval); nothing comes from or goes
#: elsewhere.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' 'nonce-{}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: rq-dashboard puts what it gets as JSON into the page as HTML: these would begin a tag or end an attribute.
LOOKALIKES = str.maketrans({"<": "‹", ">": "›", '"': "”"})
REGISTRIES = frozenset({"queued", "failed", "deferred", "started", "finished", "scheduled", "canceled"})


def url_file(state_dir: Path) -> Path:
    """Holds the address while a dashboard runs."""
    return state_dir / "dashboard.url"


def serve_dashboard(
    chosen: DashboardSettings, redis: RedisSettings, state_dir: Path, redis_url: str, port: int | None = None
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `port` (default: the configured one): the first to try.

    Writes the address to `url_file`. Raises `UsageError` when no port is free, `Unreachable` without a Redis.
    """
    first = chosen.port if port is None else port
    own_url = chosen.redis_url
    keys = Keys(redis.prefix)
    client = connect(own_url or redis_url, keys, is_own=redis.url is None and own_url is None)
    server = listen(make_app(client, password_of(chosen.password_env), keys), first)
    address = f"http://{LOOPBACK}:{server.port}/"
    file, pid_file = url_file(state_dir), dashboard_pid_file(state_dir)
    make_own(file.parent)
    try:
        with until_a_signal():
            write_whole(file, f"{address}\n".encode())
            write_pid(pid_file)
            logger.info("rq-dashboard on {} (for looking only)", address)
            server.serve_forever(poll_interval=LOOK_S)
    finally:
        server.server_close()
        file.unlink(missing_ok=True)
        remove_pid(pid_file)
    return 0


def dashboard_pid_file(state_dir: Path) -> Path:
    return state_dir / "dashboard.pid"


def detach_dashboard(layout: Layout, port: int | None) -> int:
    """`conductor dashboard` on its own, once it listens; the exit code. Raises `ConductorError` in words."""
    pid_file, log = dashboard_pid_file(layout.state_dir), layout.logs_dir / "dashboard.out"
    if live_pid(pid_file) is not None:
        address = url_file(layout.state_dir).read_text(encoding="utf-8").strip()
        raise ConfigError(
            f"a dashboard of this project runs already, on {address} (conductor dashboard --stop)"
        )
    argv = [sys.executable, "-P", "-m", "conductor", "dashboard"]
    argv += [] if port is None else ["--port", str(port)]
    words = detach(argv, log, pid_file, READY_S, {"CONDUCTOR_PROJECT": str(layout.project)})
    if words:
        raise ConductorError(f"the dashboard did not come up:\n{words}")
    logger.info("rq-dashboard on {}", url_file(layout.state_dir).read_text(encoding="utf-8").strip())
    return 0


def stop_dashboard(layout: Layout) -> int:
    """Also 0 when none runs."""
    if not stop_by_file(dashboard_pid_file(layout.state_dir), is_now=True):
        logger.info("No dashboard of {} runs here", layout.project)
    return 0


class _ToldToEnd(BaseException):
    """Not an error: nothing on the way may take it for one."""


@contextmanager
def until_a_signal() -> Generator[None]:
    """The block ends where the first signal finds it, `serve_forever` in the midst of its wait: its own
    `shutdown` would be seen at its next look.
    """

    is_told = False

    def heard(number: int, frame: FrameType | None) -> None:
        nonlocal is_told
        # Two may come at once: the second finds the block on its way out.
        if not is_told:
            is_told = True
            raise _ToldToEnd

    before = {number: signal.signal(number, heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _ToldToEnd:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(app: Flask, first: int) -> BaseWSGIServer:
    """A server on the first free loopback port from `first` on; 0 takes any."""
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for port in range(first, first + (PORTS if first else 1)):
        # Werkzeug ends the process when a port is taken, so it gets a socket that is bound already.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            listener.close()
            continue
        listener.listen(64)
        bound = listener.getsockname()[1]
        with listener:
            # It works on a descriptor of its own; ours is closed.
            return make_server(LOOPBACK, bound, app, threaded=True, fd=listener.fileno())
    raise UsageError(
        f"no free port from {first} to {first + PORTS - 1}; set dashboard.port in conductor.toml"
    )


# ── Redis ─────────────────────────────────────────────────────────────────────────────────────────────────


def connect(url: str, keys: Keys, is_own: bool) -> Redis:
    """A client for the pages. On the project's own Valkey as a user that can only read RQ's keys.

    Somebody else's Redis keeps its users: there the refusals of this module are the guard.
    """
    import redis

    from conductor.adapters.redis.client import connect as connect_to

    options: dict[str, Any] = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
    if is_own:
        # On every new connection: a server that was restarted has forgotten the user.
        options["redis_connect_func"] = partial(become_reader, keys)
    try:
        client = connect_to(url, **options)
        client.ping()
    except redis.RedisError as e:
        raise Unreachable(f"the dashboard cannot reach Redis: {e}") from None
    return client


def reader_rules(keys: Keys) -> tuple[str, ...]:
    """May read RQ's keys and nothing else; the project's own Valkey enforces it whatever the pages do."""
    readable = f"%R~{keys.rq}*"
    return (
        *("reset", "on", "nopass", "resetchannels", readable, "-@all", "+@read", "-@dangerous"),
        *("+@connection", "+info"),
    )


def become_reader(keys: Keys, connection: Any) -> None:
    """Of a fresh connection: make sure the reader exists, then be it."""
    connection.on_connect()
    for command in (("ACL", "SETUSER", READER, *reader_rules(keys)), ("AUTH", READER, "-")):
        connection.send_command(*command)
        connection.read_response()


# ── the pages ─────────────────────────────────────────────────────────────────────────────────────────────


def make_app(client: Redis, password: str | None = None, keys: Keys = PLAIN) -> Flask:
    """rq-dashboard's pages over `client`, every request checked first; with a `password`, only for who has
    it.
    """
    import rq_dashboard
    from flask import Flask
    from redis.exceptions import RedisError
    from rq.exceptions import NoSuchJobError
    from werkzeug.exceptions import HTTPException

    # Flask's own /static stands before the blueprint's: it has to serve the same files.
    app = Flask("conductor.views.dashboard", static_folder=Path(rq_dashboard.__file__).parent / "static")
    app.config.update(
        RQ_DASHBOARD_REDIS_URL=(f"the project {keys.prefix}" if keys.prefix else "this project",),
        RQ_DASHBOARD_POLL_INTERVAL=2500,
        RQ_DASHBOARD_DISABLE_DELETE=True,
        DEPRECATED_OPTIONS=[],
    )
    app.redis_conn = client  # pyright: ignore[reportAttributeAccessIssue]
    app.before_request(lambda: refuse() or not_logged_in(password))
    app.register_blueprint(read_only_pages(client, keys))
    app.after_request(harden)

    def failed(error: Exception) -> tuple[str, int] | HTTPException:
        if isinstance(error, HTTPException):
            return error
        if isinstance(error, NoSuchJobError):
            return "RQ has no such job (any more): ask `conductor status`\n", 404
        if isinstance(error, RedisError):
            return "Redis does not answer: the dashboard tries again with the next page\n", 503
        logger.warning("a dashboard page failed: {}: {}", type(error).__name__, error)
        return "this page cannot be shown\n", 500

    app.register_error_handler(Exception, failed)
    return app


def refuse() -> tuple[str, int] | None:
    """What is not a look at a known page, from a browser that knows where it is, goes no further."""
    from flask import request

    if request.host.rsplit(":", 1)[0] not in HOSTS:
        return "open the dashboard as http://localhost or http://127.0.0.1\n", 403
    if request.method not in ("GET", "HEAD"):
        return "this dashboard is for looking only: use `conductor retry` and `conductor cancel`\n", 405
    if request.endpoint is None:
        return None
    arguments = request.view_args or {}
    if request.endpoint not in PAGES:
        return "this dashboard is for looking only: use `conductor retry` and `conductor cancel`\n", 403
    if arguments.get("instance_number", 0) != 0 or arguments.get("registry_name", "queued") not in REGISTRIES:
        return "there is no such page\n", 404
    return None


def not_logged_in(password: str | None) -> tuple[str, int, dict[str, str]] | None:
    """HTTP's basic login, whatever the user's name; None: come in."""
    from flask import request

    given = request.authorization.password if request.authorization else None
    if password is None or hmac.compare_digest((given or "").encode(), password.encode()):
        return None
    return "the dashboard asks for its password\n", 401, {"WWW-Authenticate": 'Basic realm="conductor"'}


def password_of(name: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """None where no login is configured. Raises `ConfigError` when the variable that is named holds
    nothing.
    """
    if name is None:
        return None
    if not (password := environ.get(name)):
        raise ConfigError(
            f"dashboard.password_env names ${name}, which is empty: set it, or take the setting out"
        )
    return password


def harden(response: Any) -> Any:
    nonce = secrets.token_urlsafe(16)
    if response.mimetype == "text/html" and not response.direct_passthrough:
        response.set_data(response.get_data(as_text=True).replace("<script", f'<script nonce="{nonce}"'))
    elif response.mimetype == "application/json" and not response.direct_passthrough:
        response.set_data(orjson.dumps(harmless(orjson.loads(response.get_data()))))
    response.headers["Content-Security-Policy"] = CONTENT_POLICY.format(nonce)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def harmless(value: Any) -> Any:
    """A JSON value with no text in it that is HTML."""
    if isinstance(value, str):
        return value.translate(LOOKALIKES)
    if isinstance(value, dict):
        return {key: harmless(item) for key, item in cast(dict[str, Any], value).items()}
    return [harmless(item) for item in cast(list[Any], value)] if isinstance(value, list) else value


def read_only_pages(client: Redis, keys: Keys) -> Any:
    """rq-dashboard's blueprint, made to use our client and classes that only look."""
    from rq_dashboard import web

    from conductor.adapters.rq.read_only import JSONSerializer, look_classes

    def ours(*_: object, **__: object) -> tuple[None, Redis]:
        # Its own opens a connection for each request, with the address in the settings.
        return None, client

    for name, value in {**look_classes(keys), "from_url": ours}.items():
        setattr(web, name, value)
    setattr(web.config, "serializer", JSONSerializer)  # noqa: B010 - its annotation says pickle
    return web.blueprint
