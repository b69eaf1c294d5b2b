"""match.listen: the sound of a match → whistles, and how loud the crowd is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import orjson

from conductor.base.errors import BadInput
from conductor.model.spec import Needs, Value
from workers.match.sound import RATE, HeardSound
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.toolkit import Args, leave_if_told, media_facts, parse, read_of, shown, threads, write_of

NEEDS = Needs(cpu=1, ram_mib=256)


class ListenArgs(Args, frozen=True, kw_only=True):
    source: str | None = None


class HeardFile(Value, frozen=True, kw_only=True):
    """The file match.listen writes and match.events reads."""

    v: Literal[1]
    source: str
    #: None: the film has no sound.
    heard: HeardSound | None = None


@task("match.listen", lane="cpu", needs=NEEDS, timeout_s=3600 * 2, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read). Writes a `.json` file (`HeardFile`).

    Result: {"has_sound", "whistles", "why"}; `why`: of a film without sound that it has none, or no decoder.
    """
    import numpy as np

    from workers.match.sound import SoundListener
    from workers.media import ffmpeg

    given = parse(args, ListenArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = media_facts(ctx, read)
    listener, rest = SoundListener(), bytearray()

    def take(chunk: bytes) -> None:
        rest.extend(chunk)
        whole = len(rest) // 2 * 2
        samples = np.frombuffer(bytes(rest[:whole]), "<i2").astype(np.float32) / np.float32(32768)
        del rest[:whole]
        listener.feed(samples)
        leave_if_told(ctx)

    why = ""
    if facts.sound is None:
        why = "no decoder here reads its sound" if "audio" in facts.unread else "it has no sound"
    else:
        sound = ffmpeg.stream(ffmpeg.source(path), facts.sound)
        # From the film's beginning: a track that comes late begins with silence.
        sound = sound.filter("aresample", RATE, **{"async": 1, "first_pts": 0})
        sound = sound.filter("aformat", sample_fmts="s16", channel_layouts="mono")
        job = ffmpeg.raw_samples(sound)
        ffmpeg.run(
            job,
            ctx,
            seconds=facts.ends_s,
            note=f"listening to {name}",
            name=name,
            threads=threads(ctx, NEEDS),
            on_stdout=take,
        )
    heard = None if facts.sound is None else listener.heard()
    found = HeardFile(v=1, source=name, heard=heard)
    ctx.output(write_of(ctx, ".json")).write_bytes(orjson.dumps(msgspec.to_builtins(found)))
    return {"has_sound": heard is not None, "whistles": len(heard.whistles) if heard else 0, "why": why}


def heard_in(data: bytes, name: str) -> HeardSound | None:
    """Raises `BadInput` where it is no file of this task."""
    try:
        return msgspec.json.decode(data, type=HeardFile).heard
    except msgspec.DecodeError as e:
        raise BadInput(f"{name} says nothing of what is heard: {e}") from None
