"""What a person says of a match on the command line."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any, Literal

from conductor.base.errors import UsageError

NAME = "match"
#: What the classes of a model may be.
LABELS = ("ball", "players", "keepers")
#: The goal that is guarded in the film after one.
OTHER: dict[str, Literal["left", "right", "both"]] = {"left": "right", "right": "left", "both": "both"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "films", nargs="+", type=Path, help="the match's films in their order (halves), or a folder with them"
    )
    parser.add_argument("--name", metavar="NAME", help="of what is written; default: the first film's")
    parser.add_argument(
        "--pitch",
        default="0,0,1,1",
        metavar="L,T,R,B",
        help="the pitch's left, top, right and bottom in shares of the picture",
    )
    parser.add_argument(
        "--keeper",
        choices=sorted(OTHER),
        default="both",
        help="whose reel: who guards that goal in the first film, and the other one in the next",
    )
    parser.add_argument("--same-ends", action="store_true", help="the sides stay from film to film")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="the detector, one of [models.NAME]; default: one that knows drawn matches only",
    )
    parser.add_argument(
        "--labels",
        default="ball=32,players=0",
        metavar="WHAT=N,…",
        help="with --model: the numbers of its classes ball, players and keepers, as in keepers=3+4",
    )
    parser.add_argument("--looks", type=float, default=10.0, metavar="N", help="looks at the match a second")
    parser.add_argument("--sure", type=float, default=0.7, metavar="X", help="from here on an event is sure")
    parser.add_argument("--least", type=float, default=0.3, metavar="X", help="below this it is none")
    parser.add_argument(
        "--unsure",
        choices=("ask", "keep", "drop"),
        default="ask",
        help="of events between: ask a person, take them, or leave them out",
    )
    parser.add_argument("--before", type=float, default=4.0, metavar="S", help="shown before an event")
    parser.add_argument("--after", type=float, default=3.0, metavar="S", help="and after it")
    parser.add_argument("--longest", type=float, default=600.0, metavar="S", help="of a reel")
    parser.add_argument("--reel-fps", type=float, metavar="N", help="default: the first film's")
    parser.add_argument("--size", metavar="WxH", help="of the reels; default: the first film's")
    parser.add_argument(
        "--lane",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="where pictures are looked at; auto: gpu where that lane may run on the CPU, too",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="what really happened, as JSON: verify holds the events against it",
    )


def name_of(options: argparse.Namespace) -> str:
    given: str = options.name or options.films[0].resolve().stem
    return plain(given)


def plain(text: str) -> str:
    """As a part of a file's name anywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:80].strip("._") or NAME


def labels_of(text: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {name: [] for name in LABELS}
    for part in text.split(","):
        name, _, numbers = part.partition("=")
        if name not in found or not re.fullmatch(r"\d{1,5}(\+\d{1,5})*", numbers):
            raise UsageError(f"--labels {text}: like ball=32,players=0 or ball=0,players=1+2,keepers=3+4")
        found[name] = [int(number) for number in numbers.split("+")]
    return found


def pitch_of(text: str) -> tuple[float, ...]:
    try:
        sides = tuple(float(side) for side in text.split(","))
        left, top, right, bottom = sides
    except ValueError:
        raise UsageError(
            f"--pitch {text}: four numbers with commas between them, like 0.05,0.1,0.95,0.9"
        ) from None
    if not (-1 <= left < right <= 2 and -1 <= top < bottom <= 2):
        raise UsageError(f"--pitch {text}: left before right and top before bottom, in shares of the picture")
    return sides


def size_of(text: str) -> tuple[int, int]:
    said = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    width, height = (int(said[1]), int(said[2])) if said else (0, 0)
    if not (32 <= width <= 7680 and 32 <= height <= 4320 and width % 2 == 0 and height % 2 == 0):
        raise UsageError(f"--size {text}: write WIDTHxHEIGHT in even numbers, as in 1280x720")
    return width, height


def truth_of(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(f"{file} cannot be read as JSON: {e}") from None
    if not isinstance(said, dict) or not isinstance(said.get("parts"), list):  # pyright: ignore[reportUnknownMemberType]
        raise UsageError(
            f'{file}: is to be {{"parts": [[{{"kind": "goal", "at_s": 61.5, "goal": "left"}}]]}}'
        )
    return said  # pyright: ignore[reportUnknownVariableType]
