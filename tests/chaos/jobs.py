"""What the chaos runs: a task that leaves a trace of every execution, and manifests with a bit of
everything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conductor.model.identity import identified
from conductor.model.spec import JobSpec, Output, to_line

BACKLOG = "chaos"
EFFECTS = "effects.log"
#: Seconds a job of mode «long» takes: longer than the lease, so that a pause past it finds it running.
LONG_S = (1.0, 2.0)

#: Written into the project folder. Each execution adds two lines to effects.log: when it began, when it
#: ended.
TASKS = """
import os, time
from conductor.base.errors import BadInput, RateLimited
from workers import task
from workers.task_api.run_program import run_program


def tell(ctx, word):
    # By a clock that no test sets wrong.
    line = f"{ctx.job_id} {ctx.attempt} {word} {time.monotonic():.6f} {os.getpid()}\\n"
    log = os.open("effects.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)


@task("chaos.step", lane="cpu", timeout_s=60.0, retry={"task_error": 20})
def step(args, ctx):
    tell(ctx, "begin")
    if args.get("is_flaky") and ctx.attempt == 1:
        raise RateLimited("planned: once", args.get("rate", ""), 0.1)
    for output in ctx.spec.writes:
        with open(ctx.output(output.path), "w") as file:
            for part in range(3):
                # What an attempt writes names it: an output replaced by another attempt's shows by its hash.
                file.write(f"{ctx.job_id} attempt {ctx.attempt} part {part}\\n" * args.get("lines", 10))
                file.flush()
    while "until" in args and not os.path.exists(args["until"]):
        time.sleep(0.005)
    if args.get("has_program"):
        run_program(["sleep", str(args["seconds"])], ctx)
    else:
        time.sleep(args.get("seconds", 0.0))
    if args.get("ends_flaky") and ctx.attempt == 1:
        raise RateLimited("planned: once, at its end", "", 0.1)
    tell(ctx, "end")
    return {"attempt": ctx.attempt}


# Each is a kind of its own: the breaker of others stays out of it.
@task("chaos.bad", lane="cpu", timeout_s=60.0, parameters=("n",))
def bad(args, ctx):
    tell(ctx, "begin")
    raise BadInput("planned: this one can never work")
"""


def mixed(count: int, rng: random.Random, mean_s: float = 0.02, longest_s: float = 0.2) -> list[JobSpec]:
    """`count` jobs: short and long ones, with programs, in chains, some flaky, some that can only die."""
    specs: list[JobSpec] = []
    for n in range(count):
        specs.append(_one(n, rng, specs, mean_s, longest_s))
    return specs


def _one(n: int, rng: random.Random, before: Sequence[JobSpec], mean_s: float, longest_s: float) -> JobSpec:
    kind = rng.random()
    if kind < 0.04:
        return made(n, "crud.cycle", {"rows": 5, "index": n})
    if kind < 0.10:
        return made(n, "diagnostics.echo", {"text": f"job {n}", "n": n}, outputs=1)
    args: dict[str, object] = {"n": n, "seconds": round(min(longest_s, rng.expovariate(1 / mean_s)), 3)}
    after: dict[str, Any] = {}
    outputs = 1
    if kind < 0.13:
        return made(n, "chaos.bad", {"n": n}, outputs=1)
    if kind < 0.18:
        args["is_flaky"] = True
    elif kind < 0.23:
        args["has_program"] = True
    elif kind < 0.24:
        args["seconds"] = round(rng.uniform(*LONG_S), 2)
    elif kind < 0.34 and before:
        after = {"after": (before[-1].id,)}
    elif kind < 0.38 and before:
        after = {"after_ended": (before[rng.randrange(len(before))].id,)}
    elif kind < 0.48:
        outputs = 2
    return made(n, "chaos.step", args, outputs=outputs, lane="io" if rng.random() < 0.15 else None, **after)


def made(
    n: int, task: str, args: dict[str, object], *, outputs: int = 0, path: str | None = None, **more: object
) -> JobSpec:
    """A line; outputs go to `published:` first, then to `scratch:`; or there is one, at `path`."""
    paths = (f"published:d{n % 50}/{n}.txt", f"scratch:kept/{n}.txt")[:outputs] if path is None else (path,)
    return identified(
        JobSpec(
            v=1,
            id="nameless",
            workflow="chaos",
            task=task,
            args=args,
            writes=tuple(Output(path=path) for path in paths),
            **more,  # pyright: ignore[reportArgumentType]
        )
    )


def write_manifest(file: Path, specs: Sequence[JobSpec]) -> Path:
    file.write_bytes(b"".join(to_line(spec) + b"\n" for spec in specs))
    return file
