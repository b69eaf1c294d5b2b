"""JobContext: all a task's body may ask of the world it runs in. One per attempt, in the child."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from msgspec import structs

from conductor.adapters.files.receipt_log import accepted, receipts_of
from conductor.base.errors import BadInput, JobError
from conductor.base.files import paths, safe_open
from conductor.model.calls import Call
from conductor.model.receipt import body_of
from conductor.model.review import ItemVerdict, Rejection, ReviewAsked, ReviewItem
from conductor.model.spec import JobSpec
from workers.task_api import checkpoint, store
from workers.task_api.checkpoint import Checkpoint
from workers.task_api.review import asked_of
from workers.task_api.warm_cache import WarmStore

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings, Layout
    from conductor.ports.store import SqlStore

T = TypeVar("T")


class Stopped(JobError):
    """The operator cancelled the job, or the worker has to leave now."""

    cause = "cancelled"


def attempt_folder(layout: Layout, root: str, job_id: str, body: str) -> Path:
    """Where one body of a job writes on one root until its outputs are whole: `ROOT/.tmp/ID.ATTEMPT.TOKEN`.

    `body`: ATTEMPT.TOKEN. Two bodies never share a folder, whatever number they were given."""
    return Path(folder_name(layout, root, job_id, body))


def folder_name(layout: Layout, root: str, job_id: str, body: str) -> str:
    return f"{paths.root_folder(layout, root)}/{paths.STAGING}/{job_id}.{body}"


def file_mark(file: Path) -> str | None:
    """Its size and the time of its last change; None where there is none."""
    try:
        facts = file.lstat()
    except OSError:
        return None
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def staged(folder: Path, relative: str) -> Path:
    return folder / "out" / relative


class JobContext:
    """What the body gets. Built by the child; in tests by hand: only `spec` and `settings` are needed."""

    def __init__(
        self,
        spec: JobSpec,
        settings: CodeSettings,
        *,
        attempt: int = 1,
        token: str = "",
        devices: tuple[str, ...] = (),
        engine: str = "",
        timeout_s: float = 3600.0,
        on_progress: Callable[[float, str], None] | None = None,
        stop_fd: int | None = None,
        still_s: Callable[[], float] = lambda: 0.0,
        warm: WarmStore | None = None,
        code: Callable[[], str] = str,
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.attempt = attempt
        #: ATTEMPT.TOKEN
        self.body = body_of(attempt, token)
        #: Keys of the devices reserved for this attempt; inside the process they are CUDA devices 0, 1, ….
        self.devices = devices
        #: Of `needs.engines`, the one that this attempt is to use: only its budget was reserved. Empty: the
        #: job names none.
        self.engine = engine
        #: Becomes readable when the body has to stop; None where nobody can ask for it.
        self.stop_fd = stop_fd
        #: Of APIs, in order: when its answer was there, and what it came to.
        self._calls: list[tuple[float, Call]] = []
        #: For how long this process has been frozen in all: the deadline stands meanwhile.
        self._still_s = still_s
        self._deadline = time.monotonic() - still_s() + timeout_s
        self._on_progress = on_progress
        #: What was told of last.
        self._progress = (0.0, "")
        self._warm = warm or WarmStore()
        #: The version of the task's code.
        self._code = code
        self._checkpoint: Checkpoint | None = None
        self._review: ReviewAsked | None = None

    @property
    def job_id(self) -> str:
        return self.spec.id

    @property
    def scratch(self) -> Path:
        """This attempt's own folder on the scratch root, made on first use, removed when the attempt ends."""
        folder = attempt_folder(self.settings, "scratch", self.job_id, self.body) / "work"
        self._make("scratch", folder)
        return folder

    def checkpoint(self) -> Checkpoint:
        """What this job has so far, kept until it is done: `load()` gives what an earlier attempt saved.

        On the root `checkpoint_root`. Raises `JobError` when a later attempt has taken over, `PublishFailed`
        when the root is not mounted.
        """
        if self._checkpoint is None:
            paths.check_mounted(self.settings, self.settings.checkpoint_root)
            self._checkpoint = checkpoint.take(self.settings, self.job_id, self.body, self._code())
        return self._checkpoint

    def input(self, path: str) -> Path:
        """The file behind `root:relative`, or behind an absolute path below `inputs`. Raises `BadInput`."""
        file = paths.resolve(self.settings, path, for_writing=False)
        if not file.exists():
            raise BadInput(f"input {path!r} is not there")
        return file

    def output(self, path: str) -> Path:
        """Where to write the declared output `path`; it appears under its own name once the attempt is
        done.
        """
        if all(path != output.path for output in self.spec.writes):
            raise JobError(f"output {path!r} is not among the job's `writes`")
        paths.output_place(self.settings, path)
        root, relative = paths.split(path)
        file = staged(attempt_folder(self.settings, root, self.job_id, self.body), relative)
        self._make(root, file.parent)
        return file

    def update(self, path: str) -> Path:
        """The declared file `path`, which is there, to be changed in place. Raises `BadInput`, `JobError`."""
        if path not in self.spec.updates:
            raise JobError(
                f"{path!r} is not among the job's `updates`, and no job changes what it does not declare"
            )
        root, _ = paths.split(path)
        file = paths.resolve(self.settings, path, for_writing=True)
        paths.check_mounted(self.settings, root)
        if not file.is_file():
            raise BadInput(f"the file {path!r} is not there")
        return file

    def read(self, path: str) -> BinaryIO:
        """The file behind `path`, open; what was opened is what was allowed. Raises as `input`."""
        return paths.open_to_read(self.settings, path)

    def create(self, path: str) -> BinaryIO:
        """The declared output `path`, open to write (and to read back), reached through no link. Raises as
        `output`.
        """
        self.output(path)
        root, relative = paths.split(path)
        folder = attempt_folder(self.settings, root, self.job_id, self.body)
        base = paths.root_folder(self.settings, root)
        return safe_open.create(base, staged(folder, relative).relative_to(base).parts)

    def store(self, name: str, connections: int = 1) -> AbstractContextManager[SqlStore]:
        """The database `[stores.NAME]`, to be used in a `with` block; `connections`: for as many threads.

        What goes wrong with it is told its gate, which holds all jobs that declare it by `@task(store=…)`
        until it is well again: that costs none of them a retry. Raises `StoreUnavailable`, `ServerError`,
        `BadInput` (what it does not take: no such table, a NUL in a text), `Refused`."""
        return store.opened(self.settings, name, connections, self.called)

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far it is (0 to 1) and in a word what it does. Also tells the watch that it is not
        stuck.
        """
        self._progress = (min(1.0, max(0.0, float(fraction))), str(note)[:200])
        if self._on_progress is not None:
            self._on_progress(*self._progress)

    def alive(self) -> None:
        """Tells the watch that it is not stuck, where nobody knows how far it is."""
        self.progress(*self._progress)

    def called(self, call: Call) -> None:
        """Tell what one call of an API came to: what it used is counted instead of what it was thought to
        use.
        """
        self._calls.append((time.monotonic(), call))

    @property
    def calls(self) -> tuple[Call, ...]:
        """All that were told of, in order, each with how long ago that was."""
        now = time.monotonic()
        return tuple(structs.replace(call, ago_s=now - at) for at, call in self._calls)

    def needs_review(
        self, items: Iterable[ReviewItem | Mapping[str, Any]], *, rejected: Rejection = "dies"
    ) -> None:
        """The job is done only when a person has looked at these: `{"words", "picture", "clip", "at_s",
        "ends_s", "sure"}`, all but the words optional; pictures and clips are files that the job writes or
        reads.

        `rejected`: «dies»: one rejected item, and the job is dead. «left_out»: it is done with what was
        accepted, which `verdicts` tells whoever comes after it. The last call counts. Raises `BadResult`.
        """
        self._review = asked_of(self.spec, items, rejected)

    @property
    def review(self) -> ReviewAsked | None:
        """What `needs_review` was told."""
        return self._review

    def verdicts(self, job_id: str) -> tuple[ItemVerdict, ...]:
        """What a person said to the items of a job that this one comes after, in their order; none where that
        asked nothing. Raises `BadInput` where no receipt says that the job is done."""
        done = accepted(receipts_of(self.settings.receipts_dir, job_id)).get(job_id)
        if done is None:
            raise BadInput(
                f"no receipt says that job {job_id} is done: a job's `after` names what it waits for"
            )
        return done.verdicts

    def remaining_s(self) -> float:
        """Seconds until the deadline; 0 when it has passed."""
        return max(0.0, self._deadline - (time.monotonic() - self._still_s()))

    def should_stop(self) -> bool:
        """Long loops ask this now and then. True: leave, the result will not count."""
        return self.stop_fd is not None and is_readable(self.stop_fd)

    def warm(self, key: str, make: Callable[[], T]) -> T:
        """An object that outlives the job: made by the first that asks, kept for the next jobs of this
        worker.
        """
        return self._warm.get(key, make)

    def _make(self, root: str, folder: Path) -> None:
        paths.check_mounted(self.settings, root)
        base = paths.root_folder(self.settings, root)
        with safe_open.below(base, folder.relative_to(base).parts, make=True):
            return


def is_readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])
