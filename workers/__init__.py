"""The worker: parent (Redis, lease, publish, receipt) and child (the body)."""
