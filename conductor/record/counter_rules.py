"""What a manifest line may ask of counters: those that conductor.toml has, and no more than there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from conductor.base.settings.sections import CounterSettings
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.model.spec import JobSpec, TaskDecl, needs_of
from conductor.record.manifest import LineRule


def rule_of(counters: Mapping[str, CounterSettings], catalogue: Mapping[str, TaskDecl]) -> LineRule:
    """For the lines of a manifest; what a task declares is asked of each of its lines that has no needs of
    its own.
    """

    def ask(spec: JobSpec) -> Iterator[str]:
        decl = catalogue.get(spec.task)
        needs = spec.needs if decl is None else needs_of(spec, decl)
        if needs is None:
            return
        for name, amount in needs.counters.items():
            rule = counters.get(name)
            if rule is None:
                near = did_you_mean(name, counters) or ": add it there"
                yield f"needs.counters: there is no [counters.{name}] in conductor.toml{near}"
            elif amount > rule.limit:
                yield f"needs.counters: {amount} of {name} are needed, its limit is {rule.limit}"
            elif rule.per == "device" and not needs.vram_mib:
                yield (
                    f"needs.counters: {name} is counted by the device, and the job asks for none "
                    "(needs.vram_mib)"
                )

    return ask
