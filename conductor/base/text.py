"""Words and numbers for people: sizes, durations, and names that cannot forge a line."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """`text` on one line: newlines, escapes and whatever else is not shown as itself are written out (\\n,
    \\x1b).
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in text
    )


def escaped(line: str) -> str:
    """A JSON text on one line for every reader: U+2028, U+0085, bidi controls and the like as `\\uXXXX`."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else _as_json(ord(c)) for c in line)


def _as_json(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def short(text: str, most: int) -> str:
    """On one line, and cut to so many letters."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def duration(seconds: float) -> str:
    """«0.4 s», «12 s», «3 min 20 s», «2 h 05 min»."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes as «512 B», «3.4 MiB», «1.2 TiB»."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def many(count: int, noun: str) -> str:
    """«1 job», «3 jobs», «12,000 jobs»."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def numbered(count: int, one: str, more: str) -> str:
    """«1 file lies there», «3 files lie there»: where more than the noun goes by the number."""
    return f"{count:,} {one if count == 1 else more}"


def table(rows: Sequence[Sequence[object]], indent: str = "  ") -> list[str]:
    """Rows as lines with aligned columns: numbers to the right, words to the left, no trailing blanks."""
    if not rows:
        return []
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines: list[str] = []
    for row, given in zip(cells, rows, strict=True):
        parts = [
            text.rjust(width) if isinstance(value, int | float) else text.ljust(width)
            for text, width, value in zip(row, widths, given, strict=True)
        ]
        lines.append((indent + "  ".join(parts)).rstrip())
    return lines
