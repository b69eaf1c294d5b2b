"""Texts as vectors without a model: hashed n-grams. The same text gives the same vector on every host.

Words, and the letters of each in threes to fives, are hashed into places of a vector (K. Weinberger et al.:
Feature Hashing, 2009), so that what shares words, or parts of words, lies near. It knows no meaning: for that
a model is named.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

HASHED = "hashed-1"
DIMENSIONS = 512
#: Part of a word counts less than the word: so many n-grams a word has.
GRAM_WEIGHT = 0.5
_WORD = re.compile(r"\w+")


def hashed(texts: Sequence[str]) -> Vectors:
    """[texts, DIMENSIONS] of length 1 each; a text without a word is all zeros."""
    import numpy as np

    found = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    for row, text in zip(found, texts, strict=True):
        for (gram, weight), count in sorted(Counter(_grams(text)).items()):
            place, sign = _place(gram)
            row[place] += sign * weight * (1 + math.log(count))
    return unit(found)


def unit(vectors: Vectors) -> Vectors:
    """Each of length 1; zeros stay zeros."""
    import numpy as np

    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def plain(text: str) -> str:
    """What is compared: letters without their form, case or accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))


def _grams(text: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for word in _WORD.findall(plain(text)):
        found.append((word, 1.0))
        edged = f"<{word}>"
        found += [(edged[i : i + n], GRAM_WEIGHT) for n in (3, 4, 5) for i in range(len(edged) - n + 1)]
    return found


def _place(gram: str) -> tuple[int, float]:
    number = int.from_bytes(hashlib.blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return number // 2 % DIMENSIONS, 1.0 if number % 2 else -1.0


def content_of(text: str) -> str:
    """By it a creative is known that was embedded already."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
