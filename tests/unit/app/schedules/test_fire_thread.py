"""The thread of one fire."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from conductor.app.schedules.fire import in_thread
from conductor.base.errors import ConfigError


@pytest.mark.usefixtures("no_thread_falls")
def test_a_journal_that_cannot_be_written_is_said_in_one_sentence():
    said: list[str] = []

    def run() -> None:
        raise ConfigError("the journal cannot be written: no room")

    fire: Any = SimpleNamespace(name="nightly", run=run)
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    in_thread(fire).join()
    logger.remove(sink)

    (line,) = said
    assert "nightly" in line and "no room" in line
