"""Files of the user's: creatives with their words, and daily figures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings
from conductor.planning import input_files, input_of
from workers.ads.embedders import AT_ONCE
from workers.ads.lead_events import BadDelivery, Name, check_name
from workers.tasks.ads_index import Text

#: Of the words in one job: a line of a manifest is at most 1 MiB.
MOST_BYTES = 256 << 10


class CreativeText(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a catalogue."""

    creative: Name
    text: Text


def creatives_in(file: Path) -> dict[str, str]:
    """Creative → its words; what a later line says of one stands. Raises `UsageError` with the line."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as e:
        raise UsageError(f"{file} cannot be read: {e.strerror}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = msgspec.json.decode(line, type=CreativeText)
            check_name("creative", said.creative)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadDelivery) as e:
            shape = '{"creative": "NAME", "text": "its words"}'
            raise UsageError(f"{file}:{number}: {e}; a line is {shape}") from None
        # A NUL is no letter to a database.
        found[said.creative] = said.text.replace("\0", " ")
    if not found:
        raise UsageError(f"{file} has no creative: a line each, as JSON")
    return found


def batches(creatives: dict[str, str]) -> Iterator[dict[str, str]]:
    """As many as one request takes, by name."""
    rest = iter(sorted(creatives.items()))
    while some := list(islice(rest, AT_ONCE)):
        part: dict[str, str] = {}
        room = MOST_BYTES
        for creative, text in some:
            size = len(text.encode("utf-8", "replace"))
            if part and size > room:
                yield part
                part, room = {}, MOST_BYTES
            part[creative] = text
            room -= size
        yield part


def figures_at(place: Path, settings: CodeSettings) -> dict[str, str]:
    """Path → its mark by content, by name: of one file, or of all of a folder. Raises `UsageError`."""
    base = settings.project / place
    files = [base.absolute()]
    if base.is_dir():
        files = list(input_files(base, ("csv",), settings, skipped=[]))
    if not files or not all(file.is_file() for file in files):
        raise UsageError(f"{place} is no CSV file with daily figures, nor a folder with such")
    # By content: a file that is exported again and says the same is judged once.
    return {path: mark for file in files for path, mark in input_of(file, "content").items()}
