"""What lines are written on: a terminal of some width, in colour or not, or a file that takes them as they
are.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from typing import Any

from conductor.base.logs.logs import RESET, is_coloured
from conductor.model.spec import Value

#: What a line goes on with below itself.
INDENT = "    "
#: In narrower ones nothing can be read anyway.
NARROWEST = 20


class Paper(Value, frozen=True, kw_only=True):
    #: 0: lines are never broken.
    width: int = 0
    has_colour: bool = False

    @classmethod
    def of(cls, stream: Any, environ: Mapping[str, str]) -> Paper:
        """A pipe and a file get whole lines without colour."""
        try:
            width = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
        except (OSError, ValueError, AttributeError):
            width = 0
        return cls(width=width, has_colour=is_coloured(stream, environ))

    def coloured(self, line: str, colour: str) -> str:
        """`colour`: as a terminal is told it. Each line of it for itself: a pager shows them so."""
        lines = self.fitting(line).split("\n")
        is_plain = not self.has_colour or not colour
        return "\n".join(lines if is_plain else [f"{colour}{each}{RESET}" for each in lines])

    def fitting(self, line: str) -> str:
        """Broken between words where it is too long. What was coloured has been fitted before."""
        if not self.width or len(line) <= self.width or RESET in line or "\n" in line:
            return line
        own = line[: len(line) - len(line.lstrip())]
        return "\n".join(
            textwrap.wrap(
                line,
                max(self.width, NARROWEST),
                subsequent_indent=own + INDENT,
                break_on_hyphens=False,
                replace_whitespace=False,
                expand_tabs=False,
            )
        )
