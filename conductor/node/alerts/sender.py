"""The thread that sends: a channel that hangs keeps nobody from looking on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from msgspec.structs import replace

from conductor.adapters.files.unsent_alerts import UnsentAlerts
from conductor.base.logs.events import emit_event
from conductor.core.alerts.message import message_of
from conductor.core.alerts.outbox import Outbox
from conductor.model.alerts import AlertNotice, ChannelTally
from conductor.ports.alert_channel import AlertChannel


class AlertSender(threading.Thread):
    def __init__(
        self,
        channels: Sequence[AlertChannel],
        most_per_hour: int,
        project: str,
        node: str,
        kept: UnsentAlerts,
    ) -> None:
        """`kept`: what was not sent when the node ended is said by the next one."""
        super().__init__(name="alert-sender", daemon=True)
        self._project, self._node = project, node
        self._lock = threading.Lock()
        self._boxes = [(channel, Outbox(most_per_hour)) for channel in channels]
        self._tallies = {channel.name: ChannelTally() for channel in channels}
        self._kept = kept
        #: Of the file: what is written last is what is so.
        self._keeping = threading.Lock()
        unsent = kept.load()
        for channel, box in self._boxes:
            box.put(unsent.get(channel.name, ()))
        self._wake = threading.Event()
        self._is_stopping = False

    def say(self, notices: Sequence[AlertNotice]) -> None:
        """At once where it may be, together with what waits."""
        if notices:
            with self._lock:
                for _, box in self._boxes:
                    box.put(notices)
            self._keep()
            self._wake.set()

    def _keep(self) -> None:
        with self._keeping:
            with self._lock:
                unsent = {channel.name: box.unsent for channel, box in self._boxes}
            self._kept.keep(unsent)

    def tallies(self) -> dict[str, ChannelTally]:
        """Since this process began."""
        with self._lock:
            return {
                channel.name: replace(self._tallies[channel.name], held=len(box))
                for channel, box in self._boxes
            }

    def stop(self, limit_s: float = 2.0) -> None:
        self._is_stopping = True
        self._wake.set()
        if self.is_alive():
            self.join(limit_s)

    def run(self) -> None:
        while not self._is_stopping:
            self._wake.wait(self._send())
            self._wake.clear()

    def _send(self) -> float | None:
        """Seconds until the next message may go; None: until somebody says something."""
        waits: list[float] = []
        for channel, box in self._boxes:
            with self._lock:
                due_at = box.due_at(time.monotonic())
                taken = box.take() if due_at is not None and due_at <= time.monotonic() else ()
            if taken:
                fault = channel.send(message_of(taken, self._project, self._node, time.time()))
                self._note(channel.name, box, taken, fault)
                self._keep()
            with self._lock:
                due_at = box.due_at(time.monotonic())
            if due_at is not None:
                waits.append(max(0.0, due_at - time.monotonic()))
        return min(waits, default=None)

    def _note(self, name: str, box: Outbox, taken: Sequence[AlertNotice], fault: str) -> None:
        with self._lock:
            before = self._tallies[name]
            now = time.monotonic()
            if fault:
                box.failed(taken, now)
            else:
                box.arrived(now)
            self._tallies[name] = replace(
                before,
                sent=before.sent + (not fault),
                failed=before.failed + bool(fault),
                last_at=time.time(),
                fault=fault,
            )
        if fault and not before.fault:
            words = "The channel {channel} took no message, and is tried again: {error}"
            emit_event("alert.not_sent", words, channel=name, error=fault)
