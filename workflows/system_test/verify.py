"""Holds system_test's results against what was asked: echoes came back, sleeps slept, lifecycles are
complete.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

from collections.abc import Iterator

from conductor.base.files.layout import CodeSettings
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.verify.verify import Checks, JobFacts

LIFECYCLE = ("create", "read", "update", "delete")


def checks(settings: CodeSettings) -> Checks:
    return Checks(jobs=(check_job,))


def check_job(spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
    result = receipt.result
    if spec.task == "diagnostics.echo" and result.get("echo") != spec.args:
        yield f"echoed {result.get('echo')!r} instead of {spec.args!r}"
    if spec.task == "diagnostics.sleep" and receipt.seconds < spec.args["seconds"]:
        yield f"slept {receipt.seconds:.2f} s instead of {spec.args['seconds']:g} s"
    if spec.task.startswith("crud."):
        yield from lifecycle_faults(spec, receipt)


def lifecycle_faults(spec: JobSpec, receipt: Receipt) -> Iterator[str]:
    """Every step of the lifecycle, in order, over every row."""
    steps = receipt.result.get("lifecycle", [])
    names = [step.get("step") for step in steps]
    if [name for name in names if name in LIFECYCLE] != list(LIFECYCLE):
        yield f"its lifecycle is {', '.join(map(str, names)) or 'empty'} instead of {', '.join(LIFECYCLE)}"
    for step in steps:
        if step.get("rows") != spec.args["rows"]:
            yield f"{step.get('step')} touched {step.get('rows')} rows instead of {spec.args['rows']}"


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("system_test"))
