"""A corpus as plan and verify read it: a store, a SQLite file, or a folder of JSON lines."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from conductor.adapters.stores.sqlite_store import SqliteStore
from conductor.base.errors import BadInput, ConfigError, StatementRefused, StoreFault, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.base.files.paths import split
from conductor.planning import open_store
from conductor.ports.store import SqlStore
from workers.llm import corpus_lines, corpus_tables

STORE = "store:"
#: A plan that finds another program's lock on a file waits for so long.
_BUSY_S = 30.0


class Corpus(NamedTuple):
    """`args` and `updates` are those of corpus.apply; one of the three places is set."""

    args: Mapping[str, Any]
    updates: tuple[str, ...] = ()
    store: str = ""
    file: Path | None = None
    folder: Path | None = None


def corpus_of(given: str, settings: CodeSettings) -> Corpus:
    """`store:NAME`, or a SQLite file or a folder, as a path or as `root:relative`.

    Raises `UsageError` where it is not there, `ConfigError` with the lines to add where no root holds it."""
    if given.startswith(STORE):
        name = given.removeprefix(STORE)
        return Corpus({"store": name}, store=name)
    rooted, place = _rooted(given, settings)
    if place.is_dir():
        annotations = f"{rooted}/{corpus_lines.ANNOTATIONS}"
        return Corpus({"corpus": annotations}, (annotations,), folder=place)
    return Corpus({"corpus": rooted}, (rooted,), file=place)


def corpus_of_job(args: Mapping[str, Any], settings: CodeSettings) -> Corpus:
    """The same by the arguments of a corpus.apply."""
    if args.get("store"):
        return corpus_of(f"{STORE}{args['store']}", settings)
    return corpus_of(str(args["corpus"]).removesuffix(f"/{corpus_lines.ANNOTATIONS}"), settings)


def gaps(corpus: Corpus, settings: CodeSettings) -> Iterator[tuple[str, str]]:
    """(id, text) of every document with a text and without an annotation. Raises `ConfigError` for what is no
    corpus.
    """
    if corpus.folder is not None:
        try:
            known = corpus_lines.annotated(corpus.folder)
            for identity, text in corpus_lines.documents(corpus.folder):
                if text and identity not in known:
                    yield identity, text
        except BadInput as e:
            raise ConfigError(f"{corpus.folder}: {e}") from None
        return
    with _looked_into(corpus, settings) as store:
        yield from corpus_tables.gaps(store)


def twice(corpus: Corpus, settings: CodeSettings) -> list[str]:
    """Ids of documents that are annotated more than once."""
    if corpus.folder is not None:
        return [identity for identity, times in corpus_lines.annotated(corpus.folder).items() if times > 1]
    with _looked_into(corpus, settings) as store:
        return corpus_tables.twice(store)


@contextmanager
def _looked_into(corpus: Corpus, settings: CodeSettings) -> Generator[SqlStore]:
    """Read-only, and never made where there is none."""
    place = corpus.file or f"store {corpus.store}"
    try:
        if corpus.file is None:
            with open_store(settings, corpus.store) as store:
                yield store
        else:
            with closing(SqliteStore(corpus.file.name, corpus.file, _BUSY_S, is_read_only=True)) as store:
                yield store
    except StatementRefused as e:
        raise ConfigError(f"{place} is not a corpus with documents(id, text): {e}") from None
    except StoreFault as e:
        if corpus.file is None or e.trouble != "refuses":
            raise
        raise ConfigError(f"{place} is not a corpus with documents(id, text): {e}") from None


def _rooted(corpus: str, layout: CodeSettings) -> tuple[str, Path]:
    """As (`root:relative`, place): jobs write below declared roots only, so it has to lie in one."""
    root, colon, relative = corpus.partition(":")
    if colon and root in layout.roots:
        split(corpus)
        return corpus, _present(layout.roots[root].path / relative)
    file = _present(Path(corpus).expanduser().absolute()).resolve()
    for name, declared in sorted(layout.roots.items()):
        base = declared.path.resolve()
        if file.is_relative_to(base) and file != base:
            return f"{name}:{file.relative_to(base)}", file
    raise ConfigError(
        f"{file} lies in no root, and jobs write below roots only: add to conductor.toml "
        f'[roots.corpus] with path = "{file.parent}"'
    )


def _present(place: Path) -> Path:
    if place.is_dir():
        if any(place.glob("*.jsonl")):
            return place
        raise UsageError(f'{place} holds no *.jsonl file with documents {{"id", "text"}}')
    if not place.is_file():
        raise UsageError(
            f"{place} is not a file: name a SQLite corpus with documents(id, text), a folder of JSON lines, "
            "or store:NAME"
        )
    return place
