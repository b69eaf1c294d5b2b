"""The worker: parent (Redis, lease, publish, receipt) and child (the body)."""

from workers.registry import task

__all__ = ["task"]
