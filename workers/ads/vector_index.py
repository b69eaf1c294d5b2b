"""Vectors of creatives in the store, and what lies near a question: exact, by numpy.

A creative has one vector for each embedder, with the hash of the text that it was made of: what is there is
not made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from conductor.base.errors import BadInput
from conductor.ports.store import SqlStore, SqlTransaction
from workers.ads.embedding import content_of

if TYPE_CHECKING:
    from workers.ads.embedding import Vectors

PUT = """INSERT INTO ads_vectors (embedder, creative, content, words, vector) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (embedder, creative) DO UPDATE SET content = excluded.content, words = excluded.words,
vector = excluded.vector"""
CONTENTS = "SELECT creative, content, LENGTH(vector) FROM ads_vectors WHERE embedder = $1"
VECTORS = "SELECT creative, words, vector FROM ads_vectors WHERE embedder = $1 ORDER BY creative"
EMBEDDERS = "SELECT embedder, COUNT(*) FROM ads_vectors GROUP BY embedder ORDER BY embedder"
FLOAT_BYTES = 4
#: Up to here each question may look at all: 100,000 of 512 numbers take 0.9 s of one core, most of it to read
#: 200 MB from the store.
MOST_EXACT = 100_000
#: Rows in memory at once.
AT_ONCE = 10_000


class NearCreative(NamedTuple):
    """`score`: the cosine, -1 to 1."""

    creative: str
    score: float
    words: str


def missing(store: SqlStore, embedder: str, texts: Mapping[str, str]) -> list[str]:
    """Creatives that have no vector of this text, by name."""
    known = {str(creative): content for creative, content, _ in store.read(CONTENTS, [embedder])}
    return sorted(creative for creative, text in texts.items() if known.get(creative) != content_of(text))


def check_length(store: SqlStore, embedder: str, dimensions: int) -> None:
    """Raises `BadInput` where the index has vectors of another length: nothing could be compared."""
    for _, _, size in store.read(f"{CONTENTS} LIMIT 1", [embedder]):
        if int(str(size)) != dimensions * FLOAT_BYTES:
            raise BadInput(
                f"{embedder} gives vectors of length {dimensions}, and its index has those of length "
                f"{int(str(size)) // FLOAT_BYTES}: its model has changed; give it another name, which begins "
                "an index of its own"
            )


def put(
    change: SqlTransaction,
    embedder: str,
    texts: Mapping[str, str],
    creatives: Sequence[str],
    vectors: Vectors,
) -> None:
    rows = [
        (embedder, creative, content_of(texts[creative]), texts[creative], row.astype("<f4").tobytes())
        for creative, row in zip(creatives, vectors, strict=True)
    ]
    change.many(PUT, rows)


def nearest(rows: Iterable[tuple[object, ...]], question: Vectors, count: int) -> list[NearCreative]:
    """Of (creative, words, vector) rows: the nearest first; of equal ones by name. Rows of another length
    than the question's are passed over."""
    import numpy as np

    found: list[NearCreative] = []
    some: list[tuple[str, str, bytes]] = []

    def flush() -> None:
        nonlocal found
        if some:
            table = np.frombuffer(b"".join(vector for _, _, vector in some), dtype="<f4")
            scores = table.reshape(len(some), question.size) @ question.reshape(-1)
            found += [
                NearCreative(creative, float(score), words)
                for (creative, words, _), score in zip(some, scores, strict=True)
            ]
            found = sorted(found, key=lambda each: (-each.score, each.creative))[:count]
            some.clear()

    for creative, words, vector in rows:
        raw = bytes(vector)  # type: ignore[call-overload]  # psycopg gives a memoryview where it may
        if len(raw) == question.size * FLOAT_BYTES:
            some.append((str(creative), str(words), raw))
        if len(some) >= AT_ONCE:
            flush()
    flush()
    return found
