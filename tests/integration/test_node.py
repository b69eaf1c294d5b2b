"""`conductor node` on a real Valkey with real workers, killed, drained, doubled, and with devices that
move.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from node_scene import CONFIG, Command, NodeScene, configure, until, until_gone, with_tasks, words_of
from nvml_stub import Nvml, device, nvml, nvml_library  # noqa: F401 - fixtures

from conductor.adapters.host.processes import SESSION
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import valkey
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.ports import Ledger
from tests.strays import folders_of, getting_away, needs_cgroups, the_stray, wait_gone


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    it = NodeScene(ledger, configure(project))
    yield it
    it.close()


def test_a_node_reports_what_it_has_and_runs_what_it_is_given(scene: NodeScene):
    scene.node()
    report = until(scene.report)
    assert {q.queue: q.workers for q in report.queues} == {"cpu-here": 1}
    assert [(v.root, v.fault) for v in report.volumes] == [("scratch", None), ("published", None)]
    assert report.ram_total_mib and report.cpu_count > 0
    assert "no NVIDIA driver on this host" in report.notes

    job = scene.sleep(1, 0.0)

    scene.until_state(job, "done")


def test_a_killed_worker_s_job_is_back_within_a_second_and_the_worker_replaced(scene: NodeScene):
    node = scene.node()
    job = scene.begin(1)
    worker = node.worker()
    below = worker.children(recursive=True)

    worker.kill()
    killed_at = time.monotonic()

    view = scene.until_state(job, "waiting", limit_s=2.0)
    assert time.monotonic() - killed_at < 1.0
    assert view.cause == "worker_lost"
    assert f"(pid {worker.pid}) was killed by SIGKILL" in view.message
    until_gone(below)
    until(lambda: f" ({job[:8]}, " in node.said and "Rescued " in node.said)

    until(lambda: node.workers() and node.workers()[0].pid != worker.pid)
    second = scene.sleep(2, 0.0)
    scene.until_state(second, "done")


STARTS = """
import subprocess
from workers import task

@task("mine.start", lane="cpu")
def start(args, ctx):
    subprocess.run(args["argv"])
"""


@needs_cgroups
def test_who_got_away_from_a_killed_worker_is_ended_by_its_node_and_no_cgroup_is_left(
    ledger: Ledger, project: Settings, tmp_path: Path
):
    (project.project / "starts.py").write_text(STARTS)
    scene = NodeScene(ledger, configure(project, f'task_modules = ["starts"]\n{CONFIG}'))
    try:
        node = scene.node()
        job = scene.put(1, 0.0, task="mine.start", args={"argv": getting_away(tmp_path / "stray")})
        scene.admit(job)
        stray = the_stray(tmp_path / "stray")
        worker = node.worker()
        (child,) = folders_of(worker.pid)
        psutil.Process(int((child / "cgroup.procs").read_text().split()[0])).suspend()

        worker.kill()

        scene.until_state(job, "waiting")
        wait_gone(stray)
        until(lambda: not child.exists())
        workers = [process.pid for process in node.below()]
        node.process.send_signal(signal.SIGTERM)
        assert node.wait() == 0
        assert [folder for pid in workers for folder in folders_of(pid)] == []
    finally:
        scene.close()


def test_a_dead_worker_s_place_is_taken_at_once_by_a_copy_that_shows_as_that_worker(scene: NodeScene):
    node = scene.node(
        {"CONDUCTOR_DASHBOARD__PASSWORD_ENV": "NOT_FOR_BODIES", "NOT_FOR_BODIES": "hidden word"}
    )
    job = scene.begin(1)
    worker = node.worker()
    assert worker.ppid() == server_of(node).pid

    worker.kill()
    scene.until_state(job, "waiting")
    scene.admit(job)

    held = scene.until_state(job, "running").reservation
    assert held is not None and held.worker is not None
    again = node.worker()
    assert [again.cmdline()[i + 1] for i, word in enumerate(again.cmdline()) if word == "--name"] == [
        held.worker
    ]
    (body,) = again.children()
    assert is_copy(again) and is_copy(body)
    assert body.cmdline()[:3] == [sys.executable, "-m", "workers.isolation.child_main"]
    shown = body.environ()
    assert shown[SESSION] == str(again.pid) and shown["CONDUCTOR_PROJECT"] == str(scene.settings.project)
    assert "NOT_FOR_BODIES" not in shown
    # Of what it had as its parent's copy it holds nothing open but its own ends and its log.
    there = [str(held.readlink()) for held in Path(f"/proc/{body.pid}/fd").iterdir()]
    assert not [name for name in there if name.endswith(".jsonl")], there
    assert len([name for name in there if name.startswith("socket:")]) == 1, there
    node.process.send_signal(signal.SIGTERM)
    node.process.send_signal(signal.SIGINT)
    assert node.wait() == 130
    until_gone([again, body, *node.below()])


def test_a_node_whose_fork_server_is_killed_finishes_what_runs_and_goes_on(scene: NodeScene):
    node = scene.node()
    job = scene.begin(1)
    worker = node.worker()

    server_of(node).kill()

    # Its copies are told to leave, and finish what they have in hand.
    scene.release(1)
    scene.until_state(job, "done")
    until(lambda: "fork server ended" in node.said)
    until(lambda: node.workers() and node.workers()[0].pid != worker.pid)
    second = scene.sleep(2, 0.0)
    scene.until_state(second, "done")
    assert scene.job(job).attempts == 1


def is_copy(process: psutil.Process) -> bool:
    """It became no other program since it was forked (PF_FORKNOEXEC of Linux's `include/linux/sched.h`)."""
    flags = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[6]
    return bool(int(flags) & 0x40)


def server_of(node: Command) -> psutil.Process:
    return until(lambda: next((p for p in node.below() if "--fork-server" in words_of(p)), None))


def test_a_drain_finishes_the_job_in_hand_gives_back_the_rest_and_leaves_nothing(scene: NodeScene):
    node = scene.node()
    running = scene.begin(1)
    queued = scene.sleep(2, 0.0)
    below = node.below()

    node.process.send_signal(signal.SIGTERM)

    until(lambda: (report := scene.report()) and report.is_draining)
    scene.release(1)
    assert node.wait() == 0
    assert scene.job(running).state == "done"
    assert scene.job(queued).state == "waiting"
    assert scene.report() is None
    until_gone(below)


def test_a_second_signal_stops_at_once_and_returns_the_job(scene: NodeScene):
    node = scene.node()
    job = scene.begin(1, retry={"worker_lost": 0})
    below = node.below()

    node.process.send_signal(signal.SIGINT)
    until(lambda: "Draining" in node.said)
    assert node.process.poll() is None and scene.job(job).state == "running"
    node.process.send_signal(signal.SIGINT)

    assert node.wait(10) == 130
    assert (scene.job(job).state, scene.job(job).failures) == ("waiting", {}), (
        "nobody's fault: it cost no try"
    )
    until_gone(below)
    assert "Traceback" not in node.said


def test_a_second_node_of_the_same_name_is_refused(scene: NodeScene):
    node = scene.node()
    twin = scene.run("node")
    assert twin.wait() == 3
    assert f"node here of {scene.settings.project} already runs here (pid {node.pid})" in twin.said
    elsewhere = scene.run("node", env={"CONDUCTOR_STATE_DIR": "elsewhere"})
    assert elsewhere.wait() == 3
    assert "a node called here already reports to this Redis" in elsewhere.said
    assert "Traceback" not in twin.said + elsewhere.said


def test_vram_taken_by_a_foreign_process_is_reported_long_before_the_next_report(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    slow = CONFIG.replace("report_every_s = 0.5", "report_every_s = 30.0").replace(
        "ttl_s = 3.0", "ttl_s = 60.0"
    )
    scene = NodeScene(ledger, configure(project, slow))
    nvml.show(device(0), device(1))
    try:
        scene.node(nvml.env)
        report = until(lambda: r if (r := scene.report()) and sum(q.workers for q in r.queues) == 5 else None)
        assert {q.queue: (q.device, q.workers) for q in report.queues} == {
            "gpu-here-gpu0": ("gpu0", 2),
            "gpu-here-gpu1": ("gpu1", 2),
            "cpu-here": (None, 1),
        }

        nvml.show(device(0, used_mib=20000), device(1))

        until(lambda: (r := scene.report()) and r.devices[0].vram_used_mib == 20000, limit_s=5.0)
    finally:
        scene.close()


def test_a_device_that_is_lost_is_quarantined_and_comes_back(scene: NodeScene, nvml: Nvml):  # noqa: F811
    nvml.show(device(0), device(1))
    node = scene.node(nvml.env)

    def reasons() -> list[str | None]:
        report = scene.report()
        return [d.quarantined for d in report.devices] if report else []

    until(lambda: reasons() == [None, None])
    nvml.show(device(0), device(1, is_lost=True))
    until(lambda: reasons() == [None, "GPU is lost"])
    nvml.show("driver: lost")
    until(lambda: reasons() == ["Unknown Error", "Unknown Error"])
    nvml.show(device(0), device(1))
    until(lambda: reasons() == [None, None])
    # A worker that is just starting a child looks like two until that one is another program.
    until(lambda: len(node.workers()) == 5)


def test_a_gpu_worker_sees_its_own_device_and_a_cpu_worker_none(scene: NodeScene, nvml: Nvml):  # noqa: F811
    nvml.show(device(0), device(1))
    node = scene.node(nvml.env)
    expected = {("cpu-here", ""): 1, ("gpu-here-gpu0", "GPU-stub-0"): 2, ("gpu-here-gpu1", "GPU-stub-1"): 2}

    def seen() -> Counter[tuple[str, str]]:
        found = Counter[tuple[str, str]]()
        for worker in node.workers():
            with suppress(psutil.Error):
                # What is just becoming a child had the words of its worker a moment ago.
                if "--queue" in (words := worker.cmdline()):
                    queue = words[words.index("--queue") + 1]
                    found[queue, worker.environ()["CUDA_VISIBLE_DEVICES"]] += 1
        return found

    until(lambda: seen() == expected)


def test_a_mount_that_goes_away_is_a_fault_in_the_next_report(ledger: Ledger, project: Settings):
    settings = configure(project)
    nas = settings.project / "nas"
    nas.mkdir()
    (nas / ".conductor-mount").touch()
    with (settings.project / "conductor.toml").open("a") as config:
        config.write(f'[roots.nas]\npath = "{nas}"\nmarker = ".conductor-mount"\n')
    scene = NodeScene(ledger, settings)

    def fault() -> str | None:
        report = scene.report()
        return next((v.fault for v in report.volumes if v.root == "nas"), None) if report else "no report"

    try:
        scene.node()
        until(lambda: fault() is None)
        (nas / ".conductor-mount").unlink()
        until(lambda: fault() == f"not mounted: marker .conductor-mount is missing in {nas}")
        (nas / ".conductor-mount").touch()
        until(lambda: fault() is None)
    finally:
        scene.close()


def test_only_the_wanted_lanes_are_served(ledger: Ledger, project: Settings):
    scene = NodeScene(ledger, configure(project, CONFIG.replace("io.workers = 0", "io.workers = 1")))
    try:
        scene.node(None, "--io-only")
        report = until(scene.report)
        assert [(q.lane, q.workers) for q in report.queues] == [("io", 1)]
    finally:
        scene.close()


def test_a_node_and_its_workers_outlive_redis_and_go_on_when_it_is_back(tmp_path: Path):
    theirs = Settings(state_dir=tmp_path / "theirs")
    with valkey.session(theirs.valkey) as url, connect(url) as client:
        config = with_tasks(tmp_path) + CONFIG
        (tmp_path / CONFIG_NAME).write_text(f'{config}[redis]\nurl = "{url}"\n[roots.scratch]\npath = "s"\n')
        scene = NodeScene(redis_ledger(client), load(tmp_path))
        try:
            node = scene.node()
            worker = node.worker()
            job = scene.begin(1)

            valkey.stop(theirs.valkey)
            until(lambda: "the workers go on, trying again" in node.said)
            assert node.process.poll() is None and worker.is_running()
            valkey.ensure_running(theirs.valkey)
            scene.release(1)

            # Its report of before may be there yet.
            until(lambda: "Redis answers again" in node.said)
            scene.until_state(job, "done")
            until(scene.report)
            assert node.worker() == worker
            assert "Traceback" not in node.said
        finally:
            scene.close()


def test_a_worker_killed_while_redis_is_away_is_rescued_when_it_is_back(tmp_path: Path):
    theirs = Settings(state_dir=tmp_path / "theirs")
    with valkey.session(theirs.valkey) as url, connect(url) as client:
        # A lease that outlasts the test: only the supervisor can be the one who returns the job.
        config = with_tasks(tmp_path) + CONFIG.replace("[timing]", "[timing]\nlease_s = 60.0")
        (tmp_path / CONFIG_NAME).write_text(f'{config}[redis]\nurl = "{url}"\n[roots.scratch]\npath = "s"\n')
        scene = NodeScene(redis_ledger(client), load(tmp_path))
        try:
            node = scene.node()
            job = scene.begin(1)
            valkey.stop(theirs.valkey)
            node.worker().kill()
            until(lambda: "was killed by SIGKILL" in node.said)
            valkey.ensure_running(theirs.valkey)
            assert scene.until_state(job, "waiting").cause == "worker_lost"
        finally:
            scene.close()


def test_workers_that_cannot_start_are_noted_and_do_not_busy_the_host(scene: NodeScene):
    import workers

    broken = scene.settings.project / "broken"
    (broken / "workers").mkdir(parents=True)
    rest = "from workers.task_api.registry import task\n"  # What the project's tasks are written with.
    (broken / "workers" / "__init__.py").write_text(f"__path__ += {list(workers.__path__)!r}\n{rest}")
    (broken / "workers" / "__main__.py").write_text("raise SystemExit('no GPU for you')")
    node = scene.run("node", env={"PYTHONPATH": str(broken)})
    until(scene.report)
    job = scene.sleep(1, 0.0)

    def is_noted() -> bool:
        report = scene.report()
        return report is not None and any(
            "workers of cpu-here keep dying at start" in note for note in report.notes
        )

    until(is_noted)
    assert not scene.until_state(job, "waiting").failures, "it goes back at no cost"
    assert "no GPU for you" in node.said
    assert node.said.count("ended with exit code 1") < 10
    node.process.send_signal(signal.SIGTERM)
    assert node.wait(10) == 0
