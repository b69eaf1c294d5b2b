"""The server of the page sleeps while nobody comes, and a signal ends its sleep."""

from __future__ import annotations

import asyncio
import signal

import pytest
import uvicorn

from conductor.app.web import serve
from conductor.app.web.serve import PageServer


def test_a_signal_ends_the_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LOOK_S", 3600.0)
    server = PageServer(uvicorn.Config("nobody:asks"))

    async def told_to_leave() -> None:
        waiting = asyncio.create_task(server.main_loop())
        await asyncio.sleep(0)
        assert not waiting.done()
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.wait_for(waiting, 30)

    server.config.encoded_headers = []
    server.server_state.default_headers = []
    asyncio.run(told_to_leave())
