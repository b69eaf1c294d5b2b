"""The process of `conductor web`: a port, a socket in the state folder, and uvicorn on both."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from loguru import logger

from conductor.adapters.files.web_files import web_socket, web_url_file
from conductor.app.web.protocol import Connection
from conductor.base.errors import UsageError
from conductor.base.files.safe_open import make_own, write_whole

#: So many ports are tried from the wished one on.
PORTS = 50
#: Open at once; whoever comes then is told to come again.
MOST_CONNECTIONS = 1000
#: At the end answers have so long to be fetched.
LEAVE_S = 2
#: A signal ends the wait; who is told to leave before uvicorn listens to signals sees it at the next look.
LOOK_S = 1.0


def serve_web(app: FastAPI, bind: str, first: int, state_dir: Path) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `first`: the first port to try, 0 takes any.

    Writes the address to `web_url_file`. Raises `UsageError` when no port is free.
    """
    make_own(state_dir)
    server = PageServer(config_of(app))

    def heard(number: int, frame: FrameType | None) -> None:
        # Before uvicorn listens to signals itself, and once more when it is through: it hands them on.
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heard)
    raise_file_limit()
    with listening(bind, first) as port, own_socket(web_socket(state_dir)) as own:
        address = f"http://{shown(bind)}:{port.getsockname()[1]}/"
        note = web_url_file(state_dir)
        write_whole(note, f"{address}\n".encode())
        logger.info("The page and the HTTP API are at {}", address)
        try:
            server.run([port, own])
        finally:
            note.unlink(missing_ok=True)
    return 0


class PageServer(uvicorn.Server):
    """One that sleeps while nobody comes, and also ends what its lifespan holds when a second Ctrl-C cuts
    its connections short: by itself it would cancel that in its wait, which is told as a failure with a
    traceback.
    """

    _wake: Callable[[], object] = staticmethod(lambda: None)

    async def main_loop(self) -> None:
        """uvicorn's own looks ten times a second whether it is to leave, for as long as nobody comes."""
        told, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake = partial(loop.call_soon_threadsafe, told.set)
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), LOOK_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._wake()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()


def config_of(app: FastAPI) -> uvicorn.Config:
    stdlib_logs_go_to_ours()
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # Addresses may hold what is nobody else's.
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=LEAVE_S,
    )


def shown(bind: str) -> str:
    """As a browser is to be told it."""
    address = ip_address(bind)
    if address.is_unspecified:
        return "localhost"
    return f"[{bind}]" if address.version == 6 else bind


def raise_file_limit() -> None:
    """Each connection is a file; many systems begin with few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MOST_CONNECTIONS
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def listening(bind: str, first: int) -> Generator[socket.socket]:
    """A socket on the first free port from `first` on."""
    family = socket.AF_INET6 if ip_address(bind).version == 6 else socket.AF_INET
    fault = ""
    for port in range(first, first + (PORTS if first else 1)):
        # By its protocol asyncio knows it for TCP and turns Nagle off: else each answer waits 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((bind, port))
        except OSError as e:
            listener.close()
            fault = e.strerror or str(e)
            continue
        with listener:
            listener.listen(256)
            yield listener
        return
    raise UsageError(
        f"no free port at {bind} from {first} to {first + PORTS - 1} ({fault}): set web.bind or web.port"
    )


@contextmanager
def own_socket(path: Path) -> Generator[socket.socket]:
    """Nobody but the owner may open it, from its first moment on."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    with listener:
        listener.listen(64)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


class _Forwarding(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelno >= logging.WARNING else "DEBUG"
        logger.opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def stdlib_logs_go_to_ours() -> None:
    for name in ("uvicorn", "uvicorn.error"):
        of_server = logging.getLogger(name)
        of_server.handlers, of_server.propagate = [_Forwarding()], False
        of_server.setLevel(logging.WARNING)
