"""The questions of a person at 08:00, each answered in a sentence or two, out of the figures of a report.
Pure."""

from __future__ import annotations

from collections.abc import Iterator

from conductor.base.text import duration, many, numbered, size
from conductor.core.capacity.resources import NODE
from conductor.views.night.clock import NightClock
from conductor.views.night.document import Answer, NightReport, PredictedEnd, RootCause

#: So many of a sort are named in a sentence; the tables have the rest.
SHOWN = 3
#: What a gate is to a person.
GATE_WORDS = {
    "lane": "a free worker",
    "vram": "VRAM",
    "scratch": "scratch space",
    **{row.name: row.plain for row in NODE},
    "counter": "a counter",
    "rate": "an API's budget",
    "after": "jobs before it",
    "mount": "a mount",
    "hold": "a pause, hours or a breaker",
    "report": "a host that reports",
}
#: Cause → what helps before it is tried again.
HELP = {
    "bad_input": "replace the input",
    "no_space": "make room on the disk",
    "cuda_oom": "give it a larger device, or a smaller job",
    "host_oom": "give it more memory, or a smaller job",
    "refused": "allow it in conductor.toml",
    "publish_failed": "look at the folder it publishes to",
    "rejected": "change what a person said no to",
    "timeout": "raise its timeout_s, or see what it hung on",
}


def headline_of(report: NightReport, clock: NightClock) -> str:
    """The first sentence: fine, or what it waits for."""
    jobs = report.jobs
    if not jobs.all:
        return "Nothing was to be done in this time."
    done = f"{jobs.done} of {many(jobs.all, 'job')} done{_proof(report)}"
    needs = _needs(report)
    if needs:
        return f"Waiting for you: {', '.join(needs)}. {done}."
    if jobs.left:
        return f"Not through yet: {done}, {jobs.left} still to do."
    if jobs.cancelled or jobs.behind:
        return f"Through: {done}, the rest was cancelled."
    when = f" at {clock.time(report.last_done_at)}" if report.last_done_at else ""
    return f"All of it is done{_proof(report)}: {many(jobs.done, 'job')}, the last{when}."


def _proof(report: NightReport) -> str:
    """«and verified» is said where every file was read."""
    files = report.outputs
    is_proved = report.is_deep and not files.altered and not files.missing
    return " and verified" if is_proved else ""


def _needs(report: NightReport) -> list[str]:
    files, jobs = report.outputs, report.jobs
    wrong = files.altered + files.missing
    never = sum(row.jobs for row in report.waiting if row.is_never)
    dead = f"{many(jobs.dead, 'job')} dead of {many(_count_causes(report), 'cause')}"
    return [
        *([f"{many(wrong, 'file')} not as published"] if wrong else []),
        *([dead] if jobs.dead else []),
        *([f"{many(never, 'job')} that can never run here"] if never else []),
        *([f"{many(jobs.review, 'job')} to review"] if jobs.review else []),
    ]


def _count_causes(report: NightReport) -> int:
    return report.more_causes + len(_dead(report))


def _dead(report: NightReport) -> list[RootCause]:
    return [row for row in report.causes if row.cause != "cancelled"]


def answers_of(report: NightReport, clock: NightClock) -> tuple[Answer, ...]:
    """In the order in which they are asked."""
    return (
        _what_is_done(report, clock),
        _what_is_not(report),
        _why(report),
        _waited_for(report),
        _which_files(report),
        _is_it_what_was_made(report),
        _when(report, clock),
        _what_to_do(report),
    )


def _what_is_done(report: NightReport, clock: NightClock) -> Answer:
    jobs, files = report.jobs, report.outputs
    tasks = sorted((row for row in report.tasks if row.done), key=lambda row: -row.done)
    named = ", ".join(f"{row.done} {row.task}" for row in tasks[:SHOWN])
    more = f" and {many(len(tasks) - SHOWN, 'more task')}" if len(tasks) > SHOWN else ""
    words = f"{jobs.done} of {many(jobs.all, 'job')}"
    words += f" ({named}{more}), {many(files.files, 'file')}, {size(files.bytes)}" if jobs.done else ""
    is_all = jobs.all > 0 and jobs.done == jobs.all
    return Answer(
        question="What is done?",
        words=f"{words}.",
        tone="good" if is_all else "plain",
        filter=f"state:done since:{clock.exact(report.since)}" if jobs.done else "",
    )


def _what_is_not(report: NightReport) -> Answer:
    jobs = report.jobs
    parts = [
        *([f"{jobs.dead} dead"] if jobs.dead else []),
        *([f"{jobs.behind} that never ran, being behind them"] if jobs.behind else []),
        *([f"{jobs.review} in review"] if jobs.review else []),
        *([f"{jobs.running} under way"] if jobs.running else []),
        *([f"{jobs.waiting} waiting{_behind_words(report)}"] if jobs.waiting else []),
        *([f"{jobs.cancelled} cancelled"] if jobs.cancelled else []),
    ]
    were = numbered(jobs.earlier, "was", "were")
    earlier = f" Of these {were} dead or cancelled before it began." if jobs.earlier else ""
    words = f"{', '.join(parts)}.{earlier}" if parts else "Nothing is left."
    needs_person = bool(jobs.dead or jobs.review)
    states = [name for name in ("dead", "review", "running", "waiting", "cancelled") if getattr(jobs, name)]
    return Answer(
        question="What is not?",
        words=words,
        tone="act" if needs_person else "plain" if parts else "good",
        filter=f"state:{','.join(states)}" if states else "",
    )


def _behind_words(report: NightReport) -> str:
    """« (12 behind those in review, 3 behind others)»."""
    jobs = report.jobs
    parts = [
        *([f"{jobs.behind_review} behind those in review"] if jobs.behind_review else []),
        *([f"{jobs.behind_others} behind others that are not done"] if jobs.behind_others else []),
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _why(report: NightReport) -> Answer:
    dead = _dead(report)
    if not dead:
        return Answer(question="Why?", words=_why_waiting(report), tone="plain")
    words = "; ".join(_cause(row) for row in dead[:SHOWN])
    more = _count_causes(report) - min(SHOWN, len(dead))
    words += f"; and {many(more, 'more cause')}" if more > 0 else ""
    causes = ",".join(dict.fromkeys(row.cause for row in dead))
    return Answer(question="Why?", words=f"{words}.", tone="act", filter=f"state:dead cause:{causes}")


def _cause(row: RootCause) -> str:
    behind = f", {many(row.behind, 'job')} behind" if row.behind else ""
    message = row.message if len(row.message) <= 160 else f"{row.message[:157]}…"
    return f"{many(row.jobs, 'job')} of {row.task}{behind}: {row.cause}: {message}"


def _why_waiting(report: NightReport) -> str:
    if not report.jobs.waiting:
        return "No job is dead."
    if not report.waiting:
        return "No job is dead. What waits was not recorded: `conductor status` says why."
    rows = report.waiting[:SHOWN]
    held = "; ".join(f"{many(row.jobs, 'job')} of {row.task} for {_gates(row.gates)}" for row in rows)
    return f"No job is dead. At the end there waited {held}."


def _gates(gates: tuple[str, ...]) -> str:
    return " and ".join(GATE_WORDS.get(gate, gate) for gate in gates) or "its turn"


def _waited_for(report: NightReport) -> Answer:
    question = "What was it waiting for?"
    still = _waits_still(report)
    if not report.sources.ticks:
        words = "Nothing was recorded: no tick of this time is kept."
        return Answer(question=question, words=f"{words}{still}")
    if not report.gates:
        words = f"For nothing: no gate held a job back.{still}"
        return Answer(question=question, words=words, tone="plain" if still else "good")
    named = [
        f"{GATE_WORDS.get(row.gate, row.gate)} ({row.gate}) for {duration(row.held_s)}"
        for row in report.gates[:SHOWN]
    ]
    more = f", and {many(len(report.gates) - SHOWN, 'more gate')}" if len(report.gates) > SHOWN else ""
    return Answer(question=question, words=f"For {', '.join(named)}{more}.{still}")


def _waits_still(report: NightReport) -> str:
    """What no gate knows of: jobs before it that are not done."""
    jobs, said = report.jobs, ""
    if jobs.behind_review:
        waits = "waits" if jobs.behind_review == 1 else "wait"
        said += f" {many(jobs.behind_review, 'job')} {waits} for a person's word on what is in review."
    if jobs.behind_others:
        waits = "waits" if jobs.behind_others == 1 else "wait"
        said += f" {many(jobs.behind_others, 'job')} {waits} for jobs before them that are not done."
    return said


def _which_files(report: NightReport) -> Answer:
    dead = _dead(report)
    files = list(
        dict.fromkeys(job.file or f"{job.task} {job.job_id[:8]}" for row in dead for job in row.named)
    )
    wrong = [row.path for row in report.outputs.rows if row.state in ("altered", "missing")]
    question = "Which files?"
    if not files and not wrong:
        return Answer(question=question, words="None is concerned.", tone="good")
    count = report.jobs.dead
    more = f", and {count - 2 * SHOWN} more" if count > 2 * SHOWN and len(files) >= 2 * SHOWN else ""
    failed = f"Of dead jobs: {', '.join(files[: 2 * SHOWN])}{more}." if files else ""
    not_as = f" Not as published: {', '.join(wrong[:SHOWN])}." if wrong else ""
    return Answer(
        question=question, words=(failed + not_as).strip(), tone="act", filter="state:dead" if files else ""
    )


def _is_it_what_was_made(report: NightReport) -> Answer:
    files, question = report.outputs, "Is it what was made?"
    if not files.files:
        return Answer(question=question, words="No file was published.")
    removed = f", {files.removed} removed when all had read them" if files.removed else ""
    if files.altered or files.missing:
        parts = [f"{files.altered} altered"] * bool(files.altered) + [f"{files.missing} missing"] * bool(
            files.missing
        )
        good = files.read or files.present
        return Answer(
            question=question, words=f"No: {' and '.join(parts)}, {good} as published{removed}.", tone="act"
        )
    if files.read:
        words = f"Yes: {many(files.read, 'file')} read whole, each as it was published{removed}."
        return Answer(question=question, words=words, tone="good")
    there = f"{many(files.present, 'file')} there in their sizes{removed}"
    words = f"{there}; they were not read: `conductor report` without --quick reads them."
    return Answer(question=question, words=words)


def _when(report: NightReport, clock: NightClock) -> Answer:
    question, jobs = "When was it through?", report.jobs
    ends = [_end(row, clock) for row in report.predicted_ends[-SHOWN:]]
    said = f" {' '.join(ends)}" if ends else ""
    if jobs.left:
        return Answer(
            question=question, words=f"It is not: {numbered(jobs.left, 'is', 'are')} still to do.{said}"
        )
    if report.last_done_at is None:
        return Answer(question=question, words=f"Nothing was done in this time.{said}")
    return Answer(
        question=question, words=f"At {clock.time(report.last_done_at)} the last job was done.{said}"
    )


def _end(row: PredictedEnd, clock: NightClock) -> str:
    of = f" of backlog:{row.backlog}" if row.backlog else ""
    first = f"At {clock.time(row.said_at)} the end{of} was said to be {clock.time(row.ends_at)}"
    if row.ended_at is None:
        return f"{first}."
    off = row.ended_at - row.ends_at
    late = "on time" if abs(off) < 60 else f"{duration(abs(off))} {'later' if off > 0 else 'sooner'}"
    return f"{first}; it was {clock.time(row.ended_at)}, {late}."


def _what_to_do(report: NightReport) -> Answer:
    commands = list(_commands(report))
    question = "What to do now?"
    if not commands:
        words = "Nothing: it goes on by itself." if report.jobs.left else "Nothing."
        return Answer(question=question, words=words, tone="good")
    words = "; ".join(words for words, _ in commands[: 2 * SHOWN])
    typed = dict.fromkeys(command for _, command in commands[: 2 * SHOWN])
    return Answer(
        question=question, words=f"{words[:1].upper()}{words[1:]}.", tone="act", commands=tuple(typed)
    )


def _commands(report: NightReport) -> Iterator[tuple[str, str]]:
    """In words, and what to type."""
    for row in [row for row in report.outputs.rows if row.state in ("altered", "missing")][:1]:
        yield "see why a published file is another now", f"conductor explain {row.job_id[:12]}"
    for row in _dead(report):
        first = row.named[0].job_id[:12]
        helps = HELP.get(row.cause, "look at what it says")
        yield f"{helps} ({many(row.jobs, 'job')} of {row.task}), then retry", f"conductor explain {first}"
        yield f"try those of {row.cause} again once that is mended", f"conductor retry --cause {row.cause}"
    if shown := report.jobs.shown:
        yield f"say yes or no to what {many(shown, 'job')} show{'s' * (shown == 1)}", "conductor review"
    if aside := report.jobs.review - shown:
        yield f"mend what {many(aside, 'job')} in review failed of", "conductor jobs state:review"
    for row in [row for row in report.waiting if row.is_never][:1]:
        yield (
            f"{many(row.jobs, 'job')} of {row.task} can never run here: cancel, or add what is missing",
            "conductor status",
        )
