"""Asks the web process that runs here for an address that logs a browser in."""

from __future__ import annotations

import getpass
from pathlib import Path

from conductor.adapters.files.web_files import web_socket, web_url_file
from conductor.base.errors import ConfigError, Unreachable


def web_link(state_dir: Path) -> str:
    """Raises `Unreachable` where none runs, `ConfigError` where it has no token."""
    import httpx

    transport = httpx.HTTPTransport(uds=str(web_socket(state_dir)))
    try:
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=5.0) as client:
            said = client.post("/api/v1/links", headers={"X-Conductor-Actor": getpass.getuser()})
            page = web_url_file(state_dir).read_text(encoding="utf-8").strip()
    except (httpx.HTTPError, OSError):
        raise Unreachable("no `conductor web` runs here: `conductor up`, or `conductor web`") from None
    if said.status_code != 200:
        raise ConfigError(said.json()["error"])
    return f"{page}#{said.json()['code']}"
