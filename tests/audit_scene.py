"""What the tests of the audit share."""

from __future__ import annotations

from conductor.recovery.audit import AuditReport


def bad(report: AuditReport) -> dict[str, tuple[str, ...]]:
    """The faults by check, of the checks that found some."""
    assert report.is_sound == all(check.is_sound for check in report.checks)
    return {check.name: check.faults for check in report.checks if not check.is_sound}
