"""An ads run whose server is stopped, or whose disk is full, in the middle: no event is lost or doubled."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ads_scene import NOW, counted, lead_event, proof
from postgres_server import PASSWORD, PostgresServer
from task_bench import Bench

from conductor.base.errors import StoreUnavailable
from workers.ads import tables
from workers.task_api.failure_causes import of_exception
from workers.tasks import ads_event, ads_fatigue
from workflows.ads import samples

# ── a store that is away ──────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_is_stopped_in_the_middle_costs_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    monkeypatch.setenv("ADS_PASSWORD", PASSWORD)
    name = postgres.database()
    with postgres.connect() as connection:  # What it has acknowledged is to outlive it, as on a real host.
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on".encode())
    url = postgres.url(name)
    (tmp_path / "conductor.toml").write_text(f'[stores.ads]\nurl = "{url}"\npassword_env = "ADS_PASSWORD"\n')
    bench = Bench(tmp_path)
    counted(bench, lead_event("e1", "L1"))
    event = ads_event.counted_event(ads_event.parse(lead_event("e2", "L2"), ads_event.EventArgs))
    with (
        bench.context().store("ads", connections=2) as shared,
        pytest.raises(StoreUnavailable),
        bench.context().store("ads") as store,
        store.transaction() as change,
    ):
        assert list(shared.read("SELECT 1")) == [(1,)]
        assert tables.count_event(change, event)
        postgres.kill()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="store ads"):
            list(shared.read("SELECT 1"))
        assert time.monotonic() - began < 30, "the pool waits for its own limit, of a minute"
    with pytest.raises(StoreUnavailable, match="store ads"):
        counted(bench, lead_event("e2", "L2"))
    postgres.start()
    assert counted(bench, lead_event("e1", "L1"), lead_event("e2", "L2")) == [False, True]
    assert proof(bench, lead_event("e1", "L1"), lead_event("e2", "L2")) == []


# ── a disk that is full ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Bench]:
    """Whose store and outputs lie on a disk of a mebibyte."""
    for name in ("data", "published"):
        (tmp_path / name).mkdir()
    mounts = [tmp_path / "data", tmp_path / "published"]
    options = ("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs")
    done = [
        subprocess.run([*options, place], capture_output=True, check=False).returncode for place in mounts
    ]
    try:
        if any(done):
            pytest.skip("only root mounts a disk")
        (tmp_path / "conductor.toml").write_text(
            '[roots.data]\npath = "data"\n[stores.ads]\nurl = "sqlite:data/ads.db"\n'
        )
        yield Bench(tmp_path)
    finally:
        for place, failed in zip(mounts, done, strict=True):
            if not failed:
                subprocess.run(["umount", "-l", place], check=True)


def filled(place: Path) -> Path:
    file = place / "fill"
    with suppress(OSError), file.open("wb", buffering=0) as f:
        while f.write(b"\0" * 512):
            pass
    return file


def test_a_disk_that_is_full_in_the_middle_costs_no_event_and_no_half_report(small: Bench) -> None:
    events = [lead_event(f"e{n}", f"L{n}", touches=[[f"c{n}", NOW - 60.0]]) for n in range(30)]
    counted(small, *events[:10])
    data, published = (small.settings.roots[name].path for name in ("data", "published"))
    room = filled(data)
    with pytest.raises(StoreUnavailable, match="its disk is full"):
        for event in events:
            small.run(ads_event.run, event)
    room.unlink()
    assert counted(small, *events)[:10] == [False] * 10
    assert proof(small, *events) == []

    figures, _ = samples.make_files(small.inputs)
    report = "published:ads/fatigue.json"
    room = filled(published)
    with pytest.raises(OSError) as caught:
        small.run(ads_fatigue.run, {}, reads=[figures], writes=[report])
    assert of_exception(caught.value, has_device=False).cause == "no_space"
    room.unlink()
    assert small.run(ads_fatigue.run, {}, reads=[figures], writes=[report])["asked"] == 1
