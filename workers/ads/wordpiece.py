"""Texts as the numbers of a BERT vocabulary (`vocab.txt`, a piece a line): words, then the longest pieces of
each (Y. Wu et al., 2016; J. Devlin et al., 2019). Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

UNKNOWN, FIRST, LAST, PADDING = "[UNK]", "[CLS]", "[SEP]", "[PAD]"
#: Positions that encoders of this family have.
MOST_PIECES = 256
_MOST_LETTERS = 100
_SPLIT = re.compile(r"\w+|[^\w\s]")
#: Scripts without blanks: each letter is a word.
_IDEOGRAPH = re.compile(r"([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f])")


def vocabulary(lines: Sequence[str]) -> dict[str, int]:
    """Piece → its number. Raises `ValueError` where it is none of BERT's kind."""
    found = {line.rstrip("\r\n"): number for number, line in enumerate(lines)}
    if missing := [piece for piece in (UNKNOWN, FIRST, LAST, PADDING) if piece not in found]:
        raise ValueError(f"vocab.txt has no {', '.join(missing)}: it is no vocabulary of BERT's kind")
    return found


def pieces_of(text: str, known: Mapping[str, int]) -> list[int]:
    """With its first and last piece; what is too long is cut off."""
    found = [known[FIRST]]
    for word in _words(text, is_cased="the" not in known and "The" in known):
        found += _pieces(word, known)
        if len(found) >= MOST_PIECES:
            break
    return [*found[: MOST_PIECES - 1], known[LAST]]


def _words(text: str, is_cased: bool) -> list[str]:
    if not is_cased:
        parts = unicodedata.normalize("NFD", text.lower())
        text = "".join(c for c in parts if unicodedata.category(c) != "Mn")
    found: list[str] = []
    for word in _SPLIT.findall(_IDEOGRAPH.sub(r" \1 ", text)):
        # `_` is a letter to Python and a sign to BERT.
        found += [part for part in re.split(r"(_)", word) if part]
    return found


def _pieces(word: str, known: Mapping[str, int]) -> list[int]:
    if len(word) > _MOST_LETTERS:
        return [known[UNKNOWN]]
    found, start = list[int](), 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = word[start:end] if not start else f"##{word[start:end]}"
            if piece in known:
                found.append(known[piece])
                start = end
                break
        else:
            return [known[UNKNOWN]]
    return found
