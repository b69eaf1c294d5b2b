"""A shop that is made up: its creatives, what its CRM tells, its daily figures. All is known before."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path

#: Creative → its words, what it cost to show in each of three weeks, and what became of its leads.
WORDS = {
    "runner-blue": "Running shoes that weigh nothing: 30 days to try them",
    "runner-city": "From the office to the park in one pair of running shoes",
    "spring-sale": "Spring sale: everything must go, 50 % off",
    "loyal-club": "Join our club and get the tenth pair free",
}
WINNER, TIRED = "runner-blue", "spring-sale"
#: Leads that were won, and lost, by the creative that they met last.
LEADS = {"runner-blue": (3, 0), "runner-city": (0, 1), "spring-sale": (0, 2)}
LAST_DAY = date(2026, 11, 29)
DAYS = 21


def make_files(folder: Path) -> tuple[Path, Path]:
    """Daily figures and a catalogue: the same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    figures, creatives = folder / "figures.csv", folder / "creatives.jsonl"
    with figures.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("creative", "day", "impressions", "clicks", "spend", "reach_7d"))
        rows.writerows(row for creative in WORDS for row in figures_of(creative))
    texts = [json.dumps({"creative": name, "text": text}) for name, text in WORDS.items()]
    creatives.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return figures, creatives


def figures_of(creative: str) -> list[tuple[str, str, int, int, str, int]]:
    """Three weeks; the tired one is seen by the same few people, who click less and cost more each day."""
    found: list[tuple[str, str, int, int, str, int]] = []
    for number in range(DAYS):
        worn = number / (DAYS - 1) if creative == TIRED else 0.0
        impressions = 4000 + 37 * number
        clicks = round(impressions * 0.02 * (1 - 0.7 * worn))
        spend = impressions * 0.006 * (1 + 0.8 * worn)
        reach = round(7 * impressions / (1.6 + 5 * worn))
        day = LAST_DAY - timedelta(days=DAYS - 1 - number)
        found.append((creative, str(day), impressions, clicks, f"{spend:.2f}", reach))
    return found


def deliveries() -> dict[str, bytes]:
    """Id of a delivery → its body."""
    found: dict[str, bytes] = {}
    number = 0
    for creative, (won, lost) in LEADS.items():
        for n in range(won + lost):
            number += 1
            found[f"msg_{number:03}"] = body_of(number, creative, "won" if n < won else "lost")
    return found


def body_of(number: int, creative: str, stage: str) -> bytes:
    first = "loyal-club" if number % 3 == 0 and creative != "loyal-club" else creative
    said = {
        "type": "lead.stage_changed",
        "timestamp": f"2026-11-{1 + number:02}T12:00:00Z",
        "data": {
            "lead": f"L-{number:03}",
            "stage": stage,
            "value": 49.9 + number,
            "currency": "EUR",
            "touches": [
                {"creative": first, "at": f"2026-11-{1 + number:02}T08:00:00Z"},
                {"creative": creative, "at": f"2026-11-{1 + number:02}T11:30:00Z"},
            ],
        },
    }
    return json.dumps(said).encode()
