"""What the conductor relies on, of every engine: `conductor/ports/engine.py`.

An adapter is put in by a fixture of its own name that yields an `EngineScene`, and by its name in `SCENES`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_scene import EngineScene
from hq_server import running_hq
from kubernetes_api import KubernetesApi, running_api
from slurm_daemons import SlurmDaemons

from conductor.adapters.engines.hyperqueue import HyperQueueEngine
from conductor.adapters.engines.kubernetes import KubernetesEngine
from conductor.adapters.engines.local import LocalEngine
from conductor.adapters.engines.ray import RayEngine
from conductor.adapters.engines.slurm import SlurmEngine
from conductor.base.errors import Unreachable
from conductor.base.settings.engine_settings import EngineSettings

SCENES = [
    "local_engine",
    "slurm_engine",
    "ray_engine",
    "kubernetes_engine",
    "kueue_engine",
    "hyperqueue_engine",
]


@pytest.fixture
def local_engine(tmp_path: Path) -> EngineScene:
    return EngineScene(LocalEngine(cpus=2, ram_mib=4096), tmp_path)


@pytest.fixture
def slurm_engine(slurm: SlurmDaemons, tmp_path: Path) -> EngineScene:
    def engine() -> SlurmEngine:
        return SlurmEngine(EngineSettings(kind="slurm"), "cdr-test-", patience_s=20.0)

    # Slurm counts time limits in minutes.
    return EngineScene(engine(), tmp_path, slurm.freeze, slurm.thaw, again=engine, patience_s=61.0)


@pytest.fixture
def ray_engine(ray_url: str, tmp_path: Path) -> EngineScene:
    def engine() -> RayEngine:
        return RayEngine(EngineSettings(kind="ray", url=ray_url), "cdr-test-")

    return EngineScene(engine(), tmp_path, again=engine, patience_s=60.0)


#: A Job that a person has written for pilots.
TEMPLATE = {"spec": {"template": {"spec": {"containers": [{"name": "pilot", "image": "conductor:1"}]}}}}


def kubernetes_scene(api: KubernetesApi, folder: Path, queue: str) -> EngineScene:
    template = folder / "pilot.json"
    template.write_text(json.dumps(TEMPLATE))
    settings = EngineSettings(kind="kubernetes", url=api.url, template=str(template), partition=queue)

    def engine() -> KubernetesEngine:
        return KubernetesEngine(settings, "cdr-test-")

    return EngineScene(engine(), folder, api.go_away, api.come_back, again=engine)


@pytest.fixture
def kubernetes_engine(tmp_path: Path) -> Iterator[EngineScene]:
    with running_api() as api:
        yield kubernetes_scene(api, tmp_path, queue="")


@pytest.fixture
def kueue_engine(tmp_path: Path) -> Iterator[EngineScene]:
    with running_api() as api:
        yield kubernetes_scene(api, tmp_path, queue="night")


@pytest.fixture
def hyperqueue_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineScene]:
    def engine() -> HyperQueueEngine:
        return HyperQueueEngine(EngineSettings(kind="hyperqueue"), "cdr-test-")

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with running_hq(tmp_path) as server:
        yield EngineScene(engine(), tmp_path, server.go_away, server.come_back, again=engine)


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest) -> Iterator[EngineScene]:
    scene: EngineScene = request.getfixturevalue(request.param)
    yield scene
    if scene.back is not None:
        scene.back()
    for key in scene.keys:
        if scene.engine.cancel(key):
            scene.wait(key, "ended")


def test_what_is_submitted_runs_where_and_with_what_it_was_told_and_its_end_is_told(
    scene: EngineScene,
) -> None:
    code = "import os, pathlib; print(os.environ['CONDUCTOR_TEST_WORD'], pathlib.Path.cwd(), flush=True)"
    key = scene.key("says")

    answer = scene.engine.submit(key, scene.python(code))

    assert answer.outcome == "placed" and answer.id
    job = scene.wait(key, "ended")
    assert (job.end, job.exit_code) == ("done", 0)
    assert (scene.folder / "output.txt").read_text().split() == ["täglich", str(scene.folder)]


def test_arguments_reach_the_program_as_they_are(scene: EngineScene) -> None:
    words = ("two words", "$HOME", "it's", 'a "quote"', "*", "")
    code = "import json, pathlib, sys; pathlib.Path('args.json').write_text(json.dumps(sys.argv[1:]))"
    key = scene.key("args")

    scene.engine.submit(key, scene.python(code, *words))

    scene.wait(key, "ended")
    assert (scene.folder / "args.json").read_text() == json.dumps(list(words))


def test_a_program_that_fails_has_failed_with_its_exit_code(scene: EngineScene) -> None:
    key = scene.key("fails")
    scene.engine.submit(key, scene.python("raise SystemExit(3)"))

    job = scene.wait(key, "ended")

    assert (job.end, job.exit_code) == ("failed", 3)


def test_the_same_key_twice_is_one_submission(scene: EngineScene) -> None:
    key = scene.key("twice")
    first = scene.engine.submit(key, scene.sleeper("twice"))
    scene.wait(key, "running")

    second = scene.engine.submit(key, scene.sleeper("twice"))

    assert (second.outcome, second.id) == ("placed", first.id)
    scene.end_sleeper("twice")
    scene.wait(key, "ended")
    assert scene.engine.submit(key, scene.sleeper("twice")).outcome == "placed", "also when it is over"
    assert scene.bodies("twice") == 1


def test_a_running_one_has_its_host_and_what_waits_says_why(scene: EngineScene) -> None:
    keys = [scene.key(name) for name in ("one", "two", "three")]
    for key in keys:
        scene.engine.submit(key, scene.sleeper("room"))

    running = [scene.wait(key, "running") for key in keys[:2]]
    third = scene.wait(keys[2], "pending")

    assert all(job.host and job.started_at for job in running)
    assert third.reason and third.position in (None, 1)
    scene.end_sleeper("room")
    assert [scene.wait(key, "ended").end for key in keys] == ["done"] * 3


def test_a_key_that_nobody_submitted_is_left_out(scene: EngineScene) -> None:
    key = scene.key("there")
    scene.engine.submit(key, scene.sleeper("there"))
    scene.wait(key, "pending", "running")

    assert set(scene.engine.find([key, "cdr-test-nobody-1"])) == {key}
    assert scene.engine.find([]) == {}


def test_what_is_cancelled_ends_and_stays_so(scene: EngineScene) -> None:
    keys = [scene.key(name) for name in ("first", "second", "waits")]
    for key in keys:
        scene.engine.submit(key, scene.sleeper("never"))
    scene.wait(keys[0], "running")
    scene.wait(keys[2], "pending")

    assert scene.engine.cancel(keys[2]) and scene.engine.cancel(keys[0])

    assert [scene.wait(key, "ended").end for key in (keys[2], keys[0])] == ["cancelled"] * 2
    assert not scene.engine.cancel(keys[0])
    assert not scene.engine.cancel("cdr-test-nobody-1")


def test_what_outlives_its_time_is_ended(scene: EngineScene) -> None:
    key = scene.key("long")
    if scene.patience_s > 60:
        pytest.skip("this engine counts time limits in minutes")
    scene.engine.submit(key, scene.sleeper("never", time_limit_s=1.0))

    assert scene.wait(key, "ended").end == "time"


def test_what_can_never_run_is_refused_in_words_and_makes_nothing(scene: EngineScene) -> None:
    key = scene.key("huge")
    too_much = scene.python("pass", cpus=scene.cpus + 1000)

    answer = scene.engine.submit(key, too_much)

    assert answer.outcome == "refused" and answer.words
    assert scene.engine.find([key]) == {}
    assert scene.engine.feasible(scene.python("pass")) == ""


def test_watch_tells_of_each_change_also_of_what_is_over_and_of_what_nobody_remembers(
    scene: EngineScene,
) -> None:
    ended, runs = scene.key("ended"), scene.key("runs")
    before = scene.engine.watch()
    scene.engine.submit(ended, scene.python("pass"))
    scene.engine.submit(runs, scene.sleeper("watched"))
    scene.wait(ended, "ended")
    scene.wait(runs, "running")

    told = scene.engine.watch(before.cursor)

    assert told.jobs[ended].state == "ended" and told.jobs[runs].state == "running"
    whole = (scene.again() if scene.again else scene.engine).watch()
    assert {ended, runs} <= set(whole.jobs)
    scene.end_sleeper("watched")
    scene.wait(runs, "ended")
    assert scene.engine.watch(told.cursor).jobs[runs].state == "ended"


def test_capacity_has_no_figures_that_contradict_each_other(scene: EngineScene) -> None:
    key = scene.key("room")
    scene.engine.submit(key, scene.sleeper("room"))
    scene.wait(key, "running")

    told = scene.engine.capacity()

    assert told.cpus is None or told.free_cpus is None or 0 <= told.free_cpus <= told.cpus
    assert told.cpus is None or told.cpus >= scene.cpus


def test_an_engine_that_is_away_says_nothing_of_its_jobs_and_a_submission_is_unknown(
    scene: EngineScene,
) -> None:
    if scene.away is None or scene.back is None:
        pytest.skip("this engine is never away")
    key, meanwhile = scene.key("before"), scene.key("meanwhile")
    scene.engine.submit(key, scene.sleeper("stays"))
    scene.wait(key, "running")

    scene.away()

    for ask in (lambda: scene.engine.find([key]), scene.engine.watch, scene.engine.capacity):
        with pytest.raises(Unreachable):
            ask()
    with pytest.raises(Unreachable):
        scene.engine.cancel(key)
    assert scene.engine.submit(meanwhile, scene.python("pass")).outcome == "unknown"

    scene.back()
    assert scene.wait(key, "running").state == "running"
    scene.end_sleeper("stays")
    assert scene.wait(key, "ended").end == "done"


def test_another_conductor_finds_what_the_first_one_submitted(scene: EngineScene) -> None:
    if scene.again is None:
        pytest.skip("this engine lives in the conductor's own process")
    key = scene.key("adopted")
    first = scene.engine.submit(key, scene.sleeper("adopted"))
    scene.wait(key, "running")

    other = scene.again()

    assert other.find([key])[key].state == "running"
    assert other.submit(key, scene.sleeper("adopted")).id == first.id
    assert scene.bodies("adopted") == 1
    assert other.cancel(key)
    assert scene.wait(key, "ended").end == "cancelled"
