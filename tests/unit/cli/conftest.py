"""A `conductor` for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from cli_tools import Cli
from loguru import logger

from conductor.settings import Settings


@pytest.fixture
def cli(project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line on the session's Valkey."""
    return Cli(project.project, capsys, monkeypatch)


@pytest.fixture(autouse=True)
def usual_logger() -> Iterator[None]:
    """Commands set the logger up for themselves."""
    yield
    logger.remove()
    logger.add(sys.stderr)
