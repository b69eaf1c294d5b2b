"""Two hosts with a scratch disk each and one NAS: two folders, two nodes, real workers, one Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from node_scene import Command, until

from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.spec import JobSpec, Needs, Output
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.verify.verify import verify

CONTENT = b"pictures\n" * 40_000

CONFIG = """\
node = "{name}"
receipts_dir = "{common}/receipts"
shell_programs = ["cp", "sh"]
[redis]
url = "{url}"
[roots.scratch]
path = "scratch"
headroom_bytes = 0
room_bytes = 0
[roots.nas]
path = "{common}/nas"
marker = "mounted"
headroom_bytes = 0
[lanes]
gpu.workers = 0
cpu.workers = {cpu}
io.workers = 1
cloud.workers = {cloud}
[limits]
cpu_share = 4.0
[timing]
report_every_s = 0.2
report_ttl_s = 2.0
lease_s = 2.0
[web]
is_on = false
[dashboard]
port = 0
"""


@dataclass
class TwoHosts:
    """`a` serves the cpu lane, `b` the cloud lane: what `a` makes, `b` is to read."""

    a: Settings
    b: Settings
    ledger: Ledger
    commands: list[Command]

    def run(self, host: Settings, *words: str) -> Command:
        command = Command(host, *words)
        self.commands.append(command)
        return command

    def node(self, host: Settings) -> Command:
        command = self.run(host, "node")
        until(lambda: any(report.node == host.node for report in self.ledger.reports.live()))
        return command

    def says(self, host: Settings, *words: str) -> str:
        command = self.run(host, *words)
        command.wait()
        return command.said

    def dispatch(self, *specs: JobSpec) -> Path:
        manifest = self.a.project / "m.jsonl"
        manifests.write(manifest, specs)
        assert self.run(self.a, "dispatch", str(manifest), "--target", "backlog:night").wait() == 0
        return manifest

    def state(self, job_id: str) -> str:
        view = self.ledger.jobs.job(job_id)
        assert view is not None
        return view.state


@pytest.fixture
def hosts(tmp_path: Path, redis_url: str, ledger: Ledger) -> Iterator[TwoHosts]:
    common = tmp_path / "common"
    (common / "nas").mkdir(parents=True)
    (common / "nas" / "mounted").touch()
    settings: list[Settings] = []
    for name, cpu, cloud in (("a", 1, 0), ("b", 0, 1)):
        folder = tmp_path / name
        (folder / "scratch").mkdir(parents=True)
        text = CONFIG.format(name=name, common=common, url=redis_url, cpu=cpu, cloud=cloud)
        (folder / CONFIG_NAME).write_text(text)
        settings.append(load(folder))
    it = TwoHosts(settings[0], settings[1], ledger, [])
    yield it
    for command in it.commands:
        command.close()


def shell(lane: str, argv: list[str], **more: Any) -> JobSpec:
    return a_spec(task="shell", args={"argv": argv}, lane=lane, needs=Needs(cpu=0.2, ram_mib=16), **more)


def a_pair(source: Path, n: int = 0) -> tuple[JobSpec, JobSpec]:
    source.write_bytes(CONTENT)
    out = Output(path=f"scratch:t/{{id}}/file{n}", bytes=len(CONTENT))
    writer = shell("cpu", ["cp", str(source), "{out:0}"], writes=(out,))
    made = writer.writes[0].path
    reader = shell(
        "cloud", ["cp", "{in:0}", "{out:0}"], reads=(made,), after=(writer.id,),
        writes=(Output(path=f"nas:results/{{id}}/file{n}", bytes=len(CONTENT)),),
    )  # fmt: skip
    return writer, reader


def result(hosts: TwoHosts, reader: JobSpec) -> Path:
    return hosts.a.roots["nas"].path / reader.writes[0].path.partition(":")[2]


def files(hosts: TwoHosts) -> list[str]:
    """Of both scratch disks and of the way between them, results and Conductor's own left out."""
    folders = (hosts.a.roots["scratch"].path, hosts.b.roots["scratch"].path, hosts.a.roots["nas"].path)
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        and ".tmp" not in path.parts
        and "results" not in path.parts
        and path.name != "mounted"
    ]


def test_what_one_host_made_is_brought_to_the_one_that_reads_it_and_nothing_is_left_of_it(
    hosts: TwoHosts,
) -> None:
    writer, reader = a_pair(hosts.a.project / "source")
    hosts.node(hosts.a)
    hosts.node(hosts.b)
    manifest = hosts.dispatch(writer, reader)

    conduct = hosts.run(hosts.a, "conduct", "--until-done")
    assert conduct.wait(60) == 0, conduct.said

    assert result(hosts, reader).read_bytes() == CONTENT
    jobs = json.loads(hosts.says(hosts.a, "jobs", "--json"))
    text = json.dumps(jobs)
    assert text.count("files.transfer") >= 2, text
    # The last copy waits on b until its room is wanted.
    until(lambda: len(files(hosts)) <= 1)
    for host in (hosts.a, hosts.b):
        report = verify(manifest, host.receipts_dir, host.layout)
        assert report.is_good, report.to_text()
