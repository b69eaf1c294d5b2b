"""What lines are written on: whole and plain in a pipe, broken between words and in colour on a terminal."""

from __future__ import annotations

import io
import os
import pty

from conductor.base.logs.logs import RED, RESET
from conductor.views.paper import Paper

LONG = "    held: three jobs of media.cut need 10.0 GiB of VRAM, node1/gpu0 has 6.1 GiB free"


def test_a_pipe_gets_whole_lines_without_colour():
    paper = Paper.of(io.StringIO(), {"TERM": "xterm"})

    assert paper == Paper(width=0, has_colour=False)
    assert paper.coloured(LONG, RED) == paper.fitting(LONG) == LONG


def test_a_terminal_that_wants_no_colour_gets_none_and_still_lines_that_fit():
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        wants = Paper.of(terminal, {"TERM": "xterm"})
        wants_not = Paper.of(terminal, {"TERM": "xterm", "NO_COLOR": "1"})
    os.close(reader)

    assert (wants.has_colour, wants_not.has_colour) == (True, False)
    assert RESET not in Paper(width=30).coloured(LONG, RED)


def test_what_is_too_long_is_broken_between_words_behind_its_own_indent_and_loses_nothing():
    paper = Paper(width=30, has_colour=True)
    lines = paper.fitting(LONG).split("\n")

    assert all(len(line) <= 30 for line in lines)
    assert [line[:8].isspace() for line in lines] == [False, *[True] * (len(lines) - 1)]
    assert " ".join(line.strip() for line in lines) == LONG.strip()
    red = paper.coloured(LONG, RED).split("\n")
    assert all(line.startswith(RED) and line.endswith(RESET) for line in red) and len(red) == len(lines)
    assert paper.fitting("\n".join(red)) == "\n".join(red)
