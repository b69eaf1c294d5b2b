"""Receipts are read once, in whatever state the files are; what was learned survives a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from builders import NOW, a_candidate, a_device, a_report, a_reservation, a_snapshot
from learned_scene import DECL, DECLARED, a_receipt, of_size, out_of_vram
from loguru import logger
from node_scene import until

from conductor.adapters.files import receipt_follower
from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.code_version import code_version
from conductor.base.settings.settings import Settings
from conductor.core.admission.admission import decide
from conductor.model.limits import Limits
from conductor.model.snapshot import JobClass
from conductor.model.spec import Needs
from conductor.tick import learned_needs, receipt_samples
from conductor.tick.learned_needs import NeedsLearner, Unseen, policy_of
from conductor.tick.receipt_samples import Receipts, cache_of


@pytest.fixture
def receipts(project: Settings) -> Receipts:
    return Receipts(project.receipts_dir, cache_of(project.state_dir))


@pytest.fixture
def log(project: Settings) -> Iterator[FileReceiptLog]:
    it = FileReceiptLog(project.receipts_dir, "node1-gpu-1")
    yield it
    it.close()


def read(receipts: Receipts) -> list[str]:
    """The ids that came in."""
    found: list[str] = []
    while news := receipts.news():
        for receipt in news:
            receipts.memory.learn(receipt)
            found.append(receipt.job_id)
    return found


def peaks(receipts: Receipts) -> list[int | None]:
    return [s.vram_mib for ring in receipts.memory.rings() for s in ring.samples]


def test_each_receipt_is_read_once_whoever_wrote_it(
    receipts: Receipts, log: FileReceiptLog, project: Settings
):
    other = FileReceiptLog(project.receipts_dir, "node2-gpu-1")
    log.append(a_receipt(1, vram=100))
    other.append(a_receipt(2, vram=200))

    assert read(receipts) == ["job-00000001", "job-00000002"]
    log.append(a_receipt(3, vram=300))
    assert read(receipts) == ["job-00000003"]
    assert read(receipts) == []
    other.close()


def test_a_restart_reads_only_what_came_since(receipts: Receipts, log: FileReceiptLog, project: Settings):
    log.append(a_receipt(1, vram=100))
    read(receipts)
    receipts.save()
    log.append(a_receipt(2, vram=200))

    again = Receipts(project.receipts_dir, cache_of(project.state_dir))

    assert read(again) == ["job-00000002"]
    assert peaks(again) == [100, 200]
    assert again.memory.nodes == {"node1"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"v":0,"folder":"","read":{},"nodes":[],"rings":[]}', b"\x00\xff"]
)
def test_a_damaged_cache_only_costs_the_reading(content: bytes, log: FileReceiptLog, project: Settings):
    log.append(a_receipt(1, vram=100))
    cache_of(project.state_dir).parent.mkdir(parents=True, exist_ok=True)
    cache_of(project.state_dir).write_bytes(content)

    assert read(Receipts(project.receipts_dir, cache_of(project.state_dir))) == ["job-00000001"]


def test_a_line_under_way_is_read_when_it_is_whole(receipts: Receipts, project: Settings):
    log = FileReceiptLog(project.receipts_dir, "w")
    log.append(a_receipt(1, vram=100))
    whole = log.file.read_bytes()
    log.file.write_bytes(whole + whole[:40])

    assert read(receipts) == ["job-00000001"]
    log.file.write_bytes(whole + whole.replace(b"job-00000001", b"job-00000002"))
    assert read(receipts) == ["job-00000002"]
    log.close()


def test_a_cut_line_costs_itself_only(receipts: Receipts, project: Settings):
    log = FileReceiptLog(project.receipts_dir, "w")
    log.append(a_receipt(1, vram=100))
    log.file.write_bytes(log.file.read_bytes() + b'{"v":1,"job')
    log.close()
    log.append(a_receipt(2, vram=200))

    assert read(receipts) == ["job-00000001", "job-00000002"]
    log.close()


def test_a_file_that_became_another_is_read_anew(receipts: Receipts, log: FileReceiptLog):
    log.append(a_receipt(1, vram=100))
    log.append(a_receipt(2, vram=100))
    read(receipts)
    log.file.write_bytes(
        log.file.read_bytes().splitlines(keepends=True)[0].replace(b"job-00000001", b"job-00000007")
    )

    assert read(receipts) == ["job-00000007"]


def test_of_a_large_file_never_read_before_only_the_end_is(
    log: FileReceiptLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for n in range(50):
        log.append(a_receipt(n, vram=n))
    line = log.file.stat().st_size // 50
    monkeypatch.setattr(receipt_samples, "TAIL_BYTES", 10 * line)
    monkeypatch.setattr(receipt_follower, "BLOCK_BYTES", 3 * line)

    found = read(Receipts(log.folder, cache_of(tmp_path / "state")))

    assert found[-1] == "job-00000049"
    assert 8 <= len(found) <= 11
    assert found == sorted(found)


def test_a_folder_that_is_not_there_is_no_receipt(receipts: Receipts):
    assert receipts.news() == []


# ── in the tick ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def lessons(project: Settings) -> Iterator[NeedsLearner]:
    with NeedsLearner(project.layout, policy_of(project.learning), {"media.cut": DECL}, Limits()) as it:
        yield it


CODE = code_version(DECL.module)


def asks(lessons: NeedsLearner, c: JobClass | None = None, **snapshot: Any) -> Needs:
    (candidate,) = lessons.teach(a_snapshot(**snapshot), [a_candidate(c or of_size())])
    return candidate.job_class.needs


def learn(lessons: NeedsLearner, log: FileReceiptLog, *vram: int) -> None:
    for n, peak in enumerate(vram):
        log.append(a_receipt(n, vram=peak, code_version=CODE))
    lessons.read()


def test_what_was_read_is_asked_from_then_on(lessons: NeedsLearner, log: FileReceiptLog):
    assert asks(lessons).vram_mib == 4096

    learn(lessons, log, 6000)

    assert asks(lessons).vram_mib == 7552
    assert lessons.duration_s(of_size()) == pytest.approx(5.0)


def test_a_kind_is_untried_until_one_of_it_has_done_all_that_it_does(
    lessons: NeedsLearner, log: FileReceiptLog
):
    def is_untried(c: JobClass) -> bool:
        (candidate,) = lessons.teach(a_snapshot(), [a_candidate(c)])
        return candidate.job_class.is_untried

    assert is_untried(of_size())
    log.append(out_of_vram(1, vram=900))
    lessons.read()
    assert is_untried(of_size())
    log.append(a_receipt(2))
    lessons.read()
    assert not is_untried(of_size()), "also where the driver did not tell what it took"
    assert is_untried(of_size(kind="media.cut:another"))


def test_a_tick_has_only_so_much_time_for_news_and_every_class_gets_its_turn(
    log: FileReceiptLog, project: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(NeedsLearner, "_work", lambda _: None)  # pyright: ignore[reportUnknownLambdaType]
    lessons = NeedsLearner(project.layout, policy_of(project.learning), {"media.cut": DECL}, Limits())
    classes = [a_candidate(of_size(id=f"class-{i}")) for i in range(3)]
    snapshot = a_snapshot()
    lessons.teach(snapshot, classes)
    clock = iter(range(1000))
    monkeypatch.setattr(learned_needs, "TICK_S", 1.5)
    monkeypatch.setattr(learned_needs, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    learn(lessons, log, 6000)

    def renewed() -> int:
        return sum(c.job_class.needs.vram_mib == 7552 for c in lessons.teach(snapshot, classes))

    assert [renewed() for _ in range(4)] == [1, 2, 3, 3]


def test_a_held_class_says_what_is_asked_instead_of_the_declared(lessons: NeedsLearner, log: FileReceiptLog):
    learn(lessons, log, 6000)
    full = a_snapshot(reservations=(a_reservation(vram_mib=20_000),))

    (hold,) = decide(full, lessons.teach(full, [a_candidate(of_size())]), Limits()).hold

    assert hold.learned == (
        "asks 7.4 GiB of VRAM instead of 4.0 GiB, as receipts teach: `conductor needs media.cut`",
    )
    assert [v.need for v in hold.closed if v.gate == "vram"] == [7552]


def test_an_out_of_memory_is_a_lesson_for_the_siblings_that_wait(lessons: NeedsLearner, log: FileReceiptLog):
    learn(lessons, log, 3900, 3950)
    assert asks(lessons).vram_mib == 4096

    log.append(out_of_vram(9, vram=4050, code_version=CODE))
    lessons.read()

    assert asks(lessons).vram_mib == 5120


def test_the_thread_reads_by_itself_and_leaves_its_knowledge(log: FileReceiptLog, project: Settings):
    with NeedsLearner(project.layout, policy_of(project.learning), {"media.cut": DECL}, Limits()) as lessons:
        log.append(a_receipt(1, vram=6000, code_version=CODE))
        until(lambda: asks(lessons).vram_mib == 7552)

    assert peaks(Receipts(project.receipts_dir, cache_of(project.state_dir))) == [6000]


def test_more_than_the_largest_device_is_the_largest_device(lessons: NeedsLearner, log: FileReceiptLog):
    learn(lessons, log, 40_000)
    two = a_report(devices=(a_device(0, vram_total_mib=8192), a_device(1, vram_total_mib=16384)))

    assert asks(lessons).vram_mib == 24576 - 512
    assert asks(lessons, nodes=(two,)).vram_mib == 16384 - 512


def test_what_others_hold_counts_while_nothing_of_ours_runs_there(lessons: NeedsLearner, log: FileReceiptLog):
    learn(lessons, log, 18_000)
    shared = (a_report(devices=(a_device(vram_used_mib=10_000),)),)
    ours = a_reservation(vram_mib=4096)

    assert asks(lessons, nodes=shared).vram_mib == 24576 - 512 - 10_000
    assert asks(lessons, nodes=shared, reservations=(ours,)).vram_mib == 22528


def test_a_gpu_task_without_a_word_on_vram_gets_a_device_to_itself(lessons: NeedsLearner):
    c = of_size(vram_mib=0)

    assert asks(lessons, c).vram_mib == 24576 - 512
    assert asks(lessons, c, nodes=(a_report(devices=0),)).vram_mib == 0  # the lane runs on the CPU
    assert asks(lessons, c, nodes=(a_report(devices=(a_device(vram_used_mib=24_500),)),)).vram_mib == 1


def test_where_not_even_the_declared_fits_the_declared_is_asked(lessons: NeedsLearner, log: FileReceiptLog):
    learn(lessons, log, 6000)
    small = (a_report(devices=(a_device(vram_total_mib=2048),)),)

    assert asks(lessons, nodes=small) == DECLARED


def test_learning_switched_off_changes_nothing(log: FileReceiptLog, project: Settings):
    off = msgspec.structs.replace(project, learning=msgspec.structs.replace(project.learning, is_on=False))
    with NeedsLearner(off.layout, policy_of(off.learning), {"media.cut": DECL}, Limits()) as lessons:
        learn(lessons, log, 6000)
        assert asks(lessons) == DECLARED


def test_drift_is_said_once(log: FileReceiptLog, project: Settings):
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    with NeedsLearner(project.layout, policy_of(project.learning), {"media.cut": DECL}, Limits()) as lessons:
        for n in range(10):
            log.append(a_receipt(n, vram=2000, code_version="0.1.0+old"))
            log.append(a_receipt(n + 50, vram=4000, code_version=CODE))
        lessons.read()
    logger.remove(sink)

    assert [words.partition(" since")[0] for words in said] == ["media.cut: VRAM p95 2.0 GiB → 3.9 GiB"]


def test_a_node_whose_receipts_are_not_here_is_named_once(tmp_path: Path):
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    unseen = Unseen(tmp_path)
    running = a_snapshot(reservations=(a_reservation(), a_reservation("job-00000002", node="far")))
    for seconds, snapshot in (
        (0, running),
        (1, a_snapshot()),
        (30, a_snapshot()),
        (90, a_snapshot()),
        (99, a_snapshot()),
    ):
        unseen.look(msgspec.structs.replace(snapshot, now=NOW + seconds), {"node1"})
    logger.remove(sink)

    assert len(said) == 1
    assert said[0].startswith("No receipt of node far comes into ")
