"""A secret in every spelling in which programs quote it: raw, escaped (repr, JSON, shell, HTML),
percent-encoded, in base64, and escaped once more. Pure.

Not a list of whole spellings: what is escaped of one differs from library to library, so that each letter has
its own.
"""

from __future__ import annotations

import base64
import math
import re
from functools import lru_cache

#: What escapes a letter: backslashes, also as they stand in an address. Texts are escaped more than once;
#: bounded, or a row of a thousand would be tried in as many ways.
_BACKSLASH, _MOST_ESCAPES = r"(?:\\|%(?:25){0,3}5[Cc])", 16
_ESCAPES = f"{_BACKSLASH}{{1,{_MOST_ESCAPES}}}"
_NAMED = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", "\a": "a", "\v": "v", "\0": "0"}
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
#: The longest run of plain letters stands in each spelling but base64: what has none of it is not looked at.
_PLAIN = re.compile(r"[A-Za-z0-9]+")
#: Backslashes in a row are one: each of them could be the escape of the next.
_LETTERS = re.compile(r"\\+|[\s\S]")
_ALPHABET = r"[A-Za-z0-9+/_-]"


class Spelling:
    """All of one secret's."""

    def __init__(self, secret: str) -> None:
        self._anchor = anchor_of(secret)
        *letters, last = _LETTERS.findall(secret)
        # Behind the last one a second quote is not its double, but the end of what is quoted.
        self._pattern = re.compile("".join([*map(_of_letter, letters), _of_letter(last, is_last=True)]))
        self._in_base64 = [(anchor_of(core), _of_core(core)) for core in _cores(secret)]

    def masked(self, text: str, mask: str) -> str:
        if self._anchor in text:
            text = self._pattern.sub(mask, text)
        for anchor, pattern in self._in_base64:
            if anchor in text:
                text = pattern.sub(mask, text)
        return text


@lru_cache(maxsize=256)
def spelling_of(secret: str) -> Spelling:
    return Spelling(secret)


def anchor_of(text: str) -> str:
    return max(_PLAIN.findall(text), key=len, default="")


@lru_cache(maxsize=512)
def _of_letter(c: str, is_last: bool = False) -> str:
    """What may stand for it, as a pattern. `c`: one, or a row of backslashes."""
    if c.isascii() and c.isalnum():
        return c
    if c[0] == "\\":
        return (
            f"(?:{_BACKSLASH}|{_ESCAPES}(?:x5[cC]|u005[cC]|134)|&#92;){{{len(c)},{_MOST_ESCAPES * len(c)}}}"
        )
    octets, code = _octets(c), ord(c)
    forms = [
        "".join(f"%(?:25){{0,3}}{_hex(octet, 2)}" for octet in octets),
        "".join(f"{_ESCAPES}x{_hex(octet, 2)}" for octet in octets),
        "".join(f"{_ESCAPES}{octet:03o}" for octet in octets),
        "".join(f"{_ESCAPES}u{_hex(unit, 4)}" for unit in _units(c)),
        f"{_ESCAPES}U{_hex(code, 8)}",
        f"&(?:amp;){{0,3}}#(?:0*{code}|[xX]0*{_hex(code)});",
    ]
    if code < 256:
        forms.append(f"{_ESCAPES}x{_hex(code, 2)}")
    if c in _NAMED:
        forms.append(f"{_ESCAPES}{_NAMED[c]}")
    if c in _ENTITIES:
        forms.append(f"&(?:amp;){{0,3}}{_ENTITIES[c]};")
    if not c.isascii():
        forms += [re.escape(octets.decode("latin-1")), "\ufffd", r"\?"]
    forms.append(re.escape(c) if is_last and c in "\"'" else _LITERALS.get(c) or re.escape(c))
    return f"(?:{_ESCAPES})?(?:{'|'.join(forms)})"


#: Of those that do not only stand for themselves. In a shell's words a quote ends the quotes, stands for
#: itself, and begins them again; in others it is doubled.
_LITERALS = {
    " ": r"[ +]",
    "\n": r"\r?\n",
    '"': '"{1,2}',
    "'": rf"""(?:'\\''|'"'"'|(?:{_ESCAPES})?'{{1,2}})""",
}


def _hex(number: int, width: int = 1) -> str:
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{number:0{width}x}")


def _octets(text: str) -> bytes:
    """In UTF-8; of what was no UTF-8 to begin with, as it was."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _units(c: str) -> list[int]:
    data = c.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


# ── base64 ────────────────────────────────────────────────────────────────────────────────────────────────


def _cores(secret: str) -> list[str]:
    """What of its base64 stays the same whatever stands before and behind it (`Basic` of user:key), at each
    of the three places in a group at which it may begin."""
    data, found = _octets(secret), list[str]()
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()
        first, end = math.ceil(before * 8 / 6), (before + len(data)) * 8 // 6
        found.append(text[first:end])
    return found


def _of_core(core: str) -> re.Pattern[str]:
    """With the letters around it that hold a part of it, in both alphabets, escaped or not."""
    twins = {"+": r"(?:[+-]|%(?:25){0,3}2[Bb])", "/": rf"(?:(?:{_ESCAPES})?/|_|%(?:25){{0,3}}2[Ff])"}
    return re.compile(f"{_ALPHABET}{{0,2}}{''.join(twins.get(c, c) for c in core)}{_ALPHABET}?")
