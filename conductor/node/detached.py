"""A node without a terminal, as scripts/start-workers and scripts/stop-workers have it."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

from loguru import logger

from conductor.adapters.host.processes import detach, live_pid, stop_by_file
from conductor.base.errors import ConductorError
from conductor.base.settings.settings import Settings
from conductor.model.spec import LANES, Lane
from conductor.node.queue_plan import node_name
from conductor.node.single_instance import only_one, pid_path

#: From a detached start to the first report.
READY_S = 60.0


def output_file(settings: Settings) -> Path:
    """What a node on its own and its workers say."""
    return settings.logs_dir / "node.out"


def detach_node(settings: Settings, lanes: Collection[Lane] = LANES, drain_for_s: float | None = None) -> int:
    """`conductor node` on its own, once it reports; the exit code. Raises `ConfigError` when one runs here
    already.
    """
    name = node_name(settings.node)
    with only_one(settings.layout, name):
        pass
    log, pid_file = output_file(settings), pid_path(settings.layout, name)
    argv = [sys.executable, "-P", "-m", "conductor", "node", *(w for lane in lanes for w in ("--lane", lane))]
    argv += drain_words(drain_for_s)
    words = detach(argv, log, pid_file, READY_S, {"CONDUCTOR_PROJECT": str(settings.project)})
    if words:
        raise ConductorError(f"the node did not come up:\n{words}")
    logger.info("Node {} is up (pid {}); it logs to {}", name, live_pid(pid_file), log)
    return 0


def drain_words(drain_for_s: float | None) -> list[str]:
    """Of the command line, as `up` and `node` have them."""
    return [] if drain_for_s is None else ["--drain-for", f"{drain_for_s:g}"]


def stop_node(settings: Settings, is_now: bool = False) -> int:
    """Drain this project's node (`is_now`: stop it at once) and wait until it is gone; 0 also when none
    ran.
    """
    name = node_name(settings.node)
    if not stop_by_file(pid_path(settings.layout, name), is_now):
        logger.info("Node {} of {} does not run here", name, settings.project)
    return 0
