"""The models of conductor.toml, as `conductor models` shows them."""

from __future__ import annotations

from conductor.adapters.files.hash_cache import HashCache
from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings
from conductor.base.text import printable, size
from conductor.model.spec import Value
from conductor.planning.model_files import combined_sha256, hashed


class ModelRow(Value, frozen=True, kw_only=True):
    name: str
    path: str
    kind: str | None
    bytes: int
    #: What lies there, by content; None where it cannot be read.
    sha256: str | None
    #: In words; None: it is what conductor.toml says, or may be anything.
    fault: str | None


def model_list(settings: CodeSettings) -> list[ModelRow]:
    """Each is read whole the first time."""
    cache, rows = HashCache(settings.state_dir), list[ModelRow]()
    for name, said in sorted(settings.models.items()):
        sha256, fault, total = None, None, 0
        try:
            found = hashed(said.path, cache)
            sha256, total = combined_sha256(said.path, found), sum(file.stat().st_size for file in found)
            if said.sha256 not in (None, sha256):
                fault = f"is not what it has to be: conductor.toml says sha256 {said.sha256}"
        except (UsageError, OSError) as e:
            fault = str(e)
        rows.append(
            ModelRow(name=name, path=str(said.path), kind=said.kind, bytes=total, sha256=sha256, fault=fault)
        )
    return rows


def lines(rows: list[ModelRow]) -> list[str]:
    if not rows:
        return ['no model is named: add [models.NAME] path = "…" to conductor.toml']
    said = list[str]()
    for row in rows:
        kind = f", {row.kind}" if row.kind else ""
        said.append(printable(f"{row.name}{kind}: {row.path}, {size(row.bytes)}"))
        if row.sha256:
            said.append(f'  sha256 = "{row.sha256}"')
        if row.fault:
            said.append(printable(f"  {row.fault}"))
    return said
