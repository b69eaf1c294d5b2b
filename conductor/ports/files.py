"""Files that jobs hand on, on roots where they go when they were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from conductor.model.chains import LyingFile, RemovableFile


class SharedFiles(Protocol):
    """Dispatch says who will read a file; its node removes it when all have."""

    def keep(self, readers: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Path → jobs about to be put that will read it: from now on it is needed. What is being removed at
        this moment, and by which node: that cannot be had back, its writer has to run again."""
        ...

    def removable(self, node: str, roots: Sequence[str]) -> dict[str, int]:
        """Root → bytes of the files there that nobody needs any more. They lie there until their room is
        wanted.
        """
        ...

    def begin_removal(
        self, node: str, root: str = "", wanted: int = 0, most: int = 500
    ) -> tuple[RemovableFile, ...]:
        """Of the files that nobody needs, the first ones on that root are gone from now on, until they are so
        many bytes: the node removes them and says so (`gone`). With those that it was told before and has not
        said gone."""
        ...

    def gone(self, node: str, paths: Sequence[str]) -> None:
        """They are removed, or will not be."""
        ...

    def lying(self, paths: Sequence[str]) -> tuple[LyingFile, ...]:
        """Of these, the files that are there and still to be read: on which node each lies."""
        ...
