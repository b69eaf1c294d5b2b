"""A project's web process as its users run it: `conductor web` on a real Valkey, asked over HTTP."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi.routing import APIRoute
from node_scene import Command, NodeScene, until

from conductor.adapters.files.web_files import web_socket, web_url_file
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.settings.settings import CONFIG_NAME, Settings, load

TOKEN_ENV = "TEST_WEB_TOKEN"
TOKEN = "a-token-of-this-test-0123456789"


@dataclass
class WebScene:
    settings: Settings
    command: Command
    url: str

    @property
    def host(self) -> str:
        """As browsers send it."""
        return self.url.removeprefix("http://").rstrip("/")

    def stranger(self, **headers: str) -> httpx.Client:
        """On this host, without the token. Names of headers are written with `_`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Client(base_url=self.url, headers=named, timeout=10.0)

    def friend(self, **headers: str) -> httpx.Client:
        return self.stranger(Authorization=f"Bearer {TOKEN}", **headers)

    def owner(self) -> httpx.Client:
        """Over the socket of the state folder."""
        transport = httpx.HTTPTransport(uds=str(web_socket(self.settings.state_dir)))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=10.0)


def configured(folder: Path, redis_url: str | None, more: str = "", web: str = "") -> Settings:
    """A project on that Redis; its web process takes any port and has a token. `web`: further lines of its
    section."""
    redis = f'[redis]\nurl = "{redis_url}"\n' if redis_url else ""
    text = f'{more}\n{redis}[web]\nport = 0\ntoken_env = "{TOKEN_ENV}"\n{web}\n'
    roots = "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    (folder / CONFIG_NAME).write_text(text + roots + "[roots.published]\npath = 'published'\n")
    settings = load(folder)
    for root in settings.roots.values():
        root.path.mkdir(parents=True, exist_ok=True)
    return settings


@contextmanager
def web_with_jobs(folder: Path, redis_url: str, web: str = "") -> Generator[tuple[WebScene, NodeScene]]:
    """The same on a Redis that is emptied, with the ledger's side of it."""
    with connect(redis_url) as client:
        client.flushall()
        with web_running(configured(folder, redis_url, web=web)) as scene:
            yield scene, NodeScene(redis_ledger(client), scene.settings)


@contextmanager
def web_running(settings: Settings, env: Mapping[str, str] | None = None) -> Generator[WebScene]:
    """From when it listens until it has ended."""
    file = web_url_file(settings.state_dir)
    command = Command(settings, "web", env={TOKEN_ENV: TOKEN, **(env or {})})
    try:
        until(lambda: file.exists() or command.process.poll() is not None, 30.0)
        assert file.exists(), command.said
        yield WebScene(settings, command, file.read_text().strip())
    finally:
        command.close()


def all_routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Those of included routers too; nothing that is no route of ours."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from all_routes(route.original_router.routes)
