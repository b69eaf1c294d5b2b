"""The adapter of Slurm against a real one, where Slurm and its programs do what they do on a bad day."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from engine_scene import EngineScene
from msgspec.structs import replace
from slurm_daemons import NODE, ROOT, SlurmDaemons, running_slurm

from conductor.adapters.engines.slurm import SlurmEngine
from conductor.base.errors import Unreachable
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import EngineResources, Submission

BIN = ROOT / "usr" / "bin"


def an_engine(partition: str = "", patience_s: float = 20.0) -> SlurmEngine:
    return SlurmEngine(EngineSettings(kind="slurm", partition=partition), "cdr-test-", patience_s)


@pytest.fixture
def scene(slurm: SlurmDaemons, tmp_path: Path) -> EngineScene:
    return EngineScene(an_engine(), tmp_path)


class InFront:
    """Programs that are found before those of Slurm."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, program: str, body: str) -> None:
        (self._folder / program).write_text(f"#!/bin/sh\n{body}\n")
        (self._folder / program).chmod(0o755)

    def remove(self, program: str) -> None:
        (self._folder / program).unlink()


@pytest.fixture
def in_front(slurm: SlurmDaemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InFront:
    folder = tmp_path / "in-front"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{slurm.environment['PATH']}")
    return InFront(folder)


def asking(scene: EngineScene, resources: EngineResources) -> Submission:
    return replace(scene.sleeper("asks"), resources=resources)


def submissions(slurm: SlurmDaemons, key: str) -> list[str]:
    return slurm.run("squeue", "--noheader", "--states=all", "--format=%T", f"--name={key}").split()


def test_an_sbatch_that_took_it_and_gave_no_answer_is_unknown_and_its_job_is_found(
    scene: EngineScene, slurm: SlurmDaemons, in_front: InFront
) -> None:
    real = BIN / "sbatch"
    in_front.put("sbatch", f'{real} "$@" || exit; case "$*" in *--test-only*) ;; *) exec sleep 60;; esac')
    key = scene.key("hangs")

    assert an_engine(patience_s=3.0).submit(key, scene.sleeper("hangs")).outcome == "unknown"

    in_front.remove("sbatch")
    assert scene.engine.submit(key, scene.sleeper("hangs")).outcome == "placed"
    assert scene.bodies("hangs") == 1
    assert len(submissions(slurm, key)) == 1


def test_what_an_empty_list_had_us_submit_twice_never_runs_twice_and_goes_at_the_next_look(
    scene: EngineScene, slurm: SlurmDaemons, in_front: InFront
) -> None:
    key = scene.key("lied")
    scene.engine.submit(key, scene.sleeper("lied"))
    scene.wait(key, "running")
    in_front.put("squeue", "exit 0")

    second = scene.engine.submit(key, scene.sleeper("lied"))

    in_front.remove("squeue")
    assert second.outcome == "placed" and sorted(submissions(slurm, key)) == ["PENDING", "RUNNING"]
    assert scene.wait(key, "running").id != second.id
    slurm.until(lambda: sorted(submissions(slurm, key)) == ["CANCELLED", "RUNNING"])
    scene.end_sleeper("lied")
    assert scene.wait(key, "ended").end == "done"
    assert scene.bodies("lied") == 1


def test_an_id_that_was_given_again_finds_the_right_one_by_its_key(
    scene: EngineScene, slurm: SlurmDaemons
) -> None:
    slurm.run("sbatch", "--job-name=somebody", "--hold", "--mem=64", "--wrap=true")
    slurm.await_saved("somebody")
    forgotten, other = scene.key("forgotten"), scene.key("other")
    first = scene.engine.submit(forgotten, scene.sleeper("forgotten"))
    slurm.kill_controller()
    with pytest.raises(Unreachable, match="squeue"):
        scene.engine.find([forgotten])
    slurm.start_controller()

    second = scene.engine.submit(other, scene.python("pass"))

    assert second.id == first.id
    assert set(scene.engine.find([forgotten, other])) == {other}


def test_what_waits_says_for_what_and_at_which_place(scene: EngineScene) -> None:
    licensed = EngineResources(ram_mib=64, licences={"nuke": 2}, gres={"vram": 12})
    keys = [scene.key(name) for name in ("holds", "waits")]
    for key in keys:
        scene.engine.submit(key, asking(scene, licensed))
    scene.wait(keys[0], "running")

    waits = scene.wait(keys[1], "pending")
    end = time.monotonic() + scene.patience_s
    while waits.reason != "Licenses" and time.monotonic() < end:
        waits = scene.wait(keys[1], "pending")
    # One engine asks for places only now and then.
    assert (waits.reason, an_engine().find([keys[1]])[keys[1]].position) == ("Licenses", 1)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (EngineResources(gres={"vram": 40}), "Requested node configuration is not available"),
        (EngineResources(licences={"maya": 1}), "Invalid license specification"),
        (EngineResources(devices=1), "Invalid generic resource"),
        (EngineResources(ram_mib=64_000), "Requested node configuration is not available"),
    ],
)
def test_what_no_node_has_is_refused(scene: EngineScene, resources: EngineResources, words: str) -> None:
    answer = scene.engine.submit(scene.key("never"), asking(scene, resources))
    assert answer.outcome == "refused" and words in answer.words


def test_a_controller_that_has_just_begun_refuses_nothing(scene: EngineScene, slurm: SlurmDaemons) -> None:
    slurm.kill_controller()
    slurm.start_controller(with_node=False)
    answer = scene.engine.submit(scene.key("early"), scene.python("pass"))
    assert (answer.outcome, answer.words) == (
        "unknown",
        "Slurm's controller has just begun and does not know its nodes yet",
    )
    slurm.kill_controller()
    slurm.start_controller()
    assert scene.engine.feasible(scene.python("pass")) == ""


def test_a_partition_whose_nodes_are_all_drained_keeps_what_could_run_there_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of its own: one with `vram` that was drained is invalid to Slurm from then on.
    with running_slurm(tmp_path / "drained", with_vram=False) as slurm:
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)
        scene = EngineScene(an_engine(), tmp_path)
        slurm.run("scontrol", "update", f"NodeName={NODE}", "State=DRAIN", "Reason=tests")
        never = scene.engine.submit(scene.key("never"), asking(scene, EngineResources(ram_mib=64_000)))
        waits = scene.engine.submit(scene.key("later"), scene.python("pass"))

        assert (never.outcome, waits.outcome) == ("refused", "placed"), "sbatch knows what its nodes have"
        assert "lab1" in scene.wait(scene.key("later"), "pending").reason
        slurm.resume_node()
        assert scene.wait(scene.key("later"), "ended").end == "done"


def test_who_is_told_to_end_is_told_before_what_it_has_started(
    scene: EngineScene, slurm: SlurmDaemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.adapters.engines.slurm._STARTING_S", 0.0)
    key, said = scene.key("drains"), slurm.folder / "said"
    child = f"import pathlib, sys; sys.stdin.read(); pathlib.Path({str(said)!r}).write_text('finished')"
    code = (
        "import signal, subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE); "
        "signal.signal(signal.SIGTERM, lambda *_: (child.communicate(), sys.exit(0))); "
        "open('up', 'w').close(); signal.pause()"
    )
    scene.engine.submit(key, scene.python(code))
    slurm.until((scene.folder / "up").exists)

    assert scene.engine.cancel(key)

    assert scene.wait(key, "ended").end == "done"
    assert said.read_text() == "finished"


def test_what_is_longer_than_its_partition_allows_is_refused(scene: EngineScene) -> None:
    answer = an_engine("short").submit(scene.key("long"), scene.sleeper("long", time_limit_s=3600.0))
    assert (answer.outcome, answer.words) == ("refused", "it asks for 3600 s, and the partition gives 600 s")


def test_a_person_s_own_filters_hide_nothing(scene: EngineScene, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PARTITION", "short"), ("STATES", "FAILED"), ("FORMAT", "%i"), ("NAMES", "x")):
        monkeypatch.setenv(f"SQUEUE_{name}", value)
    key = scene.key("filtered")
    scene.engine.submit(key, scene.sleeper("filtered"))
    assert scene.wait(key, "running").host == "lab1"


def test_without_slurm_s_programs_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="squeue of Slurm cannot be started here: No such file"):
        an_engine().watch()
    answer = an_engine().submit("cdr-test-x-1", EngineScene(an_engine(), tmp_path).python("pass"))
    assert answer.outcome == "unknown"
