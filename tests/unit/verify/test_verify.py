"""verify: whatever is planted is found, named with its cause and its input, and nothing else is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from builders import a_spec
from verify_scene import VerifyScene, only

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.errors import ManifestError
from conductor.model.identity import line_hash
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec, Output, to_line
from conductor.record import manifest
from conductor.record.receipts import JobRecord, Records
from conductor.verify.report import VerifyFinding
from conductor.verify.verify import Checks, JobFacts, sound


@pytest.fixture
def place(tmp_path: Path) -> Iterator[VerifyScene]:
    made = VerifyScene(tmp_path)
    yield made
    made.log.close()


def test_a_run_with_nothing_wrong_is_good(place: VerifyScene) -> None:
    for n in range(3):
        place.done(place.job(n))

    report = place.verify()

    assert report.is_good and report.exit_code == 0
    assert (report.jobs, report.done, report.outputs, report.bytes) == (3, 3, 3, 6)
    assert report.to_text() == f"{place.manifest}: 3 of 3 jobs verified, 3 outputs checked (6 B)"


def test_a_job_without_a_receipt_is_missing(place: VerifyScene) -> None:
    spec = place.job()
    finding = only(place.verify())
    assert (finding.kind, finding.job_id) == ("missing", spec.id)


def test_a_failed_job_is_named_with_its_last_cause_and_its_input(place: VerifyScene) -> None:
    spec = place.job(0, reads=("/videos/bad one.mp4",))
    place.receipt(spec, 1, outcome="failed", cause="task_error", message="first words")
    place.receipt(spec, 2, outcome="failed", cause="bad_input", message="the index is missing")

    report = place.verify()

    finding = only(report)
    assert (finding.kind, finding.cause, finding.subject) == ("failed", "bad_input", "bad one.mp4")
    assert (
        f"failed     diagnostics.echo · bad one.mp4 ({spec.id}): bad_input: the index is missing (attempt 2)"
        in report.to_text()
    )


def test_a_job_that_failed_and_then_succeeded_is_done(place: VerifyScene) -> None:
    spec = place.job()
    place.receipt(spec, 1, outcome="failed", cause="timeout")
    place.done(spec, attempt=2)
    assert place.verify().is_good


def test_jobs_behind_a_failed_one_are_missing_for_its_sake_and_counted_in_one_line(
    place: VerifyScene,
) -> None:
    bad = place.job(0, reads=("/videos/bad.mp4",))
    middle = place.job(1, after=(bad.id,))
    last = place.job(2, after=(middle.id,))
    place.receipt(bad, outcome="failed", cause="bad_input", message="cut off")

    report = place.verify()

    assert [(f.kind, f.job_id, f.because_of, f.subject) for f in report.findings] == [
        ("failed", bad.id, "", "bad.mp4"),
        ("missing", middle.id, bad.id, "bad.mp4"),
        ("missing", last.id, bad.id, "bad.mp4"),
    ]
    assert report.to_text().splitlines()[1:] == [
        "found: 1 failed, 2 missing",
        f"  failed     diagnostics.echo · bad.mp4 ({bad.id}): bad_input: cut off (2 jobs behind it "
        "did not run)",
    ]


def test_an_output_with_another_content_is_altered_even_at_the_same_size(place: VerifyScene) -> None:
    spec = place.job()
    place.done(spec)
    place.file(spec.writes[0].path).write_bytes(b"[]")
    finding = only(place.verify())
    assert (finding.kind, finding.path) == ("altered", spec.writes[0].path)
    assert "its content changed after it was published" in finding.message


def test_an_output_with_another_size_is_altered(place: VerifyScene) -> None:
    spec = place.job()
    place.done(spec)
    place.file(spec.writes[0].path).write_bytes(b"[1]")
    assert "has 3 bytes, 2 were published" in only(place.verify()).message


def test_an_output_that_is_gone_a_link_or_a_pipe_is_altered(place: VerifyScene) -> None:
    gone, link, pipe = (place.job(n) for n in range(3))
    for spec in (gone, link, pipe):
        place.done(spec)
        place.file(spec.writes[0].path).unlink()
    place.file(link.writes[0].path).symlink_to("/etc/hostname")
    os.mkfifo(place.file(pipe.writes[0].path))

    findings = place.verify().findings

    assert [f.kind for f in findings] == ["altered"] * 3
    assert "is not there" in findings[0].message
    assert "link" in findings[1].message
    assert "is not a regular file" in findings[2].message


def test_an_output_replaced_by_a_link_is_altered_even_if_it_leads_to_the_same_bytes(
    place: VerifyScene,
) -> None:
    spec = place.job()
    place.done(spec)
    file = place.file(spec.writes[0].path)
    file.rename(place.file("scratch:elsewhere.json"))
    file.symlink_to(place.file("scratch:elsewhere.json"))
    finding = only(place.verify())
    assert finding.kind == "altered" and "is a symbolic link" in finding.message


def test_an_output_that_its_receipt_does_not_name_is_altered(place: VerifyScene) -> None:
    spec = place.job()
    place.receipt(spec, outcome="ok")
    assert only(place.verify()).kind == "altered"


def test_json_that_does_not_parse_is_wrong(place: VerifyScene) -> None:
    place.done(place.job(0), b"{")
    place.done(place.job(1, "out.jsonl"), b"{}\n{}\n{\n")

    findings = place.verify().findings

    assert [f.kind for f in findings] == ["wrong", "wrong"]
    assert "is not JSON" in findings[0].message and "line 3 is not JSON" in findings[1].message


def test_two_bodies_of_one_attempt_that_both_count_are_a_duplicate(place: VerifyScene) -> None:
    twice, again = place.job(0), place.job(1)
    for spec in (twice, again):
        place.done(spec, token="0000000a")
        place.done(spec, token="0000000b")
    place.receipt(again, token="0000000b", outcome="superseded")
    place.done(place.job(2), token="0000000a")
    place.done(place.specs[-1], token="0000000a")  # one line, written twice over

    finding = only(place.verify())

    assert (finding.kind, finding.job_id) == ("duplicate", twice.id)
    assert finding.message.startswith("2 receipts of attempt 1 each count as done")


def test_two_attempts_that_both_count_are_a_duplicate_unless_one_was_taken_back(place: VerifyScene) -> None:
    twice, taken_back = place.job(0), place.job(1)
    for spec in (twice, taken_back):
        place.done(spec, attempt=1)
        place.done(spec, attempt=2)
    place.receipt(taken_back, 2, outcome="superseded")

    finding = only(place.verify())

    assert (finding.kind, finding.job_id) == ("duplicate", twice.id)
    assert finding.message.startswith("attempts 1, 2 each count as done: it ran more than once")
    assert "`conductor retry --missing MANIFEST`" in finding.message


def test_the_same_attempt_written_twice_is_one(place: VerifyScene) -> None:
    spec = place.job()
    place.done(spec)
    place.done(spec)
    assert place.verify().is_good


def test_one_path_published_by_two_jobs_is_a_duplicate(place: VerifyScene) -> None:
    ours = place.job(0, "", writes=(Output(path="published:reel.txt"),))
    theirs = a_spec(1, writes=ours.writes)
    place.done(theirs, b"old")
    place.done(ours, b"new")

    finding = only(place.verify())

    assert (finding.kind, finding.path) == ("duplicate", "published:reel.txt")
    assert theirs.id in finding.message


def test_a_file_nobody_declared_in_a_jobs_own_folder_is_unexpected(place: VerifyScene) -> None:
    spec = place.job()
    place.done(spec)
    place.file(spec.writes[0].path).with_name("stray.bin").touch()
    finding = only(place.verify())
    assert (finding.kind, finding.message.split()[0]) == ("unexpected", f"scratch:t/{spec.id}/stray.bin")


def test_receipts_of_other_jobs_are_ignored_unless_asked_for(place: VerifyScene) -> None:
    place.done(place.job(0))
    other = a_spec(99)
    place.done(other)

    assert place.verify().is_good
    finding = only(place.verify(is_strict=True))
    assert (finding.kind, finding.job_id) == ("unexpected", other.id)


def test_a_workflows_own_checks_are_asked_for_done_jobs_and_once_at_the_end(place: VerifyScene) -> None:
    done, _ = place.job(0), place.job(1)
    place.done(done, result={"answer": 41})

    def check(spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterable[str]:
        yield f"{receipt.result['answer']} is not 42 ({facts.outputs[spec.writes[0].path].file.bytes} bytes)"

    checks = Checks(jobs=(check,), whole=(lambda: [VerifyFinding(kind="missing", message="and a gap")],))
    findings = place.verify(checks).findings

    assert [(f.kind, f.message) for f in findings if f.job_id in ("", done.id)] == [
        ("wrong", "41 is not 42 (2 bytes)"),
        ("missing", "and a gap"),
    ]


def test_progress_is_told_and_ends_with_all_jobs(place: VerifyScene) -> None:
    for n in range(150):
        place.job(n, "")
    told: list[tuple[int, int]] = []

    place.verify(on_progress=lambda done, total: told.append((done, total)))

    assert told[-1] == (150, 150) and len(told) > 1


def test_the_json_has_every_finding_and_the_text_a_few(place: VerifyScene) -> None:
    for n in range(50):
        place.job(n, "")
    report = place.verify()
    value = json.loads(json.dumps(report.to_json()))
    assert len(value["findings"]) == 50 and value["counts"]["missing"] == 50 and value["is_good"] is False
    assert "… and 30 more missing: --json lists all" in report.to_text()


def test_what_is_more_than_is_kept_is_counted_all_the_same(place: VerifyScene) -> None:
    bad = place.job(0, "")
    place.receipt(bad, outcome="failed", cause="bad_input", message="cut off")
    for n in range(1, 60):
        place.job(n, "", after=(bad.id,))
    for n in range(60, 100):
        place.job(n, "")
    whole, some = place.verify(), place.verify(most=30)
    assert some.counts() == whole.counts() == {**dict.fromkeys(whole.counts(), 0), "failed": 1, "missing": 99}
    assert len(some.findings) == 61 and some.unlisted == {"missing": 39}
    assert (some.exit_code, some.done) == (1, 0)
    assert "(59 jobs behind it did not run)" in some.to_text()
    assert "… and 20 more missing" in some.to_text()
    assert some.to_text() == whole.to_text()


def test_receipts_of_several_attempts_in_several_files_make_one_record(place: VerifyScene) -> None:
    spec, once = place.job(0), place.job(1)
    place.receipt(spec, outcome="failed", cause="task_error", message="at first")
    place.done(once)
    place.log = FileReceiptLog(place.settings.receipts_dir, "a-worker-before-the-other-by-name")
    place.done(spec, attempt=2)
    place.done(spec, attempt=3)
    manifest.write(place.manifest, place.specs)
    records = Records.gather(place.manifest, place.settings.receipts_dir)
    record = records.of(spec.id)
    assert record.accepted is not None and record.failed is not None
    assert (record.accepted.attempt, record.failed.message, record.attempts) == (2, "at first", {2, 3})
    assert records.of(once.id).attempts == {1}
    assert records.of("nobody-here") == JobRecord()
    records.close()


def test_names_from_outside_cannot_forge_a_line(place: VerifyScene) -> None:
    spec = place.job(0, reads=("/videos/a\nfailed     fake\x1b[31m.mp4",))
    place.receipt(spec, outcome="failed", cause="bad_input", message="bad\nline")
    assert len(place.verify().to_text().splitlines()) == 3


# ── the manifest itself ───────────────────────────────────────────────────────────────────────────────────


def test_a_manifest_is_held_to_the_rules_of_a_dispatch(place: VerifyScene) -> None:
    spec = place.job()
    place.done(spec)
    place.verify()
    good = place.manifest.read_bytes()
    assert sound(place.manifest).jobs == 1

    for bad, why in (
        (good.replace(b'"n":0', b'"n":99'), "1: id: is "),
        (good + good, f"2: id: {spec.id} is already on line 1"),
        (good.replace(b"out.json", b"other.json"), "1: id: is "),
    ):
        place.manifest.write_bytes(bad)
        with pytest.raises(ManifestError, match="nothing of it was verified") as caught:
            sound(place.manifest)
        assert why in caught.value.problems[0]


def test_whether_a_task_can_be_run_here_is_not_asked_of_what_was_done(place: VerifyScene) -> None:
    place.job(task="gone.long_ago")
    place.verify()
    assert sound(place.manifest).jobs == 1


def test_a_manifest_without_jobs_is_not_green(place: VerifyScene) -> None:
    report = place.verify()
    assert (report.is_good, report.exit_code) == (False, 1)
    assert report.to_text() == f"{place.manifest} holds no jobs: nothing is verified"


def test_what_was_made_by_another_line_of_the_same_id_is_said_and_no_fault(place: VerifyScene) -> None:
    edited, same = place.job(0), place.job(1)
    for spec in (edited, same):
        place.done(spec, line=line_hash(to_line(spec)))
    place.specs[0] = msgspec.structs.replace(edited, priority=7)
    report = place.verify()
    assert report.is_good and report.other_lines == 1
    assert "1 made when other needs, waits or checks stood in the line" in report.to_text()
