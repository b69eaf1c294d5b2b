"""Words with their times → captions that can be read: short lines, not too long on the screen, cut where a
sentence or a breath ends. Pure.

The limits are those of the BBC's subtitle guidelines and of Netflix's timed text style guide: two lines of 42
characters, at least a second, at most seven.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

#: A pause of so much ends a caption.
PAUSE_S = 0.6
LEAST_S = 1.0
#: Between two captions, so that the eye sees a change: a picture at 25 a second.
GAP_S = 0.04
_SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！")


class Word(NamedTuple):
    text: str
    #: Seconds from the beginning of the film's sound.
    start_s: float
    end_s: float
    #: It follows the word before without a space, as in Chinese.
    is_glued: bool = False


class Cue(NamedTuple):
    start_s: float
    end_s: float
    #: Lines, with a line break between them.
    text: str


class CueLimits(NamedTuple):
    chars: int = 42
    lines: int = 2
    seconds: float = 7.0


def cues(words: Sequence[Word], limits: CueLimits, ends_s: float) -> list[Cue]:
    """In order, none overlapping another, none after `ends_s`."""
    groups = list[list[Word]]()
    for word in words:
        if groups and not _has_to_begin_anew(groups[-1], word, limits):
            groups[-1].append(word)
        else:
            groups.append([word])
    made = list[Cue]()
    for index, group in enumerate(groups):
        start_s = group[0].start_s
        next_s = groups[index + 1][0].start_s if index + 1 < len(groups) else ends_s + GAP_S
        free_s = next_s - GAP_S if next_s - GAP_S > start_s else next_s
        end_s = min(max(group[-1].end_s, start_s + LEAST_S), free_s, ends_s)
        if end_s > start_s:
            made.append(Cue(start_s, end_s, "\n".join(lines_of(joined(group), limits))))
    return made


def _has_to_begin_anew(group: Sequence[Word], word: Word, limits: CueLimits) -> bool:
    if word.start_s - group[-1].end_s >= PAUSE_S or word.end_s - group[0].start_s > limits.seconds:
        return True
    if group[-1].text.endswith(_SENTENCE_ENDS) and group[-1].end_s - group[0].start_s >= LEAST_S:
        return True
    return len(lines_of(joined([*group, word]), limits)) > limits.lines


def joined(words: Sequence[Word]) -> str:
    return "".join(
        f"{'' if word.is_glued or not index else ' '}{word.text}" for index, word in enumerate(words)
    )


def lines_of(text: str, limits: CueLimits) -> list[str]:
    """Of about the same length: one full line with a single word below it reads badly."""
    count = len(textwrap.wrap(text, limits.chars))
    if count < 2:
        return textwrap.wrap(text, limits.chars)
    for width in range(max(1, len(text) // count), limits.chars + 1):
        if len(found := textwrap.wrap(text, width)) <= count:
            return found
    return textwrap.wrap(text, limits.chars)


def spread(text: str, start_s: float, end_s: float) -> list[Word]:
    """The words of a recogniser that knows no times: each as long as it has letters."""
    words = text.split()
    letters, at_s, spread_over = sum(len(word) + 1 for word in words), start_s, end_s - start_s
    found = list[Word]()
    for word in words:
        until_s = at_s + spread_over * (len(word) + 1) / letters
        found.append(Word(word, at_s, until_s))
        at_s = until_s
    return found


def of_tokens(tokens: Sequence[str], starts_s: Sequence[float], length_s: float) -> list[Word]:
    """A recogniser's pieces of words, each with the second in which it begins: a space begins a word,
    and so does each sign of a script that has no spaces."""
    found = list[Word]()
    for index, (token, start_s) in enumerate(zip(tokens, starts_s, strict=True)):
        after_s = starts_s[index + 1] if index + 1 < len(starts_s) else length_s
        end_s = min(after_s, start_s + _LONGEST_TOKEN_S)
        text, is_new = token.strip(), token.startswith(" ")
        if not text:
            # A space of its own: the next token begins a word.
            found += [Word("", end_s, end_s)] if found and found[-1].text else []
            continue
        is_sign = _has_no_spaces(text)
        if found and not is_new and not is_sign and not _has_no_spaces(found[-1].text[-1:]):
            last = found[-1]
            begun_s = start_s if not last.text else last.start_s
            found[-1] = last._replace(text=last.text + text, start_s=begun_s, end_s=end_s)
        else:
            found.append(Word(text, start_s, end_s, is_glued=bool(found) and not is_new and is_sign))
    return [word for word in found if word.text]


#: What a token lasts where the next comes later: letters of one word follow each other faster.
_LONGEST_TOKEN_S = 0.3


def _has_no_spaces(text: str) -> bool:
    """Written in kana, Chinese signs, or Thai."""
    return any(
        "\u3040" <= sign <= "\u30ff" or "\u3400" <= sign <= "\u9fff" or "\u0e00" <= sign <= "\u0e7f"
        for sign in text
    )
