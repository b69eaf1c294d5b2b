"""What every command needs first: the settings, the ledger, one job by the beginning of its id, JSON on
stdout.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from conductor.base.settings.settings import Settings
    from conductor.model.ledger_entries import JobView
    from conductor.ports import Ledger

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, all else on stderr.")]


def settings_here(*, begins: bool = False) -> Settings:
    """The settings of $CONDUCTOR_PROJECT or the current folder. Raises `ConfigError` where that is no
    project, unless the command `begins` one, or needs none."""
    from conductor.base.settings.settings import load
    from conductor.record.project_folder import refuse_no_project

    settings = load()
    if not begins:
        refuse_no_project(settings)
    return settings


@contextmanager
def ledger_here(is_lenient: bool = True, *, begins: bool = False) -> Generator[tuple[Settings, Ledger]]:
    """The settings and the ledger they name; the project's own Valkey is started for as long as it is needed.

    A Redis that may forget what it accepts is warned of, or refused (`is_lenient=False`: who entrusts jobs to
    it)."""
    from conductor.adapters.open_ledger import open_ledger
    from conductor.adapters.redis import valkey

    settings = settings_here(begins=begins)
    valkey.refuse_full(settings.valkey)
    with open_ledger(settings, is_lenient) as ledger:
        yield settings, ledger


@contextmanager
def ledger_to_read(*, begins: bool = False) -> Generator[tuple[Settings, Ledger]]:
    """For who only looks: where nothing was done yet, an empty ledger, and nothing is started or made for
    it.
    """
    from conductor.adapters.memory import memory_ledger
    from conductor.adapters.open_ledger import open_ledger
    from conductor.record.project_folder import has_ledger

    settings = settings_here(begins=begins)
    if not has_ledger(settings):
        yield settings, memory_ledger()
        return
    with open_ledger(settings, is_lenient=True) as ledger:
        yield settings, ledger


@contextmanager
def redis_address(settings: Settings) -> Generator[str]:
    """The URL of the Redis that the settings name, or of the project's own Valkey, which runs while the
    block lasts.
    """
    from conductor.adapters.redis import valkey

    if settings.redis.url is not None:
        yield settings.redis.url
        return
    with valkey.session(settings.valkey) as url:
        yield url


def one_backlog(ledger: Ledger, target: str | None) -> str | None:
    """The name in `backlog:NAME`, of one that there is; None for None. Raises `UsageError`."""
    from conductor.base.errors import UsageError
    from conductor.base.settings.settings import did_you_mean
    from conductor.dispatch.backlog_name import TARGET, backlog_name

    if target is None:
        return None
    name, known = backlog_name(target), ledger.tallies.backlogs()
    if name not in known:
        there = ", ".join(f"{TARGET}{each}" for each in known) or "none"
        raise UsageError(f"there is no backlog:{name} (there are: {there}){did_you_mean(name, known)}")
    return name


def one_job(ledger: Ledger, prefix: str) -> JobView:
    """The job whose id begins with `prefix`. Raises `UsageError` when there is none, or more than one."""
    from conductor.base.errors import UsageError

    if not prefix:
        raise UsageError("give the id of a job, or its first letters")
    view = ledger.jobs.job(prefix)
    if view is not None:
        return view
    found = ledger.jobs.find(prefix, limit=6)
    if len(found) > 1:
        raise UsageError(
            f"{prefix} could be {', '.join(found[:5])}{' …' if len(found) > 5 else ''}: give more letters"
        )
    view = ledger.jobs.job(found[0]) if found else None
    if view is None:
        raise UsageError(f"no job's id begins with {prefix}: `conductor status` shows what is known")
    return view


def show(lines: Iterable[str], err: bool = False) -> None:
    """Lines for people, in which names may be anybody's: what a terminal would obey is written out."""
    from conductor.base.text import printable

    typer.echo("\n".join(map(printable, lines)), err=err)


def emit(value: Any) -> None:
    """`value` (Structs, mappings, paths) as one indented JSON document on stdout."""
    import json
    import sys

    from conductor.base.text import escaped
    from conductor.views.as_json import json_text

    text = json_text(value, is_indented=True)
    if sys.stdout.encoding.lower() not in ("utf-8", "utf8"):
        text = json.dumps(json.loads(text), indent=2)  # every letter that is not ASCII written out
    # A terminal obeys more characters than JSON escapes.
    typer.echo("\n".join(escaped(line) for line in text.split("\n")))


def answer(as_json: bool, value: object, sentence: str) -> None:
    from conductor.base.text import printable

    if as_json:
        emit(value)
    else:
        typer.echo(printable(sentence))
