"""What a section of conductor.toml is made of: values with bounds, and what is checked beyond their type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

#: As seconds thirty years: beyond, clocks and timers give up.
MOST = 1e9
Positive = Annotated[float, Meta(gt=0, le=MOST)]
NotNegative = Annotated[int, Meta(ge=0)]
NotNegativeFloat = Annotated[float, Meta(ge=0, le=MOST)]
JobPriority = Annotated[int, Meta(ge=-1000, le=1000)]
#: More on one host is a slip of the hand.
Processes = Annotated[int, Meta(ge=0, le=1024)]


class Validator(msgspec.Struct, frozen=True):
    """Behind a type: the value is what this returns. It raises `ValueError` in words that go on after the
    key's name.
    """

    check: Callable[[Any], Any]


class ValueWords(msgspec.Struct, frozen=True):
    """Behind a type: what the value is to be, where the type's own words say too little."""

    words: str


Program = tuple[Annotated[str, Meta(pattern=r"^[^\x00]+$"), ValueWords("text without zero bytes")], ...]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One table of conductor.toml. Its values are right where `reading.read` made it; `__post_init__` of a
    section judges what two keys say together.
    """

    #: The field that holds what is named by the user beside the section's own keys; empty: nothing is.
    beside: ClassVar[str] = ""

    def __repr__(self) -> str:
        """Without addresses: they may hold passwords."""
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if not is_address(name))
        return f"{type(self).__name__}({', '.join(shown)})"


def is_address(key: str) -> bool:
    return key.endswith("url")
