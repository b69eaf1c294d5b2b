"""What `doctor` says of engines: can each of them be asked from this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from conductor.base.errors import ConductorError
from conductor.base.settings.engine_settings import EngineSettings, name_twice
from conductor.base.settings.settings import CONFIG_NAME
from conductor.base.text import many
from conductor.model.engine import EngineCapacity
from conductor.views.doctor.finding import DoctorFinding, bad, less, ok


def of_engines(engines: Mapping[str, EngineSettings], node: str) -> Iterator[DoctorFinding]:
    """`node`: what this host is called."""
    from conductor.adapters.engines.open_engine import open_engine

    if why := name_twice(engines, node):
        yield bad("engines", why, f'give the host another name (node = "…" in {CONFIG_NAME}), or the engine')
    for name, engine in engines.items():
        try:
            yield ok(
                "engines", f"{name} ({engine.kind}) answers{_having(open_engine(engine, '').capacity())}"
            )
        except ConductorError as e:
            # A host that only works need not reach it.
            words = "the host that conducts has to reach it (docs/engines.md)"
            yield less("engines", f"{name} ({engine.kind}): {e}", words)


def _having(capacity: EngineCapacity) -> str:
    return "" if capacity.cpus is None else f": {many(capacity.cpus, 'core')} in all"
