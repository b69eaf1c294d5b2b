"""The cards that an attempt was admitted for, looked at before its body begins: on others it does not run."""

from __future__ import annotations

from conductor.adapters.host import nvml_probe
from conductor.model.snapshot import Reservation
from workers.task_api.failure_causes import AttemptFault

#: By then the node's report says it too, and the decision goes by that.
AGAIN_S = 2.0


def fault_of(held: Reservation) -> AttemptFault | None:
    """Why it goes back unbegun; None where its cards are there, or the driver does not say."""
    there = nvml_probe.uuids() if held.uuids else None
    if there is None:
        return None
    for key, uuid in zip(held.devices, held.uuids, strict=True):
        if there.get(key) != uuid:
            other = (
                f", which is {there[key]} now"
                if key in there
                else ", which the driver does not list any more"
            )
            message = f"not begun: it was admitted for {key} ({uuid}){other}"
            return AttemptFault("worker_lost", message, retry_after_s=AGAIN_S, is_elsewhere=True)
    return None
