"""Hosts need root, namespaces and a C compiler; where those are not there, the tests say so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.hosts.network import why_not


@pytest.fixture(scope="session")
def network_there() -> None:
    if why := why_not():
        pytest.skip(why)


@pytest.fixture(scope="session")
def clock_stub(network_there: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("clock") / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library
