"""A canary's output is held against what `verify` asks, before it is published: what is bad never takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conductor import paths
from conductor.errors import BadOutput
from conductor.model.spec import JobSpec
from workers.context import attempt_folder, staged

if TYPE_CHECKING:
    from conductor.settings import Settings


def check(settings: Settings, spec: JobSpec, body: str) -> None:
    """Read every staged output whole: media decodes, JSON parses, lasts as `expect` says. Raises `BadOutput`.

    Size and hash need no look: publishing works them out of these very files. A file that is not there is
    publishing's to name."""
    # The decoder is some 50 MB that only canaries need.
    from conductor.verify import content_faults, facts_of

    for output in spec.writes:
        root, relative = paths.split(output.path)
        file = staged(attempt_folder(settings, root, spec.id, body), relative)
        if not file.is_file():
            continue
        seen = facts_of(output.path, file)
        faults = [seen.file.fault] if seen.file.fault else list(content_faults(seen, spec.expect))
        if faults:
            raise BadOutput(f"{output.path} {faults[0]}")
