"""Holds a population's percentiles against the analytic solution, and each chunk against its line."""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import math
from collections.abc import Iterator
from statistics import NormalDist

import msgspec

from conductor.base.files.layout import CodeSettings
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.verify.verify import Checks, JobFacts
from workers.tasks.population_aggregate import AggregateArgs
from workers.tasks.population_simulate import PopulationModel

#: Share by which a percentile may be off: what 10,000 people in equal strata leave is a tenth of it.
SLACK = 0.005
#: Fewer people stand too far apart at the ends for that.
LEAST_PEOPLE = 2000
#: Share by which the steps may miss the closed form.
STEP_SLACK = 1e-4


def checks(settings: CodeSettings) -> Checks:
    return Checks(jobs=(PopulationCheck().check_job,))


class PopulationCheck:
    """Sees the jobs in the manifest's order: chunks first."""

    def __init__(self) -> None:
        #: Output of a chunk → its model.
        self.models: dict[str, PopulationModel] = {}

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        if spec.task == "population.simulate":
            names = {field.name for field in msgspec.structs.fields(PopulationModel)}
            model = msgspec.convert({k: v for k, v in spec.args.items() if k in names}, PopulationModel)
            self.models[spec.writes[0].path] = model
            if receipt.result.get("people") != spec.args["count"]:
                yield f"it worked out {receipt.result.get('people')} people instead of {spec.args['count']}"
        elif spec.task == "population.aggregate" and spec.reads[0] in self.models:
            yield from self._percentiles(spec, receipt, self.models[spec.reads[0]])

    def _percentiles(self, spec: JobSpec, receipt: Receipt, model: PopulationModel) -> Iterator[str]:
        worst = receipt.result["worst_error"]
        if not worst <= STEP_SLACK:
            yield f"the steps miss the closed form by up to {worst:.2%}: plan with more --steps"
        if model.people < LEAST_PEOPLE:
            return
        percentiles = msgspec.convert(dict(spec.args), AggregateArgs).percentiles
        for name, wanted in analytic(model, percentiles).items():
            for percent, found, right in zip(
                percentiles, receipt.result["percentiles"][name], wanted, strict=True
            ):
                if not abs(found - right) <= SLACK * right:
                    yield (
                        f"{name}: the {percent:g}th percentile is {found:.5g}, analytically {right:.5g} "
                        f"({found / right - 1:+.2%})"
                    )


def analytic(model: PopulationModel, percentiles: tuple[float, ...]) -> dict[str, list[float]]:
    """The area under the curve is dose / clearance, and both parameters are log-normal."""
    places = [NormalDist().inv_cdf(percent / 100) for percent in percentiles]
    return {
        "clearance_l_h": [model.clearance_l_h * math.exp(model.clearance_spread * z) for z in places],
        "volume_l": [model.volume_l * math.exp(model.volume_spread * z) for z in places],
        "auc_mg_h_l": [
            model.dose_mg / model.clearance_l_h * math.exp(model.clearance_spread * z) for z in places
        ],
    }


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("population"))
