"""The worker: parent (Redis, lease, publish, receipt) and child (the body)."""

from workers.task_api.registry import task

__all__ = ["task"]
