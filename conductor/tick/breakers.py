"""Kinds of jobs at the edge: how many canaries each task wants, which code is here, and what is said of a
review.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from conductor.base.code_version import code_version
from conductor.base.errors import ConfigError
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.core.admission.sentences import failures_words, reviewed_words
from conductor.dispatch.live_catalogue import WatchedCatalogue
from conductor.model.job_class import kind_of
from conductor.model.limits import TaskRules
from conductor.model.snapshot import KindState
from conductor.model.spec import JobSpec, TaskDecl
from conductor.ports import Ledger
from conductor.record.journal import Journal, in_review


def canaries_of(wanted: Mapping[str, int], catalogue: Mapping[str, TaskDecl]) -> dict[str, int]:
    """Task → canaries: conductor.toml (`wanted`) over what `@task` says. Raises `ConfigError` for an
    unknown task.
    """
    check_known(wanted, catalogue, "canary")
    declared = {name: decl.canary for name, decl in catalogue.items()}
    return {task: n for task, n in {**declared, **wanted}.items() if n}


def check_known(wanted: Mapping[str, int], catalogue: Mapping[str, TaskDecl], section: str) -> None:
    for task in wanted:
        if task not in catalogue:
            raise ConfigError(f"[{section}]: no task is named {task!r}{did_you_mean(task, catalogue)}")


def live_rules(
    wanted: Mapping[str, int], catalogue: WatchedCatalogue, by_eye: Mapping[str, int] = MappingProxyType({})
) -> Callable[[], TaskRules]:
    """The tasks that were read, with their canaries, as they are when it is asked; the same object while
    nothing changes. Both are of one reading. Raises `ConfigError` for an unknown task in `wanted` now; one
    that goes later takes its line of `wanted` with it."""
    seen = catalogue.now
    check_known(by_eye, seen, "canary_by_eye")
    found = _rules(wanted, seen, by_eye)

    def rules() -> TaskRules:
        nonlocal seen, found
        if (now := catalogue.now) is not seen:
            seen = now
            found = _rules({task: n for task, n in wanted.items() if task in now}, now, by_eye)
        return found

    return rules


def _rules(
    wanted: Mapping[str, int], catalogue: Mapping[str, TaskDecl], by_eye: Mapping[str, int]
) -> TaskRules:
    return TaskRules(
        tasks=tuple(sorted(catalogue)),
        canary=canaries_of(wanted, catalogue),
        canary_by_eye={task: n for task, n in by_eye.items() if n},
    )


def codes_of(catalogue: Mapping[str, TaskDecl]) -> dict[str, str]:
    """Task → version of its code as it lies on this host's disk now, which is what the next attempt runs."""
    versions = {module: code_version(module) for module in {decl.module for decl in catalogue.values()}}
    return {name: versions[decl.module] for name, decl in sorted(catalogue.items())}


def why_missing(receipts_dir: Path, catalogue: Mapping[str, TaskDecl]) -> Callable[[JobSpec], str]:
    """Of a job without a receipt: the journal knows which kinds were set aside. Needs no Redis."""
    words, back = in_review(Journal(receipts_dir).notes())

    def why(spec: JobSpec) -> str:
        decl = catalogue.get(spec.task)
        kind = kind_of(spec, decl) if decl is not None else spec.task
        is_set_aside = kind in words and spec.id not in back[kind]
        return f"it is in review, for {words[kind]}" if is_set_aside else ""

    return why


def review_lines(ledger: Ledger, backlog: str | None = None) -> tuple[str, ...]:
    """A sentence for each kind with jobs in review, those that failed first."""
    found = ledger.kinds.in_review(backlog)
    closed = {s.kind: s for s in ledger.kinds.states()[0] if s.opened_at is not None}
    ordered = sorted(found.items(), key=lambda item: (item[0] not in closed, item[0]))
    return tuple(reviewed_words(kind, n, closed.get(kind)) for kind, n in ordered)


def note_review(receipts_dir: Path, kind: str, states: Sequence[KindState]) -> None:
    """In the journal: what waits of `kind` was set aside, and why."""
    state = max((s for s in states if s.kind == kind), key=lambda s: s.failed, default=None)
    if state is not None:
        Journal(receipts_dir).reviewed(kind, failures_words(kind, state))
