"""A new workflow: what `conductor init --workflow NAME` writes. It runs as it is, to be changed then."""

from __future__ import annotations

import keyword
import os
import re
import tomllib
from pathlib import Path

from conductor.base.errors import UsageError
from conductor.base.settings.settings import CONFIG_NAME
from conductor.base.text import printable

PLAN = '''\
"""What each text of a folder says, counted: a job for each file."""

from conductor.model.spec import Needs
from conductor.planning import input_files, input_of, job


def add_arguments(parser):
    parser.add_argument("folder", nargs="?", default="NAME_texts", help="the folder with the texts")


def plan(options, settings):
    for path in input_files(settings.project / options.folder, ["txt"], settings, skipped=[]):
        yield job(
            "NAME",
            "NAME.count",
            {"source": str(path)},
            inputs=input_of(path),
            writes={"published:NAME/{id}.json": 1000},
            needs=Needs(cpu=1, ram_mib=200),
        )
'''

TASKS = '''\
"""The tasks of NAME: each does one job. What it imports at great cost belongs into its function."""

import json

from workers import task
from workers.toolkit import Args, parse, read_of, write_of


class CountArgs(Args):
    source: str


@task("NAME.count", lane="cpu", timeout_s=600, retry={"task_error": 2})
def count(args, ctx):
    read = read_of(ctx, parse(args, CountArgs).source, 0)
    words = ctx.input(read).read_text().split()
    ctx.progress(0.5, f"{len(words)} words")
    ctx.output(write_of(ctx, ".json")).write_text(json.dumps({"words": len(words)}) + "\\n")
    return {"words": len(words)}
'''

VERIFY = '''\
"""What NAME knows of its results beyond receipts and checksums: no text may be empty."""

from conductor.verify.verify import Checks


def checks(settings):
    return Checks(jobs=(check_job,))


def check_job(spec, receipt, facts):
    if not receipt.result["words"]:
        yield f"{spec.args['source']} has no word"
'''

README = """\
# NAME

```
conductor run NAME            # plan, dispatch, conduct, verify
conductor verify manifests/NAME.jsonl
```

`workflows/NAME/plan.py` says which jobs there are, `NAME_tasks.py` does one, `workflows/NAME/verify.py` holds
what came of it against what you know. `NAME_texts/` is there so that it runs at once: take it away.
"""

FILES = {
    "workflows/NAME/plan.py": PLAN,
    "workflows/NAME/verify.py": VERIFY,
    "workflows/NAME/README.md": README,
    "NAME_tasks.py": TASKS,
    "NAME_texts/first.txt": "one two three\n",
}


def make_workflow(folder: Path, name: str, taken: tuple[str, ...]) -> list[Path]:
    """All of `FILES` in the project, and its module of tasks in conductor.toml. → what was made or changed.

    `taken`: names that workflows have. Raises `UsageError` in words; then nothing was made."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
        raise UsageError(
            f"--workflow {printable(name)}: up to 40 small letters, digits and _, a letter first"
        )
    if name in taken:
        raise UsageError(f"there is a workflow {name} already: take another name")
    files = {path.replace("NAME", name): text.replace("NAME", name) for path, text in FILES.items()}
    there = [path for path in files if os.path.lexists(folder / path)]
    if there:
        raise UsageError(
            f"{printable(str(folder / there[0]))} is there already: take another name, or it away"
        )
    config = with_tasks(folder / CONFIG_NAME, f"{name}_tasks")
    made = list[Path]()
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
            made.append(file)
        (folder / CONFIG_NAME).write_text(config, encoding="utf-8")
    except OSError as e:
        raise UsageError(f"{printable(str(folder))}: {printable(str(e.filename))}: {e.strerror}") from None
    return [*made, folder / CONFIG_NAME]


def with_tasks(file: Path, module: str) -> str:
    """The text of conductor.toml with one module more in `task_modules`, all else as it was. Raises
    `UsageError` where only a person can write it."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    before = tomllib.loads(text)
    wanted = [*before.get("task_modules", []), module]
    said = f"task_modules = [{', '.join(map(_quoted, wanted))}]"
    line = re.compile(r"^task_modules *= *\[[^\]]*\]", re.MULTILINE)
    changed = line.sub(said, text, count=1) if "task_modules" in before else f"{said}\n{text}"
    if tomllib.loads(changed) != {**before, "task_modules": wanted}:
        raise UsageError(f"{file}: add {_quoted(module)} to task_modules by hand, then call this again")
    return changed


def _quoted(word: str) -> str:
    return f'"{word}"'
