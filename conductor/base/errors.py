"""One tree of errors, by what the caller should do. The message is for the user: what is wrong, what to do.

A task raises the subclasses of `JobError`; each maps to one cause (`conductor.model.causes`) that the retry
table reads. Everything else is raised by the conductor itself and ends a command with `exit_code`: 1 ran and
found something, or nothing where there was to be something; 2 usage, also a name that nobody knows; 3 a bad
configuration or manifest; 4 a service cannot be reached. 0 and 130 (interrupted) are no errors of ours. What
HTTP answers follows from the same classes (`conductor.app.web.answers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor.model.calls import Trouble


class ConductorError(Exception):
    """Base of all: one sentence for the user; the command line prints it and exits with `exit_code`."""

    exit_code = 1


class UsageError(ConductorError):
    """The command was called with something it cannot take."""

    exit_code = 2


class NothingFound(ConductorError):
    """All is well, and there is nothing that an answer could be made from: no job that waits, no record."""


class ConfigError(ConductorError):
    """A setting is unknown, missing or makes no sense."""

    exit_code = 3


class ManifestError(ConductorError):
    """A manifest has bad lines; nothing of it was dispatched. `problems` holds «file:line: what is wrong»."""

    exit_code = 3

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class Unreachable(ConductorError):
    """A service (Redis, NAS, API) cannot be reached. Safe to try again; a write without a reply is a
    «maybe».
    """

    exit_code = 4


class StoreFault(Unreachable):
    """A database is away, full, locked, or lets nobody in. `trouble`: for how long that may last.

    A commit without a reply is a «maybe» here too: its rows are written so that a second time adds none."""

    def __init__(self, message: str, trouble: Trouble) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble


class StatementRefused(ConductorError):
    """A database does not take this statement, or these values: no such table, a text with a NUL."""


class Fenced(ConductorError):
    """This leader, or this attempt, is no longer the current one: stop, write nothing more."""


class JobError(ConductorError):
    """Raised by a task's body; `cause` is the row of the retry table."""

    cause = "task_error"
    #: It will not go away by itself: no budget of retries helps.
    is_lasting = False


class BadInput(JobError):
    """The input cannot be used, however often it is tried. Never retried."""

    cause = "bad_input"


class BadOutput(JobError):
    """What it wrote is not what its line expects. Nothing of it is published."""

    cause = "bad_output"


class BadResult(JobError):
    """What the body returned cannot be written down. Its files are kept."""

    cause = "bad_result"


class Interrupted(JobError):
    """Somebody from outside ended the body, or the program that it ran. It is as if its worker had been
    lost.
    """

    cause = "worker_lost"


class NoSpace(JobError):
    """A disk is full (ENOSPC, EDQUOT). Retried when there is room."""

    cause = "no_space"


class CudaOutOfMemory(JobError):
    """The device had no room for what the body allocated."""

    cause = "cuda_oom"


class RateLimited(JobError):
    """An API answered 429. Closes the rate gate of `rate_key` until `retry_after_s` from now; costs no
    retry.
    """

    cause = "rate_limited"

    def __init__(self, message: str, rate_key: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.rate_key = rate_key
        self.retry_after_s = retry_after_s


class EndpointUnavailable(JobError):
    """An API is down, overloaded, or refuses everybody. Closes the gate of `rate_key` for all.

    It costs no retry. `retry_after_s`: what the server says; None where it does not. `stays_with`: the job
    goes on with this one of its engines and no other, for what was paid for there is under way. An empty
    `rate_key` closes nothing.
    """

    cause = "endpoint_unavailable"

    def __init__(
        self, message: str, rate_key: str, retry_after_s: float | None = None, *, stays_with: str = ""
    ) -> None:
        super().__init__(message)
        self.rate_key = rate_key
        self.retry_after_s = retry_after_s
        self.stays_with = stays_with


class StoreUnavailable(JobError):
    """A store is away, full, locked, or lets nobody in. Closes the gate of `rate_key` for all; costs no
    retry.
    """

    cause = "store_unavailable"

    def __init__(self, message: str, rate_key: str) -> None:
        super().__init__(message)
        self.rate_key = rate_key


class ServerError(JobError):
    """A service answered 5xx or broke the connection, and it may be the request's own doing."""

    cause = "server_error"


class DeadlineExceeded(JobError):
    """The attempt ran past its `timeout_s`."""

    cause = "timeout"


class PublishFailed(JobError):
    """The output is computed but cannot be put in place (NAS gone, read-only). The file is kept."""

    cause = "publish_failed"


class NameTaken(PublishFailed):
    """What stands at an output's name is not what this job made. The job's own file is kept until somebody
    decides.
    """

    is_lasting = True


class Refused(JobError):
    """The configuration does not allow what the job asks for. Never retried; the message says how to allow
    it.
    """

    cause = "refused"
