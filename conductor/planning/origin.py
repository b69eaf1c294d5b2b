"""What a manifest comes from, beside it in its own file: the plan, its arguments, the project's commit.

Beside and not in it, so that the same inputs give the same bytes whatever the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from conductor.adapters.host.git import commit_of
from conductor.base import secrets
from conductor.base.code_version import package_version
from conductor.base.files.layout import CodeSettings
from conductor.base.files.safe_open import write_whole

SUFFIX = ".plan.json"


def origin_file(manifest: Path) -> Path:
    """`night.jsonl` → `night.plan.json`."""
    return manifest.with_name(manifest.name.removesuffix(".gz").removesuffix(".jsonl") + SUFFIX)


def note_origin(manifest: Path, plan: str, argv: Sequence[str], jobs: int, settings: CodeSettings) -> None:
    """Written whole; nothing rests on it."""
    said = {
        "manifest": manifest.name,
        "plan": plan,
        "arguments": [secrets.scrub(word) for word in argv],
        "commit": commit_of(settings.project, settings.manifests_dir),
        "conductor": package_version(),
        "jobs": jobs,
    }
    write_whole(
        origin_file(manifest), orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
