"""What a job printed, from the files of its bodies and from that of the worker that runs it."""

from __future__ import annotations

import os
from pathlib import Path

from conductor.base.logs import job_output
from conductor.base.logs.running_output import RunningNote, RunningOutput, notes_of
from conductor.model.job_filter import JobFilter
from conductor.model.told_event import ToldEvent
from conductor.views.event_lines import event_line, is_meant
from conductor.views.job_log import followed, for_terminal, printed_of, text_of

JOB = "a" * 12


def ended(logs: Path, attempt: int, text: str) -> None:
    file = job_output.file_of(logs, JOB, f"{attempt}.abcd1234", 1_700_000_000.0 + attempt)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    os.utime(file, (1_700_000_000.0 + attempt,) * 2)


def running(logs: Path, attempt: int, file: Path, start: int) -> RunningNote:
    note = RunningNote(logs, "w1")
    note.tell(RunningOutput(job_id=JOB, attempt=attempt, file=str(file), start=start, pid=os.getpid()))
    return note


def test_attempts_are_told_apart_and_the_one_that_runs_is_read_in_its_workers_file(tmp_path: Path) -> None:
    assert printed_of(tmp_path, JOB) == []
    ended(tmp_path, 1, "Traceback\nValueError: no\n")
    file = tmp_path / "w1.out"
    file.write_text("of another body\nworking\n", encoding="utf-8")
    note = running(tmp_path, 2, file, len("of another body\n"))

    first, second = printed_of(tmp_path, JOB)
    assert (first.attempt, first.is_running, text_of(first, tmp_path, JOB)) == (
        1, False, "Traceback\nValueError: no\n",
    )  # fmt: skip
    assert (second.attempt, second.is_running, second.bytes) == (2, True, len("working\n"))
    assert text_of(second, tmp_path, JOB) == "working\n"
    assert [each.attempt for each in printed_of(tmp_path, JOB, 2)] == [2]
    note.tell(None)
    assert len(printed_of(tmp_path, JOB)) == 1


def test_who_follows_hears_each_line_once_also_where_the_words_move(tmp_path: Path) -> None:
    file = tmp_path / "w1.out"
    file.write_text("one\ntw", encoding="utf-8")
    note = running(tmp_path, 1, file, 0)
    steps = iter(range(9))
    over = False

    def pause(seconds: float) -> None:
        nonlocal over
        match next(steps):
            case 0:
                file.write_text("one\ntwo\n", encoding="utf-8")
            case 1:
                ended(tmp_path, 1, "one\ntwo\n\x1ethe last")
                note.tell(None)
            case _:
                over = True

    assert list(followed(tmp_path, JOB, lambda: over, pause=pause)) == [
        (1, "stdout", "one"),
        (1, "stdout", "two"),
        (1, "stderr", "the last"),
    ]


def test_a_note_of_a_worker_that_is_gone_says_nothing(tmp_path: Path) -> None:
    gone = RunningOutput(job_id=JOB, attempt=1, file="x", start=0, pid=2**22 - 3)
    RunningNote(tmp_path, "w").tell(gone)
    (tmp_path / "jobs" / "running" / "broken.json").write_text("{", encoding="utf-8")
    assert list(notes_of(tmp_path, JOB)) == []


def test_nothing_that_a_terminal_obeys_is_shown_as_it_is() -> None:
    assert for_terminal("a\tb\r") == "a       b" and for_terminal("\x1b[2Jgone") == "\\x1b[2Jgone"
    event = ToldEvent(name="job.failed", at=0.0, message="\x1b[31m red", level="WARNING", source="w@h")
    assert "\x1b" not in event_line(event)
    assert "warning: \\x1b[31m red  (w@h)" in event_line(event)


def test_a_filter_chooses_events() -> None:
    event = ToldEvent(
        name="job.failed", at=50.0, message="Failed: media.cut · Clip7.mp4", source="worker w@studio1",
        fields={"task": "media.cut", "cause": "timeout", "job_id": JOB},
    )  # fmt: skip
    meant = [
        JobFilter(), JobFilter(tasks=("media.*",)), JobFilter(nodes=("studio1",)), JobFilter(ids=("aaa",)),
        JobFilter(files=("clip7",)), JobFilter(texts=("job.fail",)),
        JobFilter(since=50.0, causes=("timeout",)),
    ]  # fmt: skip
    others = [
        JobFilter(tasks=("media.join",)), JobFilter(nodes=("studio2",)), JobFilter(ids=("b",)),
        JobFilter(files=("clip8",)), JobFilter(until=50.0), JobFilter(causes=("no_space",)),
    ]  # fmt: skip
    assert all(is_meant(event, each) for each in meant)
    assert not any(is_meant(event, each) for each in others)
