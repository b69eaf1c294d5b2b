"""What a job read and made, for a preview: named by the job's own line and receipt, never by a path that
somebody sends; opened below the declared folders alone; shown as what it is only where that is harmless.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator
from pathlib import PurePosixPath
from typing import BinaryIO

import msgspec
from fastapi import Response
from fastapi.responses import StreamingResponse

from conductor.app.web.answers import NotThere
from conductor.app.web.stack import Stack
from conductor.base.errors import BadInput, UsageError
from conductor.base.files.paths import open_to_read
from conductor.model.ledger_entries import JobView
from conductor.model.receipt import Receipt
from conductor.model.spec import from_line

#: Ending → what a browser is told that it is. Nothing in which a script could run.
KINDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
#: Shown as plain text, whatever is in them.
TEXTS = frozenset({".txt", ".log", ".json", ".jsonl", ".csv", ".srt", ".vtt", ".ass", ".md"})
POLICY = "default-src 'none'; sandbox"
PIECE = 256 << 10
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


def files_of_job(job: JobView, receipts: tuple[Receipt, ...]) -> tuple[str, ...]:
    """The paths that may be shown for it: what its line reads, and what its receipts say it made."""
    made = (output.path for receipt in receipts for output in receipt.outputs)
    try:
        spec = from_line(job.line)
    except (msgspec.DecodeError, ValueError):  # an earlier version's, or somebody else's
        return tuple(dict.fromkeys(made))
    return tuple(dict.fromkeys((*spec.inputs, *spec.reads, *made)))


async def artefact(stack: Stack, known: tuple[str, ...], path: str, wanted: str) -> Response:
    """`wanted`: the Range header, or empty."""
    if path not in known:
        raise NotThere("this job neither read nor made such a file")
    try:
        file = await stack.ask_files(lambda: open_to_read(stack.code, path))
    except BadInput as e:
        raise NotThere(str(e)) from None
    try:
        length = os.fstat(file.fileno()).st_size
        first, last, status = bounds(wanted, length)
    except BaseException:
        file.close()
        raise
    suffix = PurePosixPath(path).suffix.lower()
    kind = KINDS.get(suffix, "text/plain; charset=utf-8" if suffix in TEXTS else "application/octet-stream")
    headers = {
        "Content-Length": str(max(0, last - first + 1)),
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": POLICY,
        "Content-Disposition": "inline" if kind != "application/octet-stream" else "attachment",
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{last}/{length}"
    return StreamingResponse(read(stack, file, first, last), status, headers, kind)


def bounds(wanted: str, length: int) -> tuple[int, int, int]:
    """(first byte, last byte, status). Several ranges at once are answered with the whole, as is allowed."""
    found = _RANGE.match(wanted)
    if not found or found[0] == "bytes=-":
        return 0, length - 1, 200
    if found[1]:
        first, last = int(found[1]), min(int(found[2] or length), length - 1)
    else:
        first, last = max(0, length - int(found[2])), length - 1
    if first > last:
        raise UsageError(f"the file has {length} bytes")
    return first, last, 206


async def read(stack: Stack, file: BinaryIO, first: int, last: int) -> AsyncGenerator[bytes]:
    """A file that shrinks meanwhile ends early, and the connection with it."""
    with file:
        file.seek(first)
        left = last - first + 1
        while left > 0:
            piece = await stack.ask_files(lambda: file.read(min(PIECE, left)))  # noqa: B023  asked at once
            if not piece:
                return
            left -= len(piece)
            yield piece
