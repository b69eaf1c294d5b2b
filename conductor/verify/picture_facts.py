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
    return path.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp"))


def look(file: BinaryIO) -> Picture:
    """A PNG, a JPEG, a GIF or a WebP, by its content. Raises `OSError`."""
    head = file.read(len(_PNG))
    if head == _PNG:
        return _png(file)
    if head[:2] == b"\xff\xd8":
        file.seek(2)
        return _jpeg(file)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        file.seek(6)
        return _gif(file)
    if head[:4] == b"RIFF":
        return _webp(file, int.from_bytes(head[4:8], "little"))
    return Picture(fault="is no picture (neither PNG, JPEG, GIF nor WebP)")


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


def _gif(file: BinaryIO) -> Picture:
    """Block by block; at least one picture, and its end."""
    screen = file.read(7)
    if len(screen) < 7:
        return Picture(fault="is a GIF that breaks off")
    size = int.from_bytes(screen[:2], "little"), int.from_bytes(screen[2:4], "little")
    file.seek(_palette(screen[4]), 1)
    pictures = 0
    while kind := file.read(1):
        if kind == b";":
            return Picture(*size) if pictures and all(size) else Picture(fault="is a GIF without a picture")
        head = file.read(9 if kind == b"," else 1)
        if kind == b",":
            pictures += 1
            # Behind its palette stands how wide its codes are.
            file.seek(_palette(head[-1] if len(head) == 9 else 0) + 1, 1)
        elif kind != b"!":
            break
        while length := file.read(1):
            if length == b"\0":
                break
            file.seek(length[0], 1)
    return Picture(fault="is a GIF that breaks off")


def _palette(flags: int) -> int:
    """Its bytes, where it has one."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(file: BinaryIO, said: int) -> Picture:
    """As long as it says, chunk by chunk, with a picture in it."""
    size, pictures = (0, 0), 0
    end = file.seek(0, 2)
    file.seek(8)
    if file.read(4) != b"WEBP":
        return Picture(fault="is no picture (neither PNG, JPEG, GIF nor WebP)")
    while len(head := file.read(8)) == 8:
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        begins, first = file.tell(), file.read(min(length, 10))
        pictures += kind in (b"ANMF", b"VP8 ", b"VP8L")
        size = size if all(size) else _webp_size(kind, first)
        file.seek(begins + length + length % 2)
    if file.tell() > end or end < said + 8:
        return Picture(fault="is a WebP that breaks off")
    return Picture(*size) if pictures and all(size) else Picture(fault="is a WebP without a picture")


def _webp_size(kind: bytes, first: bytes) -> tuple[int, int]:
    if kind == b"VP8X":
        return int.from_bytes(first[4:7], "little") + 1, int.from_bytes(first[7:10], "little") + 1
    if kind == b"VP8 ":
        return int.from_bytes(first[6:8], "little") & 0x3FFF, int.from_bytes(first[8:10], "little") & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(first[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0
