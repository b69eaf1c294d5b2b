"""Which queues have workers that keep a job's model warm: taken before others that fit about equally well."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.capacity.cluster import Free, QueueFree
from conductor.core.capacity.request import Demand

#: For a warm place so much more of a device may be left over, or lost to others: this part of the request.
SHARE = 8


class Warmth:
    """Key → queues. Empty where nothing is warm: then nothing is looked at, and nothing goes elsewhere."""

    def __init__(self, free: Free) -> None:
        self._queues: dict[str, list[QueueFree]] = {}
        for queues in free.queues.values():
            for queue in queues:
                for key in queue.warm:
                    self._queues.setdefault(key, []).append(queue)

    def queues(self, demand: Demand) -> Sequence[QueueFree]:
        """Those of its lane that can take it now."""
        known = self._queues.get(demand.warm, ()) if demand.warm else ()
        return [queue for queue in known if queue.lane == demand.lane and queue.is_open and queue.has_room]


def slack(demand: Demand) -> float:
    return demand.vram_mib / SHARE
