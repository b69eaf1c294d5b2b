"""The common form of all cuts: one size, one rate, one sound, so that they can be joined without encoding again."""

from __future__ import annotations

from typing import Any

import msgspec

SAMPLE_RATE = 48_000
#: Samples in a block of FLAC, the same in all cuts: a decoder that goes on to the next cut takes no larger ones.
BLOCK = 256
#: A source may end a little before its header says: its last picture is held for at most this long.
HOLD_S = 1.0


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Pixels and frames per second."""

    width: int
    height: int
    fps: float


def picture(stream: Any, frame: Frame) -> Any:
    """Fitted into the frame with black bars, square pixels, constant rate, 8-bit BT.709."""
    w, h = frame.width, frame.height
    return (
        stream.filter("fps", fps=frame.fps, start_time=0)
        .filter("scale", "trunc(iw*sar/2)*2", "ih")
        .filter("scale", w, h, force_original_aspect_ratio="decrease", out_color_matrix="bt709", out_range="tv")
        .filter("pad", w, h, "(ow-iw)/2", "(oh-ih)/2")
        .filter("setsar", 1)
        .filter("format", "yuv420p")
    )


def held(stream: Any) -> Any:
    """The last picture for `HOLD_S` longer; the number of frames to write decides where it ends."""
    return stream.filter("tpad", stop_mode="clone", stop_duration=HOLD_S)


def sound(stream: Any, seconds: float) -> Any:
    """48 kHz stereo of exactly this length, with silence where the source has none."""
    return (
        stream.filter("aresample", SAMPLE_RATE, **{"async": 1, "first_pts": 0})
        .filter("aformat", sample_fmts="s16", channel_layouts="stereo")
        .filter("apad")
        .filter("atrim", duration=seconds)
        .filter("asetnsamples", n=BLOCK, p=0)
    )


def silence(seconds: float) -> Any:
    import ffmpeg

    return sound(ffmpeg.input(f"anullsrc=r={SAMPLE_RATE}:cl=stereo:d={seconds}", f="lavfi").audio, seconds)


def h264(frame: Frame, crf: int, threads: int) -> dict[str, Any]:
    """x264 whatever is there: cuts of two encoders could not be joined by copying."""
    return {
        "c:v": "libx264",
        "preset": "veryfast",
        "crf": crf,
        "g": round(frame.fps * 2),
        "threads": threads,
        "colorspace": "bt709",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "color_range": "tv",
        "chroma_sample_location": "left",
        # Nothing of the run in the file: the same source gives the same bytes.
        "fflags": "+bitexact",
        "flags:v": "+bitexact",
        "flags:a": "+bitexact",
        "map_metadata": -1,
    }
