"""The Lua text of an atomic step: its own file in `lua/` behind the shared functions that it uses.

A script makes all of its functions anew each time it is run. Those of the shared files are 160 in a worker's
turn, and a third of them it never calls: these are left out. Each of the others looks up every local that it
uses in the list of those in use, from the last one back, unless it is a local of a function around. So the
first shared file, with the names that everybody uses, is around the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path

from conductor.base.redis_keys import Keys

FOLDER = Path(__file__).with_name("lua")
USES = "-- uses "

#: How a shared function begins; it ends with the first `end` at the margin, or with its first line.
_BEGINS = re.compile(r"local function (\w+)\(")
_WORD = re.compile(r"[A-Za-z_]\w*")

#: Each step is given as many of the arguments as the number before them says. A nil would end the list of
#: replies.
_TOGETHER = """
local replies, at = {}, 1
for i, step in ipairs(steps) do
  local count = tonumber(ARGV[at])
  replies[i] = step({unpack(ARGV, at + 1, at + count)}) or false
  at = at + count + 1
end
return replies
"""


@cache
def source(name: str) -> str:
    """`lua/NAME.lua` behind what it uses of the shared files that its first line names, and of those that
    theirs name.

    The step is a function of its own: Lua lets a function have 200 locals, and those of the shared files are
    most of them.
    """
    parts: dict[str, str] = {}
    _gather(name, parts)
    step = parts.pop(name)
    return _behind(parts.values(), f"local function run_step(ARGV)\n{step}\nend\nreturn run_step(ARGV)")


@cache
def together(names: tuple[str, ...]) -> str:
    """One script of several steps, which answers with all their replies, as of one instant."""
    shared: dict[str, str] = {}
    for name in names:
        parts: dict[str, str] = {}
        _gather(name, parts)
        shared |= {part: text for part, text in parts.items() if part != name}
    steps = (f"steps[{n}] = function(ARGV)\n{_text(name)}\nend" for n, name in enumerate(names, 1))
    return _behind(shared.values(), "\n".join(("local steps = {}", *steps, _TOGETHER)))


def named(keys: Keys) -> str:
    """What every step begins with: how its keys do."""
    return f"local P, R = '{keys.ledger}', '{keys.rq}'\n"


def _behind(shared: Iterable[str], steps: str) -> str:
    around, *others = (*used(tuple(shared), steps), steps)
    return "\n".join((around, "return (function()", *others, "end)()")) if others else around


def used(shared: Sequence[str], steps: str) -> list[str]:
    """The shared texts without the functions that are named nowhere else in what is left of them and in
    `steps`."""
    pieces = [pieces_of(text) for text in shared]
    functions = {piece.name: piece for each in pieces for piece in each if piece.name}
    kept = {""}
    fresh = _words(steps).union(*(piece.words for each in pieces for piece in each if not piece.name))
    while fresh := (fresh & functions.keys()) - kept:
        kept |= fresh
        fresh = set().union(*(functions[name].words for name in fresh))
    return ["\n".join(piece.text for piece in each if piece.name in kept) for each in pieces]


class Piece:
    """A shared function, or what stands between two."""

    def __init__(self, name: str, lines: Sequence[str]) -> None:
        self.name = name
        self.text = "\n".join(lines)

    @cached_property
    def words(self) -> frozenset[str]:
        return _words(self.text)


@cache
def pieces_of(text: str) -> tuple[Piece, ...]:
    pieces, lines, name = list[Piece](), list[str](), ""
    for line in text.split("\n"):
        begins = None if name else _BEGINS.match(line)
        if begins:
            pieces.append(Piece("", lines))
            lines, name = [], begins[1]
        lines.append(line)
        if name and (line == "end" or (begins and line.endswith(" end"))):
            pieces.append(Piece(name, lines))
            lines, name = [], ""
    return (*pieces, Piece(name, lines))


def _words(text: str) -> frozenset[str]:
    """Those of comments too would keep what nobody calls."""
    code = (line for line in text.split("\n") if not line.lstrip().startswith("--"))
    return frozenset(_WORD.findall("\n".join(code)))


def _gather(name: str, parts: dict[str, str]) -> None:
    text = _text(name)
    first = text.partition("\n")[0]
    for part in first.removeprefix(USES).split() if first.startswith(USES) else ():
        if part not in parts:
            _gather(part, parts)
    parts[name] = text


@cache
def _text(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
