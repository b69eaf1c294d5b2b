"""Which encoder really works here: the first candidate that encodes one frame. What has worked is remembered
for the process; what has failed is tried by the next job again, as a card may only have been full.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from conductor.base.errors import JobError
from workers.media import ffmpeg
from workers.task_api.context import JobContext
from workers.task_api.run_program import run_program

Codec = Literal["h264", "h265", "vp9", "av1"]
Prefer = Literal["auto", "nvenc", "cpu"]


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """An encoder by ffmpeg's name and the options that give a good everyday picture; `quality` names its
    dial.
    """

    name: str
    quality: str = "crf"
    default_quality: int = 23
    options: Mapping[str, Any] = {}

    @property
    def is_nvenc(self) -> bool:
        return self.name.endswith("_nvenc")

    @property
    def deep_format(self) -> str:
        """Of pixels in 10 bits."""
        return "p010le" if self.is_nvenc else "yuv420p10le"


NVENC: Mapping[Codec, Encoder] = {
    "h264": Encoder(name="h264_nvenc", quality="cq", options={"preset": "p4", "b:v": 0}),
    "h265": Encoder(name="hevc_nvenc", quality="cq", default_quality=26, options={"preset": "p4", "b:v": 0}),
    "av1": Encoder(name="av1_nvenc", quality="cq", default_quality=32, options={"preset": "p4", "b:v": 0}),
}
CPU: Mapping[Codec, tuple[Encoder, ...]] = {
    "h264": (Encoder(name="libx264", options={"preset": "veryfast"}),),
    "h265": (Encoder(name="libx265", default_quality=26, options={"preset": "fast"}),),
    "vp9": (
        Encoder(
            name="libvpx-vp9",
            default_quality=33,
            options={"b:v": 0, "row-mt": 1, "deadline": "good", "cpu-used": 4},
        ),
    ),
    "av1": (
        Encoder(name="libsvtav1", default_quality=35, options={"preset": 9}),
        Encoder(name="libaom-av1", default_quality=35, options={"cpu-used": 7, "row-mt": 1}),
    ),
}
#: What has worked in this process; it sees the same devices as long as it lives.
_works: set[str] = set()


def candidates(codec: Codec, prefer: Prefer, has_device: bool) -> list[Encoder]:
    """In the order to try. NVENC only for a job that holds a device: another job may own the one that is
    there.
    """
    nvenc = [NVENC[codec]] if codec in NVENC else []
    if prefer == "nvenc":
        return nvenc
    return [*(nvenc if prefer == "auto" and has_device else []), *CPU[codec]]


def choose(ctx: JobContext, codec: Codec, prefer: Prefer) -> Encoder:
    """The first candidate that works on this machine. Raises `JobError` when none does.

    Where there is only one, of the CPU, it is not tried: ffmpeg has it or says that it has not."""
    tried = candidates(codec, prefer, bool(ctx.devices))
    if len(tried) == 1 and not tried[0].is_nvenc:
        return tried[0]
    for encoder in tried:
        if encoder.name in _works or encodes_one_frame(ctx, encoder):
            _works.add(encoder.name)
            return encoder
    names = ", ".join(e.name for e in tried) or f"NVENC for {codec}"
    raise JobError(
        f"no encoder for {codec} works on this machine (tried {names}); choose another codec or encoder"
    )


def encodes_one_frame(ctx: JobContext, encoder: Encoder) -> bool:
    """`-encoders` lists NVENC on machines without a GPU, so only an encoded frame counts."""
    argv = [
        ffmpeg.binary(),
        "-nostdin",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=s=256x144:r=25:d=0.04",
    ]
    argv += ["-frames:v", "1", "-pix_fmt", "yuv420p", "-c:v", encoder.name, "-f", "null", "-"]
    return run_program(argv, ctx).returncode == 0


def options(encoder: Encoder, quality: int | None, threads: int) -> dict[str, Any]:
    """The encoder as output options. Threads are bounded by what the job asked for: others run beside it."""
    dial = encoder.default_quality if quality is None else quality
    return {**_base(encoder, threads), encoder.quality: dial}


def at_bitrate(encoder: Encoder, kbps: int, threads: int, stats: Path) -> list[dict[str, Any]]:
    """The same for a bitrate: options for each pass, the last one writes. `stats`: a file that the first pass
    leaves for the second. NVENC looks twice by itself, and SVT-AV1 takes its bitrate in one pass."""
    base = {**_base(encoder, threads), "b:v": f"{kbps}k"}
    if encoder.is_nvenc:
        return [base | {"multipass": "fullres", "maxrate": f"{2 * kbps}k", "bufsize": f"{4 * kbps}k"}]
    if encoder.name == "libsvtav1":
        return [base]
    if encoder.name == "libx265":
        params = base["x265-params"]
        # Its options are parted by colons: a path with one in it would be two.
        return [base | {"x265-params": f"{params}:pass={n}:stats={stats.name}"} for n in (1, 2)]
    return [base | {"pass": n, "passlogfile": str(stats)} for n in (1, 2)]


def _base(encoder: Encoder, threads: int) -> dict[str, Any]:
    chosen: dict[str, Any] = {"c:v": encoder.name, **encoder.options, "threads": threads}
    if encoder.name == "libx265":
        chosen |= {"x265-params": f"pools={threads}:log-level=error"}
    if encoder.name == "libsvtav1":
        chosen |= {"svtav1-params": f"lp={threads}"}
    return chosen
