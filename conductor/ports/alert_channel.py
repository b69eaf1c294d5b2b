"""A way to reach a person."""

from __future__ import annotations

from typing import Protocol

from conductor.model.alerts import AlertMessage


class AlertChannel(Protocol):
    @property
    def name(self) -> str:
        """As the operator calls it. Never its address, which is a secret."""
        ...

    def send(self, message: AlertMessage) -> str:
        """Blocks for some seconds at most, and never raises. Why it did not arrive; empty: it did."""
        ...
