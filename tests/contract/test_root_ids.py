"""Whether a root of two hosts is one folder, as their probes see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.adapters.host.disk_probe import DiskProbe
from conductor.base.settings.sections import Root


def test_two_hosts_see_by_its_id_that_a_root_is_one_folder(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    roots = {"nas": Root(path=tmp_path / "nas"), "scratch": Root(path=tmp_path / "scratch")}
    for root in roots.values():
        root.path.mkdir()
    looks = DiskProbe(roots)
    nodes = [DiskProbe(roots, is_node=True) for _ in range(2)]
    for probe in (looks, *nodes):
        request.addfinalizer(probe.close)
    assert [v.root_id for v in looks.read()] == ["", ""], "a look writes nothing"
    assert not list(tmp_path.rglob("*.id*"))

    here, there = [[v.root_id for v in node.read()] for node in nodes]

    assert here == there == [v.root_id for v in looks.read()]
    assert len(set(here)) == 2 and "" not in here
    assert len(list(tmp_path.rglob("root.id*"))) == 2, "no drafts are left"
