"""Every lock installs the project itself: `scripts/bootstrap` builds it with what is locked alone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s\[<>=!~;]", each, maxsplit=1)[0].lower() for each in requirements}


@pytest.mark.parametrize("lock", ["cpu", "gpu", "dev", "dev-gpu"])
def test_a_lock_has_what_the_project_is_built_with_and_what_it_needs(lock: str):
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "locks" / f"{lock}.txt").read_text(), re.MULTILINE))
    wanted = names(PROJECT["project"]["dependencies"]) | names(PROJECT["dependency-groups"]["build"])

    assert wanted - locked == set()
