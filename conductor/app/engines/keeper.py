"""The leader's threads that ask engines for pilots or to run jobs, one an engine: one that hangs keeps nobody
else waiting.

The order is what makes it safe to be killed at any instruction: a submission is written down before the
engine is asked, and an engine is asked for each once. A conductor that finds one written down, and does not
know whether the engine was ever asked, only looks for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol

from loguru import logger

from conductor.base.errors import ConductorError, Fenced, Unreachable

LOOK_EVERY_S = 2.0


class Round(Protocol):
    """What is done about one engine at a look."""

    def look(self, epoch: int) -> None:
        """Raises `Unreachable` where Redis is away, and `Fenced`."""
        ...

    def begin_anew(self) -> None:
        """This process does not lead, or the ledger is not to be trusted."""
        ...


class EngineKeeper:
    """Use as a context manager. `epoch`: the leader's, None while this process does not lead; `why_not`: why
    nothing may be started now. A standby runs it too, and does nothing in it."""

    def __init__(
        self,
        rounds: Mapping[str, Round],
        epoch: Callable[[], int | None],
        why_not: Callable[[], str | None],
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._epoch = epoch
        self._why_not = why_not
        self._every_s = every_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(each,), name=f"engine {name}", daemon=True)
            for name, each in rounds.items()
        ]

    def __enter__(self) -> EngineKeeper:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            # One that waits for an engine that hangs writes nothing more: its epoch is over.
            thread.join(self._every_s)

    def _work(self, engine_round: Round) -> None:
        while not self._stop.wait(self._every_s):
            epoch = self._epoch()
            if epoch is None or self._why_not() is not None:
                engine_round.begin_anew()
                continue
            try:
                engine_round.look(epoch)
            except (Unreachable, Fenced) as e:
                logger.debug("Engines wait: {}", e)
            except ConductorError as e:
                logger.warning("Engines wait: {}", e)
