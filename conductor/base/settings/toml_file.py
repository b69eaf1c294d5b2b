"""A TOML file as editors save it: UTF-8 with or without a byte-order mark, UTF-16 with one, any line ends."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from conductor.base.errors import ConfigError

#: Mark → encoding; that of UTF-32 begins as that of UTF-16 does, so it is asked first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(content: bytes) -> str:
    """What its byte-order mark says; UTF-8 without one."""
    return next((encoding for mark, encoding in MARKS if content.startswith(mark)), "utf-8")


def read_toml(file: Path) -> dict[str, Any]:
    """Raises `ConfigError` with the file and what is wrong in it."""
    return parse_toml(file, read_bytes(file))


def read_bytes(file: Path) -> bytes:
    """Raises `ConfigError`."""
    try:
        return file.read_bytes()
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}") from None


def parse_toml(file: Path, content: bytes) -> dict[str, Any]:
    """What was read from `file`. Raises `ConfigError`."""
    encoding = encoding_of(content)
    if encoding == "utf-8" and b"\0" in content:
        raise ConfigError(
            f"{file} holds zero bytes, as UTF-16 without a byte-order mark does: save it as UTF-8"
        )
    try:
        # As an editor shows them: tomllib takes LF and CRLF, not the CR alone.
        text = content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        raise ConfigError(f"{file} is not UTF-8 (line {line}): save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file} is not valid TOML: {e}") from None
