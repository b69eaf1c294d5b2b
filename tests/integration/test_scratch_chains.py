"""Chains on a scratch disk that holds two files and a half: real node, real workers, files that come and
go.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import a_spec
from node_scene import NodeScene, configure, until

from conductor.base.settings.settings import Settings
from conductor.model.spec import JobSpec, Needs, Output
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.record import removal_notes
from conductor.verify.verify import verify

MIB = 1 << 20
SHM = Path("/dev/shm")
UNIT = 8
#: Two writers of a file each may begin by what is free, and then neither reader finds the room for its own.
ROOM = 20
CHAINS = 4


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    if not SHM.is_dir() or not os.access(SHM, os.W_OK):
        pytest.skip("no tmpfs to make a small disk of")
    folder = Path(tempfile.mkdtemp(dir=SHM))
    facts = os.statvfs(SHM)
    kept_free = facts.f_bfree * facts.f_frsize - ROOM * MIB
    config = """
node = "here"
shell_programs = ["dd"]
shell_env = ["N"]
[lanes]
gpu.workers = 0
cpu.workers = 2
io.workers = 0
cloud.workers = 0
[limits]
cpu_share = 4.0
[timing]
report_every_s = 0.2
report_ttl_s = 3.0
[web]
is_on = false
[dashboard]
port = 0
"""
    file = project.project / "conductor.toml"
    old = 'path = ".conductor/scratch"\nheadroom_bytes = 0'
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, f'path = "{folder}"\nheadroom_bytes = {kept_free}'))
    it = NodeScene(ledger, configure(project, config))
    yield it
    it.close()
    shutil.rmtree(folder)


def a_job(n: int, source: str, size: int, before: JobSpec | None, root: str = "scratch") -> JobSpec:
    argv = ["dd", f"if={source}", "of={out:0}", "bs=1M", f"count={size}"]
    return a_spec(
        task="shell",
        workflow="system_test",
        args={"argv": argv, "env": {"N": str(n)}},
        needs=Needs(cpu=0.5, ram_mib=16),
        writes=(Output(path=f"{root}:t/{{id}}/file", bytes=size * MIB),),
        reads=() if before is None else (before.writes[0].path,),
        after=() if before is None else (before.id,),
    )


def a_chain(n: int) -> list[JobSpec]:
    first = a_job(3 * n, "/dev/zero", UNIT, None)
    second = a_job(3 * n + 1, "{in:0}", UNIT, first)
    return [first, second, a_job(3 * n + 2, "{in:0}", 1, second, "published")]


def files(settings: Settings) -> list[Path]:
    """Beside the name that its node has given the folder."""
    found = settings.roots["scratch"].path.rglob("*")
    return [path for path in found if path.is_file() and path.name != "root.id"]


@pytest.mark.slow
def test_chains_finish_on_a_disk_that_two_begun_at_once_would_fill_for_ever(scene: NodeScene) -> None:
    settings = scene.settings
    specs = [spec for chain in zip(*(a_chain(n) for n in range(CHAINS)), strict=True) for spec in chain]
    manifest = settings.project / "m.jsonl"
    manifests.write(manifest, specs)
    scene.node()
    assert scene.run("dispatch", str(manifest), "--target", "backlog:night").wait() == 0

    conduct = scene.run("conduct", "--until-done")
    assert conduct.wait(90) == 0, conduct.said

    until(lambda: not files(settings))
    report = verify(manifest, settings.receipts_dir, settings.layout)
    assert report.is_good, report.to_text()
    assert (report.done, report.outputs, report.removed) == (3 * CHAINS, CHAINS, 2 * CHAINS)
    assert len(list(removal_notes.read(settings.receipts_dir))) == 2 * CHAINS

    # What was removed is made again for a reader that has to be.
    lost = settings.roots["published"].path / specs[-1].writes[0].path.partition(":")[2]
    lost.unlink()
    assert scene.run("retry", "--missing", str(manifest)).wait() == 0
    again = scene.run("conduct", "--until-done")
    assert again.wait(60) == 0, again.said

    assert lost.stat().st_size == MIB
    until(lambda: not files(settings))
    assert verify(manifest, settings.receipts_dir, settings.layout).is_good


def test_what_was_read_stays_until_its_room_is_wanted_and_is_made_again_for_a_new_reader(
    scene: NodeScene,
) -> None:
    """The threshold is 0: only jobs that wait for the disk want room."""
    config = scene.settings.project / "conductor.toml"
    config.write_text(config.read_text().replace("headroom_bytes = ", "room_bytes = 0\nheadroom_bytes = ", 1))
    scene.node()

    def night(name: str, *specs: JobSpec) -> str:
        manifest = scene.settings.project / f"{name}.jsonl"
        manifests.write(manifest, specs)
        put = scene.run("dispatch", str(manifest), "--target", "backlog:night")
        assert put.wait() == 0, put.said
        conduct = scene.run("conduct", "--until-done")
        assert conduct.wait(60) == 0, conduct.said
        assert verify(manifest, scene.settings.receipts_dir, scene.settings.layout).is_good
        return put.said

    night("one", *a_chain(0))
    assert len(files(scene.settings)) == 2, "nobody wants their room"
    until(
        lambda: (
            next(v.removable_bytes for n in scene.ledger.reports.live() for v in n.volumes) == 2 * UNIT * MIB
        )
    )

    night("two", *a_chain(1))
    lying = {file.parent.name for file in files(scene.settings)}
    first = a_chain(0)[0]
    assert first.id not in lying and len(lying) < 4

    # All at once by hand: but for what a job reads that waits.
    read = next(spec for spec in a_chain(1) if spec.id in lying)
    manifests.write(
        waits := scene.settings.project / "waits.jsonl", [a_job(98, "{in:0}", 1, read, "published")]
    )
    assert scene.run("dispatch", str(waits), "--target", "backlog:night").wait() == 0
    purge = scene.run("purge-scratch", "--force")
    assert purge.wait() == 0, purge.said
    assert {file.parent.name for file in files(scene.settings)} == {read.id}, purge.said

    late = a_job(99, "{in:0}", 1, first, "published")
    assert "1 file was removed since: 1 job runs again" in night("three", late)
    assert verify(
        scene.settings.project / "one.jsonl", scene.settings.receipts_dir, scene.settings.layout
    ).is_good
    audit = scene.run("audit")
    assert audit.wait() == 0, audit.said


def test_a_chain_that_the_disk_can_never_hold_is_refused_with_one_that_would_do(scene: NodeScene) -> None:
    first = a_job(0, "/dev/zero", ROOM - 6, None)
    second = a_job(1, "{in:0}", ROOM - 6, first)
    manifest = scene.settings.project / "m.jsonl"
    manifests.write(manifest, [first, second, a_job(2, "{in:0}", 1, second, "published")])
    scene.node()

    refused = scene.run("dispatch", str(manifest), "--dry-run")

    assert refused.wait() == 3
    assert "can never all finish here" in refused.said
    assert f"need {2 * (ROOM - 6) * MIB} bytes at once" in refused.said
