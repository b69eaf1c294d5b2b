"""`python -m workers --queue Q --lane L --node N [--name NAME] [--device gpu0]`: one worker. Started by the
node.

`python -m workers --exec JOB --attempt N`: one attempt that was admitted (`conductor exec`).

`python -m workers --fork-server LINE`: copies itself into workers (`workers.parent.fork_server`).
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from loguru import logger

from conductor.base import gc_pause
from conductor.base.errors import ConductorError
from conductor.base.last_act import last_act
from conductor.model.spec import LANES
from conductor.model.worker import RETIRED

if TYPE_CHECKING:
    from workers.isolation.stop_signals import Stopping


def main(argv: list[str] | None = None) -> int:
    """0 when told to leave, 74 when it left for want of jobs; the error's exit code, or 1 after one that
    nobody foresaw.
    """
    gc_pause.seldom()
    given = sys.argv[1:] if argv is None else argv
    loaded_at = None
    if given[:1] == ["--fork-server"]:
        from conductor.base.settings.settings import load
        from workers.parent import fork_server

        # Copies take them over where the file is still the same; they say themselves what is wrong with it.
        with suppress(ConductorError):
            load()
        options = fork_server.serve(int(given[1]), parser().parse_args)
        if options is None:
            return 0
        given, is_single, loaded_at = sys.argv[1:], False, fork_server.LOADED_AT
    else:
        is_single = given[:1] == ["--exec"]
        options = (single_parser() if is_single else parser()).parse_args(given)
    from conductor.base.files.safe_open import write_for_ourselves
    from workers.isolation.stop_signals import Stopping

    # First of all: a signal during start-up must not leave a traceback.
    stopping = Stopping()
    stopping.install()
    write_for_ourselves()
    try:
        if is_single:
            return run_single(options.exec, options.attempt, stopping)
        serve(options, stopping, loaded_at)
    except ConductorError as e:
        logger.error("{}", e)
        return e.exit_code
    except Exception:  # noqa: BLE001  the last line of defence: said, and told to the supervisor by the exit code
        logger.opt(exception=True).critical("Worker {} ends on an error that nobody foresaw", " ".join(given))
        return 1
    return RETIRED if stopping.has_retired else 0


def serve(options: argparse.Namespace, stopping: Stopping, loaded_at: float | None) -> None:
    """`loaded_at`: of a copy, when what it has imported was loaded (epoch seconds)."""
    from conductor.base.logs import logs
    from conductor.base.settings.settings import load
    from workers.isolation.child_process import ChildBroken, ChildProcess
    from workers.parent.loop import work
    from workers.parent.wiring import clean, unique_name

    node = clean(options.node)
    name = clean_name(options.name) or unique_name(node, options.lane)
    settings = load()
    host = ChildProcess(settings, name, options.device)
    if loaded_at is not None:
        # Now: what comes next has threads and a connection.
        try:
            host.fork(loaded_at)
        except ChildBroken as e:
            logger.error("{}", e)
    logs.set_up(settings.logs_dir, f"worker-{node}-{options.lane}")
    work(
        settings,
        queue=options.queue,
        node=node,
        name=name,
        device=options.device,
        stopping=stopping,
        host=host,
        idle_s=options.idle_s,
    )


def run_single(job_id: str, attempt: int, stopping: Stopping) -> int:
    """0 where it ended well; 1 where it failed, or is not its turn; 130 where it was told to leave before."""
    from workers.parent.single_attempt import NOT_ITS_TURN, run_attempt

    outcome = run_attempt(job_id, attempt, stopping)
    if outcome == NOT_ITS_TURN:
        logger.error(
            "It is not the turn of attempt {} of {}: somebody else has it, or it is over", attempt, job_id
        )
        return 130 if stopping.is_urgent else 1
    print(outcome)  # noqa: T201  the answer of the command
    return 0 if outcome == "ok" else 1


def clean_name(name: str | None) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9_.-]", "_", name or "")


def single_parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m workers")
    result.add_argument("--exec", required=True, metavar="JOB")
    result.add_argument("--attempt", required=True, type=int)
    return result


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    result.add_argument("--queue", required=True)
    result.add_argument("--lane", required=True, choices=LANES)
    result.add_argument("--node", required=True)
    result.add_argument("--name", help="default: node-lane-pid-random")
    result.add_argument("--device", help="the device it serves, as the node's report names it: gpu0")
    result.add_argument("--idle-s", type=float, default=0.0, help="leave after so long without a job")
    return result


if __name__ == "__main__":
    last_act(lambda: sys.exit(main()))
