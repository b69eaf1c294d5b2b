"""What a manifest line may ask of stores: those that conductor.toml has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from conductor.base.settings.store_settings import StoreSettings
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.model.spec import STORE_KEY, JobSpec, TaskDecl, is_store, needs_of
from conductor.record.manifest import LineRule


def known_stores(stores: Mapping[str, StoreSettings], catalogue: Mapping[str, TaskDecl]) -> LineRule:
    """By what the task declares that its jobs open, and by what the line itself needs."""

    def ask(spec: JobSpec) -> Iterator[str]:
        decl = catalogue.get(spec.task)
        needs = spec.needs if decl is None else needs_of(spec, decl)
        for key in () if needs is None else needs.rates:
            name = key.removeprefix(STORE_KEY)
            if is_store(key) and name not in stores:
                near = did_you_mean(name, stores) or ": add it there, with its url"
                yield f"there is no [stores.{name}] in conductor.toml{near}"

    return ask
