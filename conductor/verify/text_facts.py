"""A text output as what its name says it is: JSON, JSON lines, subtitles. Lines and cues counted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

import orjson

#: A JSON document above this is not a result but data; it is hashed, not parsed.
MAX_JSON_BYTES = 256 << 20

_TIME = r"(\d+):([0-5]\d):([0-5]\d)[,.](\d{3})"
_SRT = re.compile(rf"{_TIME} *--> *{_TIME}( .*)?")
_VTT = re.compile(r"((\d+):)?[0-5]\d:[0-5]\d\.\d{3} *--> *((\d+):)?[0-5]\d:[0-5]\d\.\d{3}( .*)?")


class Text(NamedTuple):
    """What was counted in it («lines», «cues»); `fault` says what is wrong with it."""

    counts: dict[str, int] = {}
    fault: str | None = None


def is_text(path: str) -> bool:
    return path.lower().endswith((".json", ".jsonl", ".srt", ".vtt"))


def look(path: str, file: BinaryIO, size: int, most: int = MAX_JSON_BYTES) -> Text:
    """`most`: bytes of a JSON document that are parsed; a larger one is left alone. Raises `OSError`."""
    suffix = path.rpartition(".")[2].lower()
    if suffix == "jsonl":
        return _json_lines(file)
    if suffix == "json":
        return _json(file) if size <= most else Text()
    return _subtitles(file, suffix)


def _json(file: BinaryIO) -> Text:
    try:
        orjson.loads(file.read())
    except orjson.JSONDecodeError as e:
        return Text(fault=f"is not JSON: {e}")
    return Text()


def _json_lines(file: Iterable[bytes]) -> Text:
    count = 0
    for number, line in enumerate(file, 1):
        if line.strip():
            count += 1
            try:
                orjson.loads(line)
            except orjson.JSONDecodeError as e:
                return Text(fault=f"line {number} is not JSON: {e}")
    return Text({"lines": count})


def _subtitles(file: Iterable[bytes], suffix: str) -> Text:
    """Every line with an arrow is a time, and there is nothing before the first one but its number."""
    cue, count = (_SRT, 0) if suffix == "srt" else (_VTT, 0)
    for number, raw in enumerate(file, 1):
        # Players guess the encoding; the times are in ASCII in any.
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8", "replace").strip()
        if number == 1 and suffix == "vtt" and not line.startswith("WEBVTT"):
            return Text(fault="does not begin with WEBVTT")
        if "-->" in line:
            if not cue.fullmatch(line):
                return Text(fault=f"line {number} is no time of a subtitle: {line[:60]!r}")
            count += 1
        elif suffix == "srt" and not count and line and not line.isdecimal():
            return Text(fault=f"line {number} is no subtitle: {line[:60]!r}")
    return Text({"cues": count})
