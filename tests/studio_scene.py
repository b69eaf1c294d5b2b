"""A storyboard's film, its jobs run one after the other."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from task_bench import Bench

from workers.tasks import media_compose, media_master
from workflows.studio import plan as studio

BODIES = {"media.compose": media_compose.run, "media.master": media_master.run}


def made(bench: Bench, board: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The film of a storyboard, its jobs run one after the other."""
    file = bench.inputs / "board.json"
    file.write_text(json.dumps(board), encoding="utf-8")
    result: dict[str, Any] = {}
    writes: list[str] = []
    for spec in studio.plan(Namespace(kind="render", storyboard=file), bench.settings.for_code):
        writes = [output.path for output in spec.writes]
        result = bench.run(BODIES[spec.task], spec.args, reads=spec.reads, writes=writes, task=spec.task)
        if spec.task == "media.compose":
            bench.put(writes[0], bench.made(writes[0]))
    return bench.made(writes[0]), result
