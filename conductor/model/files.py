"""Chains: jobs that read each other's files on one disk, as the decision sees them.

A file stays on the disk until its last reader has ended; one that nobody reads leaves with the job that wrote it.
"""

from __future__ import annotations

from conductor.model.spec import Value


class FileJob(Value, frozen=True, kw_only=True):
    """One job of a chain that has not ended."""

    job_id: str
    #: Admitted or running: its files are charged already.
    is_going: bool = False
    #: Path → bytes, on the chain's disk only.
    writes: dict[str, int] = {}
    #: Paths that jobs of the same chain write or have written.
    reads: tuple[str, ...] = ()
    #: Jobs of the chain that must end before it, those that have ended left out.
    after: tuple[str, ...] = ()
    #: From its start to the end of the longest path behind it, itself included.
    tail_s: float = 0.0


class Chain(Value, frozen=True, kw_only=True):
    """Jobs that are connected by what they read and write. All of them run where their files are."""

    id: str
    root: str = "scratch"
    #: Where its first files lie; None while nothing of it has been admitted.
    node: str | None = None
    jobs: tuple[FileJob, ...] = ()
    #: Files of jobs that have ended, with readers left: path → bytes.
    kept: dict[str, int] = {}
