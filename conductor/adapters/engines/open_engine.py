"""The adapter of an engine, by the kind that conductor.toml says."""

from __future__ import annotations

from conductor.base.settings.engine_settings import EngineSettings
from conductor.ports.engine import Engine


def open_engine(settings: EngineSettings, prefix: str) -> Engine:
    """Asks the engine nothing yet. `prefix`: how the keys of all submissions of this project begin there.
    Raises `ConfigError` where its settings make no sense for its kind.
    """
    if settings.kind == "slurm":
        from conductor.adapters.engines.slurm import SlurmEngine

        return SlurmEngine(settings, prefix)
    if settings.kind == "ray":
        from conductor.adapters.engines.ray import RayEngine

        return RayEngine(settings, prefix)
    if settings.kind == "kubernetes":
        from conductor.adapters.engines.kubernetes import KubernetesEngine

        return KubernetesEngine(settings, prefix)
    if settings.kind == "hyperqueue":
        from conductor.adapters.engines.hyperqueue import HyperQueueEngine

        return HyperQueueEngine(settings, prefix)
    from conductor.adapters.engines.local import LocalEngine

    return LocalEngine()
