"""Fixtures that several files of integration tests ask for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_tools import Cli
from loguru import logger

from conductor.base.settings.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from toon_scene import MoodyComfy, SegmentBench


@pytest.fixture
def cli(
    project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cli]:
    """The command line in the test's project; what it does to the log is undone."""
    yield Cli(project.project, capsys, monkeypatch)
    logger.remove()
    logger.add(sys.stderr)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from browser_scene import a_browser

    with a_browser() as browser:
        yield browser


@pytest.fixture
def comfy() -> Iterator[MoodyComfy]:
    from toon_scene import MoodyComfy

    server = MoodyComfy()
    yield server
    server.leave()


@pytest.fixture
def desk(tmp_path: Path, comfy: MoodyComfy) -> SegmentBench:
    """One segment of a toon, which is drawn by `comfy`."""
    from toon_scene import SegmentBench

    return SegmentBench(tmp_path, comfy)
