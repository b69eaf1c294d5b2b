"""`conductor.views.job_record` as lines for a terminal; whoever prints them escapes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from conductor.base.text import duration, many, size
from conductor.views.job_record import AttemptTrace, BesideIt, ChainedJob, InputFile, LifeStep

WORDS = {"waited": "waits", "ran": "runs", "shown": "waits for a verdict"}
#: Of a long list the first so many.
SHOWN = 12
MOST_BEHIND = 3


def life_lines(steps: Sequence[LifeStep]) -> list[str]:
    """«its life: waited 12 min (vram 8 min), ran 3 min, verified 2 s»."""
    said = ", ".join(map(_step, steps))
    return [f"its life: {said}"] if said else []


def _step(step: LifeStep) -> str:
    word = WORDS.get(step.what, step.what) if step.is_going else step.what
    if step.what == "failed":
        word = "ran in vain"
    elif step.what == "shown" and not step.is_going:
        word = "was looked at"
    gates = sorted(step.gates.items(), key=lambda item: -item[1])
    by = f" ({', '.join(f'{gate} {duration(s)}' for gate, s in gates)})" if gates else ""
    return f"{word} {duration(step.seconds)}{by}"


def read_lines(files: Sequence[InputFile]) -> list[str]:
    out = [f"reads {_read(file)}" for file in files[:SHOWN]]
    return [*out, f"reads {len(files) - SHOWN} more files"] if len(files) > SHOWN else out


def _read(file: InputFile) -> str:
    amount = f"  {size(file.bytes)}" if file.bytes is not None else ""
    return f"{file.path}{amount}{f'  made by {file.made_by}' if file.made_by else ''}"


def trace_lines(trace: AttemptTrace) -> list[str]:
    return trace.text.split("\n")


def behind_lines(count: int, first: Sequence[ChainedJob]) -> list[str]:
    """«3 jobs wait for it: media.cut · a.mp4 (waiting), …»."""
    if not count:
        return []
    shown = [f"{each.subject or each.job_id} ({each.state})" for each in first[:MOST_BEHIND]]
    more = ["…"] if count > len(shown) else []
    return [f"{many(count, 'job')} {'waits' if count == 1 else 'wait'} for it: {', '.join([*shown, *more])}"]


def beside_lines(found: Iterable[BesideIt]) -> list[str]:
    out: list[str] = []
    for each in found:
        until = "now" if each.ended_at is None else _clock(each.ended_at)
        end = f", {each.outcome}" if each.outcome else ""
        on = f" on {each.device}" if each.device else ""
        out.append(
            f"beside it{on}: {each.subject} ({each.job_id}), {_clock(each.started_at)} to {until}{end}"
        )
    return out


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")
