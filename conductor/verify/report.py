"""What `verify` found, as text for a person and as JSON for a program. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, get_args

import msgspec

from conductor.base.text import many, printable, size
from conductor.model.causes import Cause
from conductor.model.spec import Value
from conductor.model.subject import named

#: missing: no accepted receipt and no failure. failed: its last attempt says why. review: it is made, and
#: waits for a person's verdict. altered: an output is not what was published. wrong: an output is whole and
#: not what was asked for. duplicate: done or published twice. unexpected: a file, or a receipt, that nobody
#: declared.
Kind = Literal["failed", "review", "missing", "altered", "wrong", "duplicate", "unexpected"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Behind such a job others wait, or never ran.
_HOLDING: tuple[Kind, ...] = ("failed", "review", "missing")
#: So many of a kind are shown to a person; the JSON has all.
SHOWN = 20


class VerifyFinding(Value, frozen=True, kw_only=True):
    kind: Kind
    message: str
    job_id: str = ""
    task: str = ""
    #: File name of the input that it comes down to; empty where there is none.
    subject: str = ""
    #: The output it is about.
    path: str = ""
    cause: Cause | None = None
    #: The failed job for whose sake this one never ran.
    because_of: str = ""


class VerifyReport(Value, frozen=True, kw_only=True, omit_defaults=False):
    """`done` jobs have an accepted receipt and nothing found against them."""

    manifest: str
    jobs: int
    done: int
    outputs: int
    bytes: int
    #: Of the outputs: media with the content that its worker counted and published, not decoded again.
    counted_before: int = 0
    #: Of the outputs: those that were read back while the run went on and that nobody has written to since.
    #: The others were read now.
    read_back: int = 0
    #: Outputs that were removed when all jobs that read them were done.
    removed: int = 0
    #: Done by a line that differs from the manifest's in what makes no other product: needs, priority, waits,
    #: `expect`.
    other_lines: int = 0
    findings: tuple[VerifyFinding, ...] = ()
    #: What the workflow has measured, a sentence each; no faults.
    measured: tuple[str, ...] = ()
    #: Kind → so many more that were counted and not kept.
    unlisted: dict[Kind, int] = {}
    #: Failed job → jobs that never ran for its sake.
    behind: dict[str, int] = {}

    @property
    def is_good(self) -> bool:
        return not self.findings and self.jobs > 0

    @property
    def exit_code(self) -> int:
        return 0 if self.is_good else 1

    def counts(self) -> dict[Kind, int]:
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] + self.unlisted.get(kind, 0) for kind in KINDS}

    def to_json(self) -> dict[str, Any]:
        return {**msgspec.to_builtins(self), "is_good": self.is_good, "counts": self.counts()}

    def to_text(self) -> str:
        looked = f", {many(self.outputs, 'output')} checked ({size(self.bytes)})" if self.outputs else ""
        looked += (
            f", {self.read_back} of them read back before and not written to since" if self.read_back else ""
        )
        looked += (
            f", {self.counted_before} of them media as counted before it was published"
            if self.counted_before
            else ""
        )
        looked += f", {self.removed} intermediate removed" if self.removed else ""
        looked += (
            f", {self.other_lines} made when other needs, waits or checks stood in the line"
            if self.other_lines
            else ""
        )
        if not self.jobs and not self.findings:
            return f"{printable(self.manifest)} holds no jobs: nothing is verified"
        head = f"{printable(self.manifest)}: {self.done} of {many(self.jobs, 'job')} verified{looked}"
        measured = [f"  {printable(sentence)}" for sentence in self.measured]
        if self.is_good:
            return "\n".join([head, *measured])
        found = ", ".join(f"{count} {kind}" for kind, count in self.counts().items() if count)
        return "\n".join(
            [
                head,
                f"found: {found}",
                *(line for kind in KINDS for line in self._lines(kind)),
                *self._remedy(),
                *measured,
            ]
        )

    def _remedy(self) -> Iterator[str]:
        """No Redis was asked: what it has as done and no receipt proves is not known here."""
        if any(f.kind == "missing" and not f.because_of and not f.path for f in self.findings):
            yield (
                "  of those without a receipt: what Redis has as done (conductor explain JOB) has lost its "
                "own, and is "
                f"made again by: conductor retry --missing {printable(self.manifest)}"
            )

    def _lines(self, kind: Kind) -> Iterator[str]:
        """One line a finding; jobs that never ran for another's sake are counted behind that one."""
        own = [f for f in self.findings if f.kind == kind and not f.because_of]
        for finding in own[:SHOWN]:
            waiting = self.behind.get(finding.job_id, 0) if finding.kind in _HOLDING else 0
            yield _line(finding) + (f" ({many(waiting, 'job')} behind it did not run)" if waiting else "")
        behind = sum(self.behind.values()) if kind == "missing" else 0
        if (more := self.counts()[kind] - behind - min(SHOWN, len(own))) > 0:
            yield f"  … and {more} more {kind}: --json lists all"


def _line(finding: VerifyFinding) -> str:
    about = named(finding.task, finding.subject)
    where = f" ({finding.job_id})" if finding.job_id else ""
    why = f"{finding.cause}: {finding.message}" if finding.cause else finding.message
    return printable(
        f"  {finding.kind:<10} {about}{where}: {why}" if about or where else f"  {finding.kind:<10} {why}"
    )
