"""A fault in the project's own code (a plan, checks, a task module) as one sentence: file, line, what
Python says.
"""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeVar

from conductor.base.errors import ConductorError, ConfigError

#: Whose lines are not the user's.
_NOT_OWN = tuple(
    str(Path(folder).resolve())
    for folder in (
        Path(__file__).parents[2],
        Path(__file__).parents[3] / "workers",
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    )
)
T = TypeVar("T")


@contextmanager
def own_code(what: str) -> Generator[None]:
    """While the project's own code runs. What it prints goes to stderr: stdout is for data. What it raises
    becomes a `ConfigError` «WHAT: FILE, line N: KeyError: 'x'»; an error that is Conductor's own word passes.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except ConductorError:
        raise
    except SystemExit as e:
        raise ConfigError(f"{what}: {_place(e)}it ends the whole command, by sys.exit({e.code!r})") from None
    except Exception as e:
        raise ConfigError(f"{what}: {sentence(e)}") from e


def drawn(items: Iterable[T], what: str) -> Iterator[T]:
    """The same items, each made under `own_code`: a generator runs only when it is asked."""
    with own_code(what):
        found = iter(items)
    while True:
        with own_code(what):
            try:
                item = next(found)
            except StopIteration:
                return
        yield item


def sentence(error: BaseException) -> str:
    """«FILE, line 12: KeyError: 'x'»; of a file that cannot be read as Python its own line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    words = str(error)
    return f"{_place(error)}{type(error).__name__}{f': {words}' if words else ''}"


def _place(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_own(f.filename)]
    return f"{_short(frames[-1].filename)}, line {frames[-1].lineno}: " if frames else ""


def _is_own(filename: str) -> bool:
    """Also of a file in a project that has its environment inside."""
    if filename.startswith("<"):
        return False
    return not any(str(Path(filename).resolve()).startswith(f"{folder}/") for folder in _NOT_OWN)


def _short(filename: str) -> str:
    file, here = Path(filename), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
