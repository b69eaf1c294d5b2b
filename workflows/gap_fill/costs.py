"""What a batch asks: its tokens, and what they cost in the cloud. As far as it can be told beforehand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings

#: Tokens: of the answer to one text; of the question by its length, where a letter beyond ASCII is one.
ANSWER_TOKENS = 128
CHARACTERS_A_TOKEN = 3

Document = tuple[str, str]


@dataclass(frozen=True)
class BatchAsks:
    """What is asked of each text."""

    instruction: str
    schema: dict[str, Any] | None

    def characters(self, batch: Sequence[Document]) -> int:
        return len(self.instruction) + sum(len(text) for _, text in batch)

    def question_tokens(self, batch: Sequence[Document]) -> int:
        schema = "" if self.schema is None else json.dumps(self.schema)
        said = (self.instruction, schema, *(text for _, text in batch))
        ascii_only = sum(len(text.encode("ascii", "ignore")) for text in said)
        return ascii_only // CHARACTERS_A_TOKEN + sum(map(len, said)) - ascii_only

    def answer_tokens(self, batch: Sequence[Document]) -> int:
        """No more are paid: it is the request's `max_tokens`."""
        return ANSWER_TOKENS * len(batch)


class Purse:
    """What may be spent in the cloud by one plan."""

    def __init__(self, usd: float | None, endpoint: str | None, settings: CodeSettings) -> None:
        self._usd, self._endpoint = usd, settings.endpoints.get(endpoint or "")
        #: Documents that it did not pay for.
        self.left = 0
        if usd is not None and self._endpoint is not None and not self._prices():
            raise UsageError(
                f"--usd {usd:g}: what {endpoint} costs is not known: set usd_per_million_input and "
                f"usd_per_million_output of [endpoints.{endpoint}]"
            )

    def _prices(self) -> tuple[float, float] | None:
        found = self._endpoint
        if found is None or not (found.usd_per_million_input or found.usd_per_million_output):
            return None
        return found.usd_per_million_input, found.usd_per_million_output

    def pays(self, asks: BatchAsks, batch: Sequence[Document]) -> bool:
        """Takes what the batch costs at most when it is asked once; False: it is not there."""
        prices = self._prices()
        if self._usd is None or prices is None:
            return True
        asked, told = prices
        cost = (asks.question_tokens(batch) * asked + asks.answer_tokens(batch) * told) / 1_000_000
        if cost > self._usd:
            return False
        self._usd -= cost
        return True
