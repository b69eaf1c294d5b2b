"""Hosts that should be alike and are not: everything is done once all the same, and `conductor status` says
of each in one sentence what is the matter.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.chaos import play
from tests.chaos.jobs import mixed
from tests.chaos.world import REPOSITORY
from tests.hosts.hosts_world import HostsWorld, a_hosts_world, kill_host, live
from tests.nvml_stub import build, device

HOUR_S = 3_600


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_each_difference_is_said_and_nothing_is_lost_for_it(clock_stub: Path, tmp_path: Path) -> None:
    names = ("good", "early", "apart", "unmounted", "newer")
    (tmp_path / "empty").mkdir()
    changed = {
        "apart": {"[roots.published]": "[roots.other]"},
        "unmounted": {f"{tmp_path}/nas/published": f"{tmp_path}/empty"},
    }
    cards = tmp_path / "cards.txt"
    stub = {"LD_LIBRARY_PATH": str(build(tmp_path)), "NVML_STUB_STATE": str(cards)}
    cards.write_text("".join(f"{device(n)}\n" for n in range(4)))
    with a_hosts_world(
        tmp_path, names, conductors=1, nodes=names[:1], clock_stub=clock_stub, changed=changed
    ) as world:
        hosts = world.network.hosts
        hosts["early"].set_ahead(-26 * HOUR_S)
        code = hosts["early"].folder / "chaos_tasks.py"
        code.write_text(f"{code.read_text()}\n# another version\n")
        for name in names[1:-1]:
            world.keep_node(hosts[name])
        world.keep_node(hosts["newer"], PYTHONPATH=str(another_build(tmp_path)), **stub)
        world.until(lambda: len(live(world)) == len(names), "all report", 60.0)
        # It goes down, and half of its cards are gone when it comes back.
        cards.write_text("".join(f"{device(n)}\n" for n in range(2)))
        kill_host(world, hosts["newer"])

        world.put(*mixed(60, random.Random(3)))
        world.until(lambda: said(world, "newer: 2 of 4 devices"), "half of the cards are missed")
        told = "\n".join(world.notes())
        for words in (
            "the clock of early is 26 h 00 min behind Redis's",
            "early has other code of chaos.bad, chaos.step than apart, good, newer",
            "only apart declares the root other: ",
            "the root published of apart is another folder than that of ",
            "newer runs Conductor ",
        ):
            assert words in told, told
        text = world.command("status").stdout
        assert f"not mounted: marker .nas is missing in {tmp_path}/empty" in text
        assert "note: the clock of early is 26 h 00 min behind" in text
        world.until(world.is_over, "all have ended", 60.0)
        # What was made in the folder of that host's own is there, and nowhere else.
        own = hosts["apart"].folder / "published"
        shutil.copytree(own, tmp_path / "nas" / "published", dirs_exist_ok=True)

        assert play.checked(world) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_host_that_is_cut_off_is_said_and_comes_back_to_work_that_others_have_done(
    network_there: None, tmp_path: Path
) -> None:
    with a_hosts_world(tmp_path, ("one", "three"), conductors=1, io=0, lease_s=1.5) as world:
        cut = world.network.hosts["three"]
        world.put(*(spec for spec in mixed(120, random.Random(5), 0.1) if spec.lane != "io"))
        world.until(
            lambda: any(held["node"] == "three" and held.get("worker") for held in world.active()), "it works"
        )
        world.network.cut(cut)
        old = {proc.pid for proc in world.processes_of(cut)}

        world.until(lambda: said(world, "three has not reported since "), "it is missed", 40.0)
        assert [d["node"] for d in world.status()["differences"] if d["kind"] == "silent"] == ["three"]

        world.network.heal(cut)
        world.until(lambda: not said(world, "three has not reported"), "it is back", 40.0)
        assert old & {proc.pid for proc in world.processes_of(cut)}, "its old processes run on"
        world.until(world.is_over, "all have ended", 60.0)

        assert play.checked(world) == []


def said(world: HostsWorld, words: str) -> bool:
    return any(words in note for note in world.notes())


def another_build(folder: Path) -> Path:
    """This checkout with a change in it."""
    there = folder / "newer-code"
    for room in ("conductor", "workers"):
        shutil.copytree(REPOSITORY / room, there / room, ignore=shutil.ignore_patterns("__pycache__"))
    changed = there / "conductor" / "base" / "text.py"
    changed.write_text(f"{changed.read_text()}\n# another version\n")
    return there
