"""Drip-feeds jobs of manifests to workers when there is room for them, and proves what was done."""

#: The public face: what plans, checks and task modules of users import, and what records name. These names
#: stay where they are; every other module may move. A test imports each, and holds the shipped workflows and
#: the pages that show code (README.md, manifests/README.md, docs/manifests.md) to this list.
PUBLIC = (
    "workers.task",
    "workers.runner.run_job",  # in RQ's records
    "workers.task_api.context.JobContext",
    "workers.toolkit",
    "conductor.planning",
    "conductor.client",
    "conductor.model.spec",
    "conductor.model.receipt.Receipt",
    "conductor.ports.store",  # what ctx.store and open_store give
    "conductor.verify.verify.Checks",
    "conductor.verify.verify.JobFacts",
    "conductor.verify.report.VerifyFinding",
    "conductor.base.errors",
    "conductor.base.files.layout.CodeSettings",
    "conductor.base.files.paths.open_to_read",
)
