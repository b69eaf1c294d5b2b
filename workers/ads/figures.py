"""Daily figures of creatives, as ad platforms export them: CSV with a heading. Pure but for its lines."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

from conductor.base.text import printable
from workers.ads.shares import MICROS

COLUMNS = ("creative", "day", "impressions", "clicks", "spend", "reach_7d")
MOST_COUNT = 10**12
MOST_NAME = 200


class BadFigures(ValueError):
    """One sentence with the file and the line."""


class DailyFigure(NamedTuple):
    """One creative on one day."""

    creative: str
    day: date
    impressions: int
    clicks: int
    spend_micros: int
    #: Different people who saw it in the seven days up to and with this one: a rolling figure, which cannot
    #: be added up from single days.
    reach_7d: int


def read_figures(lines: Iterable[str], name: str) -> Iterator[DailyFigure]:
    """The rows of one file. Columns by name, in any order; others are passed over. Raises `BadFigures`."""
    reader = csv.reader(lines, strict=True)
    try:
        heading = [cell.strip().lstrip("\ufeff").lower() for cell in next(reader, [])]
        if missing := [column for column in COLUMNS if column not in heading]:
            raise BadFigures(f"{name}: its heading lacks {', '.join(missing)}; it has {shown(heading)}")
        for row in reader:
            if any(cell.strip() for cell in row):
                if len(row) != len(heading):
                    raise _bad(name, reader.line_num, f"{len(row)} cells, its heading has {len(heading)}")
                yield _figure(dict(zip(heading, row, strict=True)), name, reader.line_num)
    except csv.Error as e:
        raise _bad(name, reader.line_num, str(e)) from None
    except UnicodeDecodeError:
        raise BadFigures(f"{name} is not UTF-8: export it as CSV in UTF-8") from None


def latest(figures: Iterable[DailyFigure]) -> dict[tuple[str, date], DailyFigure]:
    """Platforms tell a day anew when late figures have come in: what comes later stands."""
    return {(figure.creative, figure.day): figure for figure in figures}


def shown(heading: list[str]) -> str:
    return printable(", ".join(heading)[:200]) or "no heading"


def _figure(cells: Mapping[str, str], name: str, line: int) -> DailyFigure:
    creative = cells["creative"].strip()
    if not creative or len(creative) > MOST_NAME or not creative.isprintable():
        raise _bad(name, line, f"creative is to be a name of up to {MOST_NAME} printable characters")
    try:
        day = date.fromisoformat(cells["day"].strip())
    except ValueError:
        raise _bad(name, line, f"day {printable(cells['day'][:40])!r} is no date like 2026-11-30") from None
    counts = {column: _count(cells[column], column, name, line) for column in COLUMNS[2:4]}
    reach = _count(cells["reach_7d"], "reach_7d", name, line)
    if counts["clicks"] > counts["impressions"]:
        raise _bad(name, line, f"{counts['clicks']} clicks of {counts['impressions']} impressions")
    spend = _money(cells["spend"], name, line)
    return DailyFigure(creative, day, counts["impressions"], counts["clicks"], spend, reach)


def _count(text: str, column: str, name: str, line: int) -> int:
    if not text.strip().isascii() or not text.strip().isdigit() or len(text.strip()) > 13:
        raise _bad(name, line, f"{column} {printable(text[:40])!r} is no whole number from 0 on")
    return int(text)


def _money(text: str, name: str, line: int) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MOST_COUNT:
        raise _bad(name, line, f"spend {printable(text[:40])!r} is no amount like 12.50")
    return round(value * MICROS)


def _bad(name: str, line: int, what: str) -> BadFigures:
    return BadFigures(f"{name}:{line}: {what}")
