"""A corpus in a folder of JSON lines: documents {"id", "text"} in its files, what was said of them in one
more, to which lines are added.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from conductor.base.errors import BadInput, StoreFault

#: In the folder itself; every other `*.jsonl` there holds documents.
ANNOTATIONS = "annotated.jsonl"
_NAP_S = 0.05


def documents(folder: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of every line, by file and line; an id that comes again is the first one's. Raises
    `BadInput`.
    """
    seen = set[str]()
    for file in sorted(folder.glob("*.jsonl")):
        if file.name == ANNOTATIONS:
            continue
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    identity, text = _document(line, f"line {number} of {file.name}")
                    if identity not in seen:
                        seen.add(identity)
                        yield identity, text


def _document(line: bytes, where: str) -> tuple[str, str]:
    try:
        value = json.loads(line)
        identity, text = value["id"], value["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f'{where} is not a document {{"id", "text"}}') from None
    if not isinstance(identity, str | int) or isinstance(identity, bool) or not isinstance(text, str | None):
        raise BadInput(f"{where} is not a document: its id is to be a text or a number, and its text a text")
    return str(identity), text or ""


def annotated(folder: Path) -> Counter[str]:
    """Id → how often it is annotated. A last line that was never ended does not count."""
    try:
        with (folder / ANNOTATIONS).open("rb") as file:
            return _ids(file)
    except FileNotFoundError:
        return Counter()


def add(file: Path, rows: Iterable[tuple[str, Any]], wait_s: float, name: str) -> int:
    """Lines for those (id, annotation) that are not there yet: how many were added.

    One writer at a time; what a killed one left behind of a line is cut off first. Raises `StoreFault` where
    another one writes for longer than `wait_s`."""
    with file.open("a+b") as lines:
        _lock(lines, wait_s, name)
        lines.seek(0)
        known = _ids(lines)
        lines.truncate(_whole(lines))
        new = dict[str, Any]()
        for identity, annotation in rows:
            if identity not in known:
                new.setdefault(identity, annotation)
        if new:
            lines.seek(0, os.SEEK_END)
            lines.write(b"".join(_line(identity, annotation) for identity, annotation in new.items()))
            lines.flush()
            os.fsync(lines.fileno())
    return len(new)


def _line(identity: str, annotation: Any) -> bytes:
    return json.dumps({"id": identity, "annotation": annotation}, ensure_ascii=False).encode() + b"\n"


def _ids(lines: BinaryIO) -> Counter[str]:
    found = Counter[str]()
    for line in lines:
        if line.endswith(b"\n") and line.strip():
            try:
                found[str(json.loads(line)["id"])] += 1
            except (ValueError, KeyError, TypeError, RecursionError):
                raise BadInput(f'{ANNOTATIONS} has a line that is no {{"id", "annotation"}}') from None
    return found


def _whole(lines: BinaryIO) -> int:
    """Bytes up to the end of its last whole line."""
    end = at = lines.seek(0, os.SEEK_END)
    while at:
        begin = max(0, at - (1 << 16))
        lines.seek(begin)
        found = lines.read(at - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        at = begin
    return 0 if end else end


def _lock(lines: BinaryIO, wait_s: float, name: str) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise StoreFault(f"the corpus {name}: another program holds its lock", "busy") from None
            time.sleep(_NAP_S)
