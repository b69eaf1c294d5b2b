"""A report as one HTML file: no host, no script, nothing beside it. Pure: the same figures give the same
bytes, which is how `conductor report --check` knows that what is shown is what was worked out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape

from conductor.base.text import duration, escaped, printable, size
from conductor.views.as_json import json_text
from conductor.views.night.clock import NightClock
from conductor.views.night.document import Answer, NightReport, OutputRow
from conductor.views.night.page_style import STYLE
from conductor.views.night.page_tables import tables

#: Where the figures stand in the file, and the signature over them.
FIGURES, SEAL = "figures", "seal"
SHAPES = {"good": "✓", "act": "✕", "plain": "○"}


def encoded(report: NightReport) -> str:
    """The figures as they stand in the file and are signed: every field, in its order."""
    return json_text(report)


def render(report: NightReport, pictures: Mapping[str, bytes], seal: str) -> str:
    """`pictures`: JPEGs by their sha256, those that the figures name. `seal`: over `encoded`; empty: not
    signed."""
    clock = NightClock(report.clock, report.since, report.until)
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    )
    title = f"{report.project}: the night to {clock.day(report.until)}"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{text(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">',
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        _head(report, clock, seal),
        _answers(report.answers),
        _pictures(report.outputs.rows, pictures),
        tables(report, clock),
        "</main>",
        f'<script type="application/json" id="{FIGURES}">{data(encoded(report))}</script>',
        f'<script type="application/json" id="{SEAL}">{data(json_text(seal))}</script>',
        "</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def text(value: object) -> str:
    """As text or as an attribute: whatever it says, it is shown and does nothing."""
    return escape(printable(str(value)))


def data(json: str) -> str:
    """JSON inside a script element: nothing in it can end the element, or be another line to anybody."""
    for letter in "<>&":
        json = json.replace(letter, f"\\u{ord(letter):04x}")
    return escaped(json)


def _head(report: NightReport, clock: NightClock, seal: str) -> str:
    is_urgent = any(answer.tone == "act" for answer in report.answers)
    signed = "signed" if seal else "not signed"
    looked = "every file was read" if report.is_deep else "files were looked at and not read"
    facts = (
        f"{report.project} · {clock.day(report.since)} to {clock.day(report.until)} "
        f"({duration(report.until - report.since)}) · made {clock.day(report.made_at)} · {looked} · {signed}"
    )
    notes = "".join(f'<p class="act">✕ {text(note)}.</p>' for note in report.notes)
    heading = f"<h1{_class('act' if is_urgent else '')}>{text(report.headline)}</h1>"
    return f'{heading}\n<p class="grey">{text(facts)}</p>{notes}'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _answers(answers: Iterable[Answer]) -> str:
    return f'<dl class="answers">{"".join(_answer(answer) for answer in answers)}</dl>'


def _answer(answer: Answer) -> str:
    typed = "".join(f"<li><code>{text(command)}</code></li>" for command in answer.commands)
    listed = f"conductor jobs {answer.filter}" if answer.filter else ""
    where = f' <code class="grey">{text(listed)}</code>' if listed else ""
    commands = f"<ul>{typed}</ul>" if typed else ""
    shape = f'<span{_class(answer.tone)} aria-hidden="true">{SHAPES[answer.tone]}</span>'
    return f"<dt>{shape} {text(answer.question)}</dt><dd>{text(answer.words)}{where}{commands}</dd>"


def _pictures(rows: Iterable[OutputRow], pictures: Mapping[str, bytes]) -> str:
    figures = [_figure(row, pictures[row.poster]) for row in rows if row.poster in pictures]
    if not figures:
        return ""
    return f'<h2>What was made</h2>\n<div class="pictures">{"".join(figures)}</div>'


def _figure(row: OutputRow, picture: bytes) -> str:
    name = text(row.path)
    source = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    words = f"{name}<br>{text(f'{row.task}, {size(row.bytes)}')}"
    return f'<figure><img src="{source}" alt="A frame of {name}"><figcaption>{words}</figcaption></figure>'
