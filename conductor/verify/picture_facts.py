"""A picture file by its own structure, without a decoder: whole from its first byte to its last, and how
large.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
#: JPEG markers of a frame's header; C4, C8 and CC are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Those that stand alone, without a length.
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
#: What a camera may put behind the end.
_TAIL = 1 << 16


class Picture(NamedTuple):
    """Pixels; `fault` says why it is none."""

    width: int = 0
    height: int = 0
    fault: str | None = None


def is_picture(path: str) -> bool:
    return path.lower().endswith((".png", ".jpg", ".jpeg"))


def look(file: BinaryIO) -> Picture:
    """A PNG or a JPEG, by its content. Raises `OSError`."""
    head = file.read(len(_PNG))
    if head == _PNG:
        return _png(file)
    if head[:2] == b"\xff\xd8":
        file.seek(2)
        return _jpeg(file)
    return Picture(fault="is no picture (neither PNG nor JPEG)")


def _png(file: BinaryIO) -> Picture:
    """Chunk by chunk, each with its check sum."""
    size = (0, 0)
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4]), head[4:]
        checked = zlib.crc32(kind)
        left = length
        first = b""
        while left and (part := file.read(min(left, 1 << 20))):
            first, checked, left = first or part[:8], zlib.crc32(part, checked), left - len(part)
        if left or file.read(4) != checked.to_bytes(4):
            return Picture(fault="is a PNG that breaks off, or was changed")
        if kind == b"IHDR":
            size = int.from_bytes(first[:4]), int.from_bytes(first[4:8])
        if kind == b"IEND":
            return Picture(*size) if all(size) else Picture(fault="is a PNG without a picture")
    return Picture(fault="is a PNG that breaks off")


def _jpeg(file: BinaryIO) -> Picture:
    """The headers one by one; of the picture itself only that it ends."""
    size = (0, 0)
    while len(head := file.read(2)) == 2 and head[0] == 0xFF:
        marker = head[1]
        if marker == 0xFF:
            file.seek(-1, 1)
            continue
        if marker in _ALONE:
            continue
        if marker == 0xDA:
            return (
                Picture(*size) if all(size) and _has_end(file) else Picture(fault="is a JPEG that breaks off")
            )
        length = int.from_bytes(file.read(2)) - 2
        body = file.read(max(0, length))
        if length < 0 or len(body) < length:
            break
        if marker in _FRAMES and length >= 5:
            size = int.from_bytes(body[3:5]), int.from_bytes(body[1:3])
    return Picture(fault="is a JPEG that breaks off")


def _has_end(file: BinaryIO) -> bool:
    """Something of a picture, and its end among the last bytes."""
    begins = file.tell()
    ends = file.seek(0, 2)
    file.seek(max(begins, ends - _TAIL))
    return b"\xff\xd9" in file.read()
