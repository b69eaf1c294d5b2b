"""What becomes of a job whose attempt failed. `core.failures.retry` decides it, and the ledger
carries it out in one step.
"""

from __future__ import annotations

from conductor.model.snapshot import JobClass
from conductor.model.spec import Value


class Retry(Value, frozen=True, kw_only=True, tag="retry"):
    """Back to the backlog, not before `delay_s` from now."""

    delay_s: float = 0.0
    #: The class it comes back into, with raised needs; None: the one it was in. The line itself never
    #: changes.
    job_class: JobClass | None = None
    #: It was others' fault: this failure is not counted among the job's.
    is_free: bool = False


class Dead(Value, frozen=True, kw_only=True, tag="dead"):
    """To the dead letter, until an operator retries it."""

    #: Why no further attempt can help, where the cause alone does not say it.
    because: str = ""
