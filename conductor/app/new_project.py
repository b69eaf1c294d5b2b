"""A new project: what `conductor init` writes. Its files work as they are, and are made to be changed."""

from __future__ import annotations

import os
from pathlib import Path

from conductor.base.errors import UsageError
from conductor.base.settings.settings import CONFIG_NAME
from conductor.base.text import printable

CONFIG = """\
# Settings of this project: flag > CONDUCTOR_* > this file > default. Unknown keys are refused.
# `conductor config show --origin` lists all of them, docs/settings.md says what each means.

# Modules of yours with functions under @task, beside this file.
task_modules = ["my_tasks"]

# Without an NVIDIA device, jobs of the gpu lane run on the CPU, one at a time, instead of waiting for one.
[lanes.gpu]
on_cpu = true

# Scratch and the published folder lie in this folder until you say otherwise:
# [roots.scratch]
# path = "/fast/scratch"
# [roots.published]
# path = "/mnt/nas/reels"
# marker = ".conductor-mount"    # a file that lies on the NAS: an unmounted one is an empty folder
"""

TASKS = '''\
"""The tasks of this project: each does one job. What it imports at great cost belongs into its function."""

from conductor.model.spec import Needs
from workers import task


@task("my.count", lane="cpu", needs=Needs(cpu=1, ram_mib=200), timeout_s=600, retry={"task_error": 2})
def count(args, ctx):
    words = ctx.input(args["source"]).read_text().split()
    ctx.progress(0.5, f"{len(words)} words")
    ctx.output(ctx.spec.writes[0].path).write_text(f"{len(words)}\\n")
    return {"words": len(words)}
'''

PLAN = '''\
"""The words of every list of a folder, counted: a job for each file."""

from conductor.planning import input_files, input_of, job


def add_arguments(parser):
    parser.add_argument("folder", nargs="?", default="lists", help="the folder with the lists")


def plan(options, settings):
    for path in input_files(settings.project / options.folder, ["txt"], settings, skipped=[]):
        yield job(
            "counted",
            "my.count",
            {"source": str(path)},
            inputs=input_of(path),
            writes={"published:counted/{id}.txt": 100},
        )
'''

IGNORED = """\
# What Conductor keeps for itself, and what jobs make. Manifests are kept: they are what was asked for.
.conductor/
logs/
receipts/
scratch/
published/
__pycache__/
"""

FILES = {
    CONFIG_NAME: CONFIG,
    "my_tasks.py": TASKS,
    "workflows/counted/plan.py": PLAN,
    "lists/first.txt": "one two three\n",
    "lists/second.txt": "four five\n",
    ".gitignore": IGNORED,
}


def make_project(folder: Path) -> list[Path]:
    """All of `FILES` in `folder`. → what was made. Raises `UsageError` where one of them is there."""
    there = [name for name in FILES if os.path.lexists(folder / name) and name != ".gitignore"]
    if there:
        raise UsageError(
            f"{printable(str(folder / there[0]))} is there already: give a new FOLDER, or take it away first"
        )
    made: list[Path] = []
    try:
        for name, text in FILES.items():
            path = folder / name
            if path.exists():  # a .gitignore of their own
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(text)
            made.append(path)
    except OSError as e:
        raise UsageError(f"{printable(str(folder))} cannot be made a project: {e.strerror}") from None
    return made
