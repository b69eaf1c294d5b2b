"""Chains: jobs that read each other's files on one disk, as the decision sees them.

A file stays on the disk until its last reader has ended. A file that nobody reads is removed with the job
that wrote it, unless it is a result: a result stays.
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
    #: Bytes that it writes on the chain's disk and that never go: results.
    stays: int = 0
    #: Other root → bytes that it writes there; they count where that root shares the chain's file system.
    elsewhere: dict[str, int] = {}
    #: Bytes on the chain's disk that it needs only while it runs.
    temporary: int = 0
    #: A transfer: the node that files of the chain are on their way to. Empty: it is none.
    bound_for: str = ""


class Chain(Value, frozen=True, kw_only=True):
    """Jobs that are connected by what they read and write. All of them run where their files are."""

    id: str
    root: str = "scratch"
    #: Where its first files lie; None while nothing of it has been admitted.
    node: str | None = None
    jobs: tuple[FileJob, ...] = ()
    #: Files of jobs that have ended, with readers left, which lie on `node`: path → bytes.
    kept: dict[str, int] = {}
    #: The same of files that lie on another node: path → that node. Who reads one waits until it was brought.
    away: dict[str, str] = {}
    #: Path of those → bytes.
    away_bytes: dict[str, int] = {}
    #: Transfers that came to nothing: job → the node that they were bound for.
    failed_transfers: dict[str, str] = {}


class LyingFile(Value, frozen=True, kw_only=True):
    """A file with readers left, where it lies, and the accepted attempt that put it there."""

    path: str
    node: str
    job_id: str
    attempt: int
    bytes: int


class FileMove(Value, frozen=True, kw_only=True):
    """Files of one chain that are to go to another node, by way of a root that both nodes have."""

    #: Of the job that waits for them: the transfer goes into its backlog.
    backlog: str
    source: str
    target: str
    via: str
    #: Path → bytes.
    files: dict[str, int]


class RecentWrite(Value, frozen=True, kw_only=True):
    """Bytes that an attempt left on a disk when its receipt was accepted: a reading taken before does not
    have them.
    """

    node: str
    root: str
    bytes: int
    #: Epoch seconds, Redis time.
    at: float


class RemovableFile(Value, frozen=True, kw_only=True):
    """A file whose last reader was accepted: to be removed from the disk of the node that wrote it."""

    path: str
    job_id: str
    #: The accepted attempt that made it.
    attempt: int
    bytes: int


class ChainStates(Value, frozen=True, kw_only=True):
    """What the ledger knows of files and of waiting, for one tick."""

    chains: tuple[Chain, ...] = ()
    written: tuple[RecentWrite, ...] = ()
    longest_wait_s: float = 0.0
