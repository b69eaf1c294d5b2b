"""Signal: one reading of a host, or of one of its devices, against the limits of a node-side gate."""

from __future__ import annotations

from conductor.model.spec import Value


class Signal(Value, frozen=True, kw_only=True):
    """What an adapter read. What it cannot read it gives no signal of: then the gate is open."""

    gate: str
    #: Key of the device; empty: the whole host.
    device: str = ""
    figure: float
    #: The gate closes beyond `closes_at`, and opens once the figure is no longer beyond `opens_at`.
    closes_at: float
    opens_at: float
    #: Beyond is below: too little is what closes it.
    is_floor: bool = False
    #: Good for so long without a break before it opens.
    opens_after_s: float = 0.0
    unit: str = ""
    #: A clause that goes on «NODE: »: «somebody is at this machine».
    words: str

    #: The host is somebody else's meanwhile: what runs there gives way too, where the settings say so.
    is_yielding: bool = False

    def is_beyond(self, limit: float) -> bool:
        return self.figure < limit if self.is_floor else self.figure > limit


class Sensed(Value, frozen=True, kw_only=True):
    """One look of one sensor."""

    signals: tuple[Signal, ...] = ()
    #: By what it is told, for `conductor doctor`: «by loginctl and 2 terminals».
    told: str = ""
    #: What cannot be read on this host, each a sentence.
    untold: tuple[str, ...] = ()
