"""Outputs are held against what `verify` asks before they are published: what is bad never takes its
place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor.base.errors import BadOutput
from conductor.base.files import paths
from conductor.model.media import CountedMedia
from conductor.model.spec import JobSpec
from conductor.verify.claims import NO_CLAIM, claims
from conductor.verify.output_facts import OutputFacts, content_faults, counted, facts_of
from workers.task_api.context import attempt_folder, file_mark, staged

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

#: A larger document is not parsed here: it would take many times its size of a memory that the job did not
#: ask for.
MOST_JSON_BYTES = 16 << 20
#: Characters of tags that a receipt carries; a file with more is decoded by `verify`.
MOST_TAGS = 4096


def check(layout: Layout, spec: JobSpec, body: str, result: Mapping[str, Any]) -> None:
    """A canary's: every staged output is read whole, media decoded. Raises `BadOutput`."""
    _check(layout, spec, body, result, facts_of)


def check_counts(
    layout: Layout,
    spec: JobSpec,
    body: str,
    result: Mapping[str, Any],
    on_read: Callable[[], None] = lambda: None,
) -> dict[str, CountedMedia]:
    """Every job's, in its child: each staged output is what its name says, whole, and holds what the result
    says. → path of an output → what was counted in it, so that `verify` need not decode the same content
    again.

    At the price of reading it: one picture is decoded. `on_read`: called each second. Raises `BadOutput`."""
    found: dict[str, CountedMedia] = {}

    def look(path: str, file: Path) -> OutputFacts:
        # Before it is read: whoever writes to it meanwhile has changed the mark.
        mark = file_mark(file) or ""
        seen = counted(path, file, MOST_JSON_BYTES, on_read)
        if seen.media is not None and sum(map(len, chain(*seen.media.tags.items()))) <= MOST_TAGS:
            found[path] = CountedMedia(fact=seen.media, mark=mark)
        return seen

    _check(layout, spec, body, result, look)
    return found


def _check(
    layout: Layout,
    spec: JobSpec,
    body: str,
    result: Mapping[str, Any],
    look: Callable[[str, Path], OutputFacts],
) -> None:
    """Size and hash need no look: publishing works them out of these very files. A file that is not there is
    publishing's to name."""
    said = claims(spec, result)
    for output in spec.writes:
        root, relative = paths.split(output.path)
        file = staged(attempt_folder(layout, root, spec.id, body), relative)
        if not file.is_file() or file.is_symlink():
            continue
        fault = next(
            content_faults(look(output.path, file), spec.expect, said.get(output.path, NO_CLAIM)), None
        )
        if fault is not None:
            raise BadOutput(f"{output.path} {fault}")
