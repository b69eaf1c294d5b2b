"""The table of events as the page `docs/events.md`."""

from __future__ import annotations

from collections.abc import Iterator

from conductor.model.event_fields import FIELDS
from conductor.model.events import EVENTS

HEAD = """\
# Events

Every line of the log that tells of something that happened is an event: a name, a level and typed fields.
In `logs/NAME.jsonl` each is one JSON object with `time`, `level`, `event` (the name), `message` (the line for
people) and the fields beside them. A line without such a name (`"event": "log"`) is plain, and nothing should
read it.

Events also go to one stream in Redis (`conductor:events`, about the last 50,000), which the page, alerts and
`conductor events` read. A thread of each process hands them on in batches, so nobody who emits one waits;
where Redis is full or away they are dropped, and `events.dropped` says how many. Nothing is decided by the
stream: ledger and record are the truth.

The table is `conductor/model/events.py`, its fields are `event_fields.py`, and `emit_event` writes an event.
This page is made from the table by `UPDATE_DOCS=1 python -m pytest tests/unit/test_events.py`; the same test
holds that nobody emits a name or a field which is not in it. A field in brackets is there where the emitter
knows it.
"""


def events_page() -> str:
    return "\n".join([HEAD, *_events(), "", "## Fields", "", *_fields()]) + "\n"


def _events() -> Iterator[str]:
    yield "| event | level | meaning | fields |"
    yield "|---|---|---|---|"
    for name, kind in EVENTS.items():
        fields = ", ".join(
            [*(f"`{field}`" for field in kind.fields), *(f"[`{field}`]" for field in kind.known)]
        )
        yield f"| `{name}` | {kind.level.lower()} | {kind.meaning} | {fields} |"


def _fields() -> Iterator[str]:
    yield "| field | type | unit | meaning |"
    yield "|---|---|---|---|"
    for name, field in FIELDS.items():
        yield f"| `{name}` | {field.type} | {field.unit} | {field.meaning} |"
