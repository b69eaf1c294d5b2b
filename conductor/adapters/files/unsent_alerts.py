"""What a node still has to say through channels that took nothing, on its disk: a node that is started again
says it, once the channel is back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from loguru import logger

from conductor.base.files.safe_open import make_own, write_whole
from conductor.model.alerts import AlertNotice

_decode = msgspec.json.Decoder(dict[str, tuple[AlertNotice, ...]]).decode


class UnsentAlerts:
    """One file, written anew at each change: it is small, for an outbox is bounded."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, tuple[AlertNotice, ...]] = {}

    def load(self) -> dict[str, tuple[AlertNotice, ...]]:
        """By channel. What cannot be read is left out: an alert that is still raised is said again by its
        rule."""
        try:
            self._kept = _decode(self._file.read_bytes())
        except FileNotFoundError:
            self._kept = {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as e:
            logger.warning("{}: alerts that were not sent cannot be read: {}", self._file, e)
        return self._kept

    def keep(self, unsent: Mapping[str, Sequence[AlertNotice]]) -> None:
        """All that is unsent now."""
        now = {name: tuple(notices) for name, notices in unsent.items() if notices}
        if now == self._kept:
            return
        try:
            make_own(self._file.parent)
            write_whole(self._file, msgspec.json.encode(now) + b"\n")
        except OSError as e:
            logger.warning("{}: alerts that are not sent yet cannot be kept: {}", self._file, e)
        else:
            self._kept = now
