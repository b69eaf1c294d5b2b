"""What a lead is worth before it has paid: synthetic revenue. Pure.

    expected value = chance of its stage x value of its deal

It is the weighted pipeline of the CRMs (Salesforce: «Expected Revenue = Amount x Probability»; HubSpot:
«weighted amount»). The chances below are those of HubSpot's default pipeline; whoever has closed some hundred
deals knows better ones of his own: `--stage NAME=SHARE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from workers.ads.shares import MICROS, WHOLE_PPM

#: Chance of a stage, in parts per million.
STAGES: Mapping[str, int] = {
    "appointment_scheduled": 200_000,
    "qualified": 400_000,
    "presentation_scheduled": 600_000,
    "decision_maker_bought_in": 800_000,
    "contract_sent": 900_000,
    "won": WHOLE_PPM,
    "lost": 0,
}

LeadOutcome = Literal["open", "won", "lost"]


def expected_micros(chance_ppm: int, value_micros: int) -> int:
    """Rounded half up, to a millionth of the unit."""
    return (chance_ppm * value_micros + WHOLE_PPM // 2) // WHOLE_PPM


def outcome_of(chance_ppm: int) -> LeadOutcome:
    """Certain is what is over."""
    return "won" if chance_ppm == WHOLE_PPM else "lost" if chance_ppm == 0 else "open"


def micros(value: float) -> int:
    return round(value * MICROS)
