"""What a job's result, and its line's `expect`, say of its outputs, held against what is counted in them.
Pure.

A result says it under `outputs`: `{"outputs": {"published:a.mp4": {"frames": 75, "duration_s": 3.0}}}`. The
tasks that come with the project and write one file say it directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

from conductor.model.spec import JobSpec
from conductor.verify.media_facts import is_media

Claim = Mapping[str, Any]
NO_CLAIM: Claim = MappingProxyType({})

#: What can be said, and in which words it is found to be another.
COUNTED = {
    "frames": "pictures",
    "samples": "samples",
    "lines": "lines",
    "cues": "subtitles",
}
_SIZE = ("width", "height")
#: Family of tasks → key of its results → what it says of their one output.
_DIRECT: Mapping[str, Mapping[str, str]] = {
    "media": {"frames": "frames", "duration_s": "duration_s", "width": "width", "height": "height"},
    "files": {"bytes": "bytes", "sha256": "sha256"},
}
#: How far a length may be off: codecs pad, muxers round.
SLACK_S, SLACK_SHARE = 0.5, 0.02


def claims(spec: JobSpec, result: Mapping[str, Any]) -> dict[str, Claim]:
    """Output path → what the result says of it."""
    said = result.get("outputs")
    found: dict[str, Claim] = {}
    if isinstance(said, dict):
        each = cast("dict[str, Any]", said)
        found = {path: cast("Claim", claim) for path, claim in each.items() if isinstance(claim, dict)}
    direct = _DIRECT.get(spec.task.partition(".")[0], {})
    # `media.probe` writes what it says of its input as JSON: that is no output of such a kind.
    own = [output.path for output in spec.writes if "frames" not in direct or is_media(output.path)]
    if len(own) == 1 and own[0] not in found:
        found[own[0]] = {name: result[key] for key, name in direct.items() if key in result}
    return found


def claim_faults(
    claim: Claim, counts: Mapping[str, float], sizes: tuple[tuple[int, int], ...]
) -> Iterator[str]:
    """`counts`: what was counted; `sizes`: as stored and as shown, empty where it has none.

    What was not counted is not judged: without decoding there are no samples."""
    for name, words in COUNTED.items():
        if (said := _number(claim.get(name))) is not None and name in counts and counts[name] != said:
            yield f"holds {counts[name]:g} {words}, its result says {said:g}"
    said = _number(claim.get("duration_s"))
    if said is not None and "duration_s" in counts:
        lasts = counts["duration_s"]
        if abs(lasts - said) > max(SLACK_S, said * SLACK_SHARE):
            yield f"lasts {lasts:.2f} s, its result says {said:.2f} s"
    wanted = tuple(_number(claim.get(name)) for name in _SIZE)
    if sizes and any(wanted) and not any(_is_of(size, wanted) for size in sizes):
        said_words = " × ".join("any" if side is None else f"{side:g}" for side in wanted)
        yield f"is {sizes[-1][0]} × {sizes[-1][1]} pixels, its result says {said_words}"


def is_counted(claim: Claim, counts: Mapping[str, float]) -> bool:
    """All that is claimed and can be counted was counted."""
    return all(name in counts for name in (*COUNTED, "duration_s") if _number(claim.get(name)) is not None)


def tag_faults(claim: Claim, tags: Mapping[str, str]) -> Iterator[str]:
    said = claim.get("tags")
    if isinstance(said, dict):
        for name, value in cast("dict[str, Any]", said).items():
            if tags.get(name) != value:
                yield f"has the tag {name} = {tags.get(name)!r}, its result says {value!r}"


def same_faults(claim: Claim, size: int, sha256: str) -> Iterator[str]:
    """What the task says of the file as a whole, held against what was published."""
    if (said := _number(claim.get("bytes"))) is not None and said != size:
        yield f"has {size} bytes, its result says {said:g}"
    if (digest := claim.get("sha256")) is not None and digest != sha256:
        yield "is another content than its result says"


def _is_of(size: tuple[int, int], wanted: tuple[float | None, ...]) -> bool:
    return all(side is None or side == is_now for is_now, side in zip(size, wanted, strict=True))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
