"""The checker is checked: on a run that went well it finds nothing, and each planted fault it names."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import play
from tests.chaos.checker import Evidence, body_of, faults
from tests.chaos.jobs import made
from tests.chaos.world import a_world


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """What a small undisturbed run left: ten that are done, one that died, one that waits for it."""
    jobs = [made(n, "chaos.step", {"n": n, "seconds": 0.0}, outputs=1 + n % 2) for n in range(10)]
    dead = made(10, "chaos.bad", {"n": 10})
    after = made(11, "chaos.step", {"n": 11, "seconds": 0.0}, after=(dead.id,))
    with a_world(tmp_path_factory.mktemp("sound"), nodes=1, conductors=1, cpu=1, io=0) as world:
        world.put(*jobs, dead, after)
        world.until(world.is_over, "all have ended")
        world.stop()
        yield play.evidence(world)


@pytest.fixture
def seen(sound: Evidence) -> Evidence:
    return copy.deepcopy(sound)


def done(seen: Evidence) -> str:
    return next(job_id for job_id, text in seen.redis["conductor:state"].items() if text.startswith("d"))


def receipt_of(seen: Evidence, job_id: str) -> dict[str, Any]:
    """Not always of its first attempt: what lay behind a failure went back, and came again."""
    return next(r for r in seen.receipts if r["job_id"] == job_id)


def test_a_sound_run_has_no_faults(sound: Evidence):
    assert faults(sound) == []
    assert len(sound.lines) == 12 and len(sound.files) == 15


def test_a_lost_job_is_named(seen: Evidence):
    job_id = done(seen)
    del seen.redis["conductor:state"][job_id]
    assert any(fault.startswith(f"lost: {job_id}") for fault in faults(seen))


def test_a_job_that_is_done_without_a_receipt_is_named(seen: Evidence):
    job_id = done(seen)
    seen.receipts = [r for r in seen.receipts if r["job_id"] != job_id]
    assert f"lost: {job_id} is done without a receipt" in faults(seen)


def test_a_job_that_waits_in_no_queue_is_named(seen: Evidence):
    job_id = done(seen)
    seen.receipts = [r for r in seen.receipts if r["job_id"] != job_id]
    seen.redis["conductor:state"][job_id] = "w" + seen.redis["conductor:state"][job_id][1:]
    assert f"lost: {job_id} waits for nothing and in no queue" in faults(seen)


def test_a_doubled_job_is_named(seen: Evidence):
    job_id = done(seen)
    first = receipt_of(seen, job_id)
    again = first | {"attempt": first["attempt"] + 1}
    seen.receipts.append(again)
    assert f"doubled: {job_id} has 2 receipts, bodies {[body_of(first), body_of(again)]}" in faults(seen)
    seen.receipts.append(again | {"outcome": "superseded"})
    assert faults(seen) == []


def test_two_bodies_of_one_number_are_named_and_so_is_one_whose_file_is_not_its_own(seen: Evidence):
    job_id = next(r["job_id"] for r in seen.receipts if r["outcome"] == "ok" and r["outputs"])
    first = receipt_of(seen, job_id)
    again = first | {"token": "0" * 8, "outputs": [fact | {"sha256": "0" * 64} for fact in first["outputs"]]}
    seen.receipts.append(again)
    found = faults(seen)
    assert f"doubled: {job_id} has 2 receipts, bodies {[body_of(first), body_of(again)]}" in found
    assert any(fault.startswith(f"altered: {job_id}") for fault in found)
    seen.receipts.append(again | {"outcome": "superseded"})
    assert faults(seen) == []


def test_an_altered_and_a_missing_output_are_named(seen: Evidence):
    first, second, *_ = sorted(seen.files)
    seen.files[first] = (seen.files[first][0], "0" * 64)
    del seen.files[second]
    found = faults(seen)
    assert len(found) == 2
    assert any(f.startswith("altered") and first in f for f in found)
    assert any(f.startswith("missing") and second in f for f in found)


def test_an_orphan_process_and_a_left_folder_are_named(seen: Evidence):
    seen.processes.append("body 4711")
    seen.strays.append("scratch:.tmp/x.1")
    assert len(faults(seen)) == 2


def test_a_leaked_reservation_is_named(seen: Evidence):
    job_id = done(seen)
    seen.redis["conductor:reservations"] = {job_id: json.dumps({"job_id": job_id, "attempt": 1})}
    assert f"leaked: {job_id} holds a reservation and is not in flight" in faults(seen)


def test_a_charge_that_was_never_given_back_is_named(seen: Evidence):
    seen.redis["conductor:reserved"] = {"ram n0": "512"}
    assert any(fault.startswith("leaked: ram n0: 512 reserved") for fault in faults(seen))


def test_counts_that_do_not_add_up_are_named(seen: Evidence):
    seen.redis["conductor:count:chaos"]["d"] = "9"
    assert faults(seen) == ["count: chaos says 9 «d», there are 10"]


def test_an_entry_of_rq_that_the_ledger_does_not_know_is_named(seen: Evidence):
    job_id = done(seen)
    seen.redis["rq:queue:cpu-n0"] = [f"{job_id}-a1"]
    assert any(f"{job_id}-a1, which is not in flight" in fault for fault in faults(seen))


def test_a_job_of_rq_that_never_runs_out_is_named_and_one_that_ran_out_meanwhile_is_not(seen: Evidence):
    key = f"rq:job:{done(seen)}-a1"
    seen.redis[key] = {"status": "finished"}
    seen.redis[f"ttl:{key}"] = -1
    assert faults(seen) == [f"rq: {key} holds {key.removeprefix('rq:job:')}, which is not in flight"]
    # As Redis answers for a key that is gone since it was read.
    seen.redis[f"ttl:{key}"] = -2
    assert faults(seen) == []


def test_a_death_without_a_cause_is_named(seen: Evidence):
    job_id = next(j for j, text in seen.redis["conductor:state"].items() if text.startswith("x"))
    del seen.redis[f"conductor:failures:{job_id}"]
    assert faults(seen) == [f"mute: {job_id} is «x» without a cause"]


def test_an_attempt_that_ran_twice_at_once_is_named(seen: Evidence):
    job_id = done(seen)
    attempt = receipt_of(seen, job_id)["attempt"]
    seen.begun[job_id, attempt] += 1
    assert faults(seen) == [f"twice: {job_id} attempt {attempt} began 2 times"]


def test_a_torn_receipt_is_no_receipt(tmp_path: Path):
    from tests.chaos.checker import read_receipts

    (tmp_path / "w.jsonl").write_text('{"job_id": "a"}\n{"job_id": "b"')
    assert [r["job_id"] for r in read_receipts(tmp_path)] == ["a"]
