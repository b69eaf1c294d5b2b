"""Where the files of a project lie, and what its own code is told of the settings: values, made from
`Settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from conductor.base.settings.endpoint_settings import Endpoint, EnginePolicy
    from conductor.base.settings.sections import CounterSettings, Lanes, ModelSettings, Root
    from conductor.base.settings.store_settings import StoreSettings


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All that paths and files need to know of the settings. Every path is absolute."""

    #: The folder that holds conductor.toml.
    project: Path
    #: What Conductor keeps for itself.
    state_dir: Path
    receipts_dir: Path
    logs_dir: Path
    manifests_dir: Path
    #: Folders, or files, that jobs may read by absolute path.
    inputs: tuple[Path, ...]
    #: What tells a changed input file, where its root does not say.
    inputs_by: Literal["time", "content"]
    #: Folders that jobs may write below, by the name that manifests give them.
    roots: Mapping[str, Root]
    #: The one of them on which jobs keep their checkpoints.
    checkpoint_root: str

    def ephemeral_roots(self) -> frozenset[str]:
        """Roots whose files are removed when they were read by all."""
        return frozenset(
            name
            for name, root in self.roots.items()
            if (name == "scratch" if root.is_ephemeral is None else root.is_ephemeral)
        )


@dataclass(frozen=True, kw_only=True)
class OwnServer:
    """The project's own Valkey."""

    #: Where it keeps its files.
    folder: Path
    appendfsync: Literal["everysec", "always"]
    #: False: the settings name another Redis.
    is_used: bool


@dataclass(frozen=True, kw_only=True)
class CodeSettings(Layout):
    """What plans, checks and task bodies get as `settings`: nothing by which they could reach Redis."""

    #: Modules with `@task` functions of the project's own.
    task_modules: tuple[str, ...]
    lanes: Lanes
    counters: Mapping[str, CounterSettings]
    #: By task.
    priorities: Mapping[str, int]
    endpoints: Mapping[str, Endpoint]
    models: Mapping[str, ModelSettings]
    stores: Mapping[str, StoreSettings]
    engine_policy: EnginePolicy
    #: Programs the `shell` task may run, and variables that it may pass on to them.
    shell_programs: tuple[str, ...]
    shell_env: tuple[str, ...]
    #: Names of the environment variables that hold a secret.
    secret_variables: frozenset[str]
