"""Where log lines go: one short line for people on stderr, one flat JSON object a line in `logs/NAME.jsonl`.

A job's name is somebody else's text: control characters in it are written out, so that no line can be forged.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from loguru import logger

from conductor.base import secrets
from conductor.base.logs.log_file import LogFile
from conductor.base.text import escaped, printable

if TYPE_CHECKING:
    from types import TracebackType

    from loguru import Message, Record

#: Of each name so many bytes, in so many files beside the one that is written.
MOST_BYTES = 20_000_000
KEPT_FILES = 5
DIM, RED, GREEN, YELLOW, CYAN, RESET = (f"\x1b[{code}m" for code in (2, 31, 32, 33, 36, 0))
#: Of a line for people: its time, its level where that is news, and what it says.
LINE_PARTS = re.compile(r"(\d\d:\d\d:\d\d) (?:(warning|error|critical): )?(.*)")
#: The whole line, by its level; otherwise its first word alone.
BY_LEVEL = {"warning": YELLOW, "error": RED, "critical": RED}
BY_WORD = {"Fed": CYAN, "Done:": GREEN, "Held": YELLOW}
#: Where the file sink's formatter leaves the ready line for loguru's own template.
LINE = "_line"


def set_up(folder: Path, name: str, level: str = "INFO") -> Path | None:
    """Start logging as `name`. The path of the JSON log, or None where the folder cannot be written (said
    once).
    """
    logger.remove()
    sys.excepthook, threading.excepthook = write_death, write_death_of_thread
    logger.add(write_for_people, level=level, format=bare, catch=False, diagnose=False)
    file = folder / f"{name}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # loguru's own rotation is one process's: two of them lose each other's files.
        logger.add(LogFile(file, MOST_BYTES, KEPT_FILES), level="DEBUG", format=json_format, diagnose=False)
    except OSError as e:
        logger.warning("No log file: {} cannot be written ({})", folder, e.strerror or e)
        return None
    return file


def write_death(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python does it, without secrets: what goes to stderr is kept in files."""
    import traceback

    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(secrets.scrub("".join(traceback.format_exception(kind, error, trace))))


def write_death_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"in thread {args.thread.name if args.thread else '?'}:\n")
        write_death(args.exc_type, args.exc_value, args.exc_traceback)


def bare(record: Record) -> str:
    return "{message}"


def write_for_people(message: Message) -> None:
    # Looked up at each line: a live display swaps sys.stderr while it is on.
    stream = sys.stderr
    record = message.record
    # the reader went away: the work goes on, the JSON log has the line
    with contextlib.suppress(OSError, ValueError):
        line = line_for_people(record)
        stream.write((tinted(line) if is_coloured(stream, os.environ) else line) + "\n")
        stream.flush()


def line_for_people(record: Record) -> str:
    level = record["level"].name
    word = "" if level in ("DEBUG", "INFO") else f"{level.lower()}: "
    return f"{record['time']:HH:mm:ss} {word}{printable(secrets.scrub(record['message']))}"


def tinted(line: str) -> str:
    """A line for people in colour: its time recedes, what starts, ends and waits is told apart at a look."""
    parts = LINE_PARTS.fullmatch(line)
    if parts is None:
        return line
    at, level, words = parts.groups()
    if level:
        return f"{DIM}{at}{RESET} {BY_LEVEL[level]}{level}: {words}{RESET}"
    first, blank, rest = words.partition(" ")
    colour = BY_WORD.get(first, "")
    return f"{DIM}{at}{RESET} {colour}{first}{RESET if colour else ''}{blank}{rest}"


def is_coloured(stream: Any, environ: Mapping[str, str]) -> bool:
    """Colour on a terminal only, and never against NO_COLOR (no-color.org: set and not empty) or
    TERM=dumb.
    """
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return bool(getattr(stream, "isatty", lambda: False)())


def json_format(record: Record) -> str:
    """loguru's template for a line that is ready made, so that braces in a message are only text."""
    record["extra"][LINE] = json_line(record)
    return "{extra[" + LINE + "]}\n"


def json_line(record: Record) -> str:
    """`{"time", "level", "event", "message", …}`: what was bound stands beside them, flat."""
    extra = {key: value for key, value in record["extra"].items() if key != LINE}
    fields: dict[str, Any] = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name.lower(),
        "event": extra.pop("event", "log"),
        "message": record["message"],
    }
    fields |= {key: value for key, value in extra.items() if key not in fields}
    if fault := record["exception"]:
        fields["exception"] = trace(fault)
    try:
        text = orjson.dumps(secrets.scrub_all(fields), default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a file name that is not UTF-8 (a lone surrogate), or an integer beyond 64 bits
        text = json.dumps(secrets.scrub_all(fields), default=str)
    # As a whole: what was bound and is no text has become one by now.
    return secrets.scrub(escaped(text))


def trace(fault: Any) -> str:
    import traceback

    return "".join(traceback.format_exception(fault.type, fault.value, fault.traceback))
