"""With a key, what stands in Redis is run only when a dispatch and a hand-over of ours put it there."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from loguru import logger
from redis import Redis

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.errors import ConfigError
from conductor.base.settings.settings import Settings
from conductor.base.signing import Signer, signer_of
from conductor.model.spec import JobSpec, Output, to_line
from tests.builders import a_reservation, a_spec
from tests.worker_scene import WorkerScene, a_scene, wait_until

KEY = "a key of more than sixteen letters"
CONFIG = 'signing_key_env = "MY_SIGNING_KEY"'


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(sink)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        yield client


def scene_of(
    project: Settings, client: Redis, signer: Signer | None, is_checked: bool
) -> Iterator[WorkerScene]:
    if is_checked:
        config = project.project / "conductor.toml"
        config.write_text(config.read_text().replace("[redis]", f"[redis]\n{CONFIG}"))
    scene = a_scene(project, redis_ledger(client, signer))
    yield scene
    scene.close()


@pytest.fixture
def signed(project: Settings, client: Redis) -> Iterator[WorkerScene]:
    yield from scene_of(project, client, Signer(KEY), is_checked=True)


@pytest.fixture
def unsigned(project: Settings, client: Redis) -> Iterator[WorkerScene]:
    yield from scene_of(project, client, None, is_checked=False)


def a_job(n: int = 0, text: str = "honest") -> JobSpec:
    return a_spec(task="mine.write", args={"text": text, "n": n}, writes=(Output(path=f"published:{n}.txt"),))


def forge(client: Redis, spec: JobSpec, **changes: object) -> None:
    """What somebody who can write to Redis does: another content under the same id."""
    client.hset("conductor:jobs", spec.id, to_line(msgspec.structs.replace(spec, **changes)))


def evil(spec: JobSpec) -> dict[str, object]:
    return {"args": {**spec.args, "text": "evil"}}


def published(scene: WorkerScene, n: int = 0) -> str | None:
    file = scene.settings.roots["published"].path / f"{n}.txt"
    return file.read_text() if file.exists() else None


def test_without_a_key_a_forged_line_is_run(unsigned: WorkerScene, client: Redis):
    """The control: this is what the key is for."""
    spec = unsigned.put(a_job())
    forge(client, spec, **evil(spec))
    unsigned.worker()
    unsigned.wait_state(spec, "done", "dead")
    assert published(unsigned) == "evil"


def test_with_a_key_an_honest_job_is_run_and_its_body_cannot_see_the_key(signed: WorkerScene):
    spec = signed.put(a_job())
    signed.worker(MY_SIGNING_KEY=KEY)
    (receipt,) = signed.wait_state(spec, "done", "dead")
    assert receipt.outcome == "ok" and published(signed) == "honest"
    assert KEY not in signed.story() + repr(signed.receipts())


def test_a_line_changed_after_its_hand_over_is_quarantined_not_run(signed: WorkerScene, client: Redis):
    spec = signed.put(a_job())
    forge(client, spec, **evil(spec))
    signed.worker(MY_SIGNING_KEY=KEY)
    (receipt,) = signed.wait_state(spec, "done", "dead")
    assert (receipt.outcome, receipt.cause) == ("failed", "refused") and "no signature" in receipt.message
    assert published(signed) is None and signed.state(spec) == "dead"
    wait_until(lambda: "no signature of this key" in signed.story(), "the log says so", signed.story)


def test_a_line_changed_before_its_hand_over_is_never_handed_over(
    signed: WorkerScene, client: Redis, log: list[str]
):
    spec = a_job()
    with pytest.raises(AssertionError):
        # Between dispatch and admission.
        forged_then_admitted(signed, client, spec)
    assert signed.state(spec) == "cancelled"
    assert any(spec.id[:8] in line and "no seal of this key" in line for line in log)
    assert client.llen("rq:queue:cpu-node1") == 0


def forged_then_admitted(scene: WorkerScene, client: Redis, spec: JobSpec) -> None:
    admit = scene.admit

    def first_forge(one: JobSpec, attempt: int = 1) -> None:
        forge(client, spec, **evil(spec))
        admit(one, attempt)

    scene.admit = first_forge  # type: ignore[method-assign]
    scene.put(spec)


def test_a_job_put_without_the_key_is_cancelled_and_runs_after_a_dispatch_with_it(
    signed: WorkerScene, client: Redis, log: list[str]
):
    spec, with_key = a_job(), signed.ledger
    signed.ledger = redis_ledger(client)
    admit, signed.admit = signed.admit, lambda *_: None  # type: ignore[method-assign]
    signed.put(spec)
    signed.ledger, signed.admit = with_key, admit  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        signed.admit(spec)
    assert signed.state(spec) == "cancelled" and any("no seal of this key" in line for line in log)

    signed.admit = lambda *_: None  # type: ignore[method-assign]
    signed.put(spec)  # «0 new, 1 known»
    assert with_key.commands.retry(spec.id)
    admit(spec)
    signed.worker(MY_SIGNING_KEY=KEY)
    (receipt,) = signed.wait_state(spec, "done", "dead")
    assert receipt.outcome == "ok"


def test_a_replayed_entry_of_an_older_attempt_is_dropped_and_never_run(signed: WorkerScene, client: Redis):
    spec = signed.put(a_job())
    signed.worker(MY_SIGNING_KEY=KEY)
    signed.wait_state(spec, "done")
    done = len(signed.receipts())
    client.rpush("rq:queue:cpu-node1", f"{spec.id}-a1", f"{spec.id}-a2")
    other = signed.put(a_job(1))
    signed.wait_state(other, "done")
    assert len(signed.receipts()) == done + 1, "the two replayed entries left no receipt"
    said = [line for line in signed.story().splitlines() if "Not started: " in line and spec.id[:8] in line]
    assert len(said) >= 2


def test_a_hand_over_copied_from_another_job_is_refused(signed: WorkerScene, client: Redis):
    """Its signature is genuine, but not of this job."""
    spec, other = signed.put(a_job()), signed.put(a_job(1))
    held: bytes = client.hget("conductor:reservations", other.id)  # pyright: ignore[reportAssignmentType]
    client.hset("conductor:reservations", spec.id, held.replace(other.id.encode(), spec.id.encode()))
    signed.worker(MY_SIGNING_KEY=KEY)
    signed.wait_state(other, "done")
    (receipt,) = signed.wait_state(spec, "dead", "done")
    assert receipt.cause == "refused" and published(signed) is None


@pytest.mark.parametrize("key", [None, "", "short"])
def test_a_worker_whose_key_is_missing_says_so_and_does_not_start(signed: WorkerScene, key: str | None):
    process = signed.worker(**({} if key is None else {"MY_SIGNING_KEY": key}))
    wait_until(lambda: process.poll() is not None, "the worker ends")
    assert process.returncode == 3
    assert "MY_SIGNING_KEY, which holds no key of 16 characters" in signed.story()


def test_seals_and_signatures_bind_what_they_are_of():
    signer, held, line = Signer(KEY), a_reservation("job-00000001"), b'{"v":1}'
    good = msgspec.structs.replace(held, signature=signer.sign(held, line))
    assert signer.is_signed(good, line) and signer.is_sealed(line, signer.seal(line))
    for change in ({"job_id": "job-00000002"}, {"attempt": 2}, {"queue": "gpu-x"}, {"signature": ""}):
        assert not signer.is_signed(msgspec.structs.replace(good, **change), line)
    assert not signer.is_signed(good, line + b" ") and not signer.is_sealed(line + b" ", signer.seal(line))
    assert not signer.is_sealed(line, signer.sign(held, line)) and not Signer(KEY + "!").is_signed(good, line)


def test_no_key_is_configured_no_signer(project: Settings):
    assert signer_of(project.redis.signing_key_env, {}) is None
    named = msgspec.structs.replace(
        project, redis=msgspec.structs.replace(project.redis, signing_key_env="K")
    )
    with pytest.raises(ConfigError, match=r"\$K, which holds no key"):
        signer_of(named.redis.signing_key_env, {"K": "short"})
