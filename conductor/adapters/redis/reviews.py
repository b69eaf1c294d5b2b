"""Jobs that wait for a person's verdict, in Redis."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scans.ended import rows_by_state
from conductor.adapters.redis.scripts import Scripts
from conductor.model.causes import Cause
from conductor.model.review import ItemVerdict, OpenReview, ReviewAsked

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_encode = msgspec.json.Encoder().encode
_asked = msgspec.json.Decoder(ReviewAsked).decode
_verdict = msgspec.json.Decoder(ItemVerdict).decode
#: Of a message, in characters: the whole of it is in the receipt.
_MESSAGE_CHARS = 500


class RedisReviews:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def shown(self) -> dict[str, str]:
        rows = ((job_id, text.split("|")) for job_id, text in rows_by_state(self._scripts, "review"))
        return {job_id: row[5] for job_id, row in rows if is_shown(row)}

    def asked(self, ids: Sequence[str]) -> tuple[OpenReview, ...]:
        client, keys = self._scripts.client, self._scripts.keys
        if not ids:
            return ()
        with translating(client), client.pipeline(transaction=True) as pipe:
            pipe.hmget(keys.state, list(ids))
            for job_id in ids:
                pipe.hgetall(keys.review(job_id))
                pipe.scard(keys.waited_on_by(job_id))
            lines, *rows = pipe.execute()
        found: list[OpenReview] = []
        for job_id, line, row, behind in zip(ids, lines, rows[0::2], rows[1::2], strict=True):
            fields = (line or b"").decode().split("|")
            if fields[0] == "v" and is_shown(fields):
                found.append(open_review(job_id, fields[5], row, behind))
        return tuple(found)

    def judge(
        self, job_id: str, body: str, verdicts: Sequence[ItemVerdict]
    ) -> tuple[ItemVerdict, ...] | None:
        said = self._scripts.run("judge", job_id, body, _pack(verdict_rows(verdicts)))
        return None if said is None else by_item(_unpack(said)[1::2])

    def reject(self, job_id: str, body: str, cause: Cause, message: str) -> bool:
        return bool(self._scripts.run("reject", job_id, body, cause, message[:_MESSAGE_CHARS]))


def is_shown(row: Sequence[str]) -> bool:
    """Of a state line in review: it has an accepted body."""
    return len(row) > 5 and bool(row[5])


def asked_text(asked: ReviewAsked) -> str:
    return _encode(asked).decode()


def verdict_rows(verdicts: Sequence[ItemVerdict]) -> list[str]:
    return [word for verdict in verdicts for word in (str(verdict.item), _encode(verdict).decode())]


def by_item(texts: Sequence[str | bytes]) -> tuple[ItemVerdict, ...]:
    return tuple(sorted(map(_verdict, texts), key=lambda verdict: verdict.item))


def open_review(job_id: str, body: str, row: dict[bytes, bytes], behind: int) -> OpenReview:
    said = [text for field, text in row.items() if field.isdigit()]
    asked, verdicts = _asked(row[b"asked"]), by_item(said)
    return OpenReview(job_id=job_id, body=body, asked=asked, verdicts=verdicts, behind=behind)
