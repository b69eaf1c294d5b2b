"""corpus.apply: annotations made by another job go into a corpus, which is a store, a SQLite file or a folder
of JSON lines. Applied twice, they are there once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from conductor.base.errors import BadInput, JobError, NoSpace, PublishFailed, StatementRefused, StoreFault
from conductor.base.files import paths
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, read_of, shown

#: How long to wait while another job writes to the same corpus.
BUSY_S = 60.0


class ApplyArgs(Args, frozen=True, kw_only=True):
    #: `[stores.NAME]`; None: the corpus is a file.
    store: str | None = None
    #: `root:relative` of the SQLite file, or of the `annotated.jsonl` in a folder of documents; default:
    #: the first of `updates`.
    corpus: str | None = None
    #: JSON lines {"id", "annotation"}; default: the first read.
    annotations: str | None = None
    #: A higher number applies the same annotations once more, to a corpus that lost them.
    round: int = 1


@task(
    "corpus.apply",
    lane="io",
    needs=Needs(ram_mib=64),
    timeout_s=600,
    retry={"task_error": 5, "no_space": 5},
    store="{store}",
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store, or corpus (default: the first of `updates`); annotations (default: the first read), round.
    All of it or nothing. Result: {"added", "present"}."""
    from workers.llm import corpus_tables

    given = parse(args, ApplyArgs)
    rows = list(lines_of(ctx.input(read_of(ctx, given.annotations, 0, "annotations"))))
    if given.store is not None:
        with ctx.store(given.store) as store:
            leave_if_told(ctx)
            added = corpus_tables.apply(store, texts(rows), given.store)
    else:
        added = into_file(ctx, update_of(ctx, given.corpus), rows)
    return {"added": added, "present": len(rows) - added}


def into_file(ctx: JobContext, path: str, rows: list[tuple[str, Any]]) -> int:
    from workers.llm import corpus_lines

    name = shown(path)
    leave_if_told(ctx)
    try:
        if path.rpartition("/")[2] == corpus_lines.ANNOTATIONS:
            return corpus_lines.add(annotations_file(ctx, path), rows, BUSY_S, name)
        return into_sqlite(ctx.update(path), texts(rows), name)
    except StoreFault as e:
        raise meant(e, name) from None
    except PermissionError:
        raise PublishFailed(f"the corpus {name} cannot be written to") from None


def into_sqlite(file: Path, rows: list[tuple[str, str]], name: str) -> int:
    from conductor.adapters.stores.sqlite_store import SqliteStore
    from workers.llm import corpus_tables

    try:
        with closing(SqliteStore(name, file, BUSY_S)) as store:
            return corpus_tables.apply(store, rows, name)
    except StatementRefused as e:
        raise BadInput(f"{name} is not a corpus with documents(id, text): {e}") from None


def meant(e: StoreFault, name: str) -> JobError:
    """Of a file that is the corpus itself: no gate holds it, and its causes have their own."""
    words = str(e)
    if "disk is full" in words:
        return NoSpace(f"no room left for the corpus {name}")
    if "cannot be written" in words or "cannot be opened" in words:
        return PublishFailed(f"the corpus {name} cannot be written to")
    if e.trouble == "refuses":
        return BadInput(f"{name} is not a corpus with documents(id, text): {words}")
    return JobError(words)


def update_of(ctx: JobContext, given: str | None) -> str:
    """A corpus that the line does not declare is refused: nobody who reads its manifest would know that it
    changes.
    """
    updates = ctx.spec.updates
    if given is None and updates:
        return updates[0]
    if given not in updates:
        named = "it" if given is None else repr(given)
        raise BadInput(
            f"args.corpus: {named} is not among the job's updates; list the corpus there, and plan again"
        )
    return given


def annotations_file(ctx: JobContext, path: str) -> Path:
    """It need not be there yet; the folder of the documents is."""
    file = paths.resolve(ctx.settings, path, for_writing=True)
    paths.check_mounted(ctx.settings, path.partition(":")[0])
    if not file.parent.is_dir():
        raise BadInput(f"the folder of {path!r} is not there")
    return file


def lines_of(file: Path) -> Iterator[tuple[str, Any]]:
    """(document id, annotation) of each line. Raises `BadInput`."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                value = json.loads(line)
                yield str(value["id"]), value["annotation"]
            except (ValueError, KeyError, TypeError):
                raise BadInput(f"line {number} of {file.name} is not an annotation") from None


def texts(rows: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(identity, json.dumps(value, ensure_ascii=False, sort_keys=True)) for identity, value in rows]
