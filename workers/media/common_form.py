"""The common form of all cuts: one size, one rate, one set of colours, one sound, so that they can be joined
without encoding again. Whoever shows pictures (cut, preview, analysis) makes them by the same steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from workers.media import colours

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

SAMPLE_RATE = 48_000
#: Samples in a block of FLAC, the same in all cuts: a decoder that goes on to the next cut takes no larger
#: ones.
BLOCK = 256
#: Index and pictures may differ by a little: the last picture is held for at most this much longer than it
#: says.
HOLD_S = 0.2


class FrameFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Pixels and frames per second."""

    width: int
    height: int
    fps: float


def progressive(stream: Any, facts: MediaFacts) -> Any:
    """One picture of two fields that were taken at two instants; whole ones are left as they are."""
    return (
        stream.filter("bwdif", mode="send_frame", deint="interlaced") if facts.form.is_interlaced else stream
    )


def timed(stream: Any, fps: float, from_s: float = 0.0, hold_s: float = 0.0) -> Any:
    """Pictures at a constant rate: at each instant the one that is shown then, from `from_s` of the stream
    on. The first is shown before it begins, the last for `hold_s` after its end.

    The rate comes before the hold, and again behind it: of pictures without a rate nobody knows how many a
    hold is."""
    if from_s:
        # In microseconds: the clock of some containers is the rate itself, and a part of a picture would be
        # none.
        stream = stream.filter("settb", "AVTB").filter("setpts", f"PTS-{from_s:.6f}/TB")
    stream = stream.filter("fps", fps=fps, eof_action="pass")
    if hold_s:
        stream = stream.filter("tpad", stop_mode="clone", stop_duration=f"{hold_s:.6f}")
    return stream.filter("fps", fps=fps, start_time=0, eof_action="pass")


def picture(stream: Any, facts: MediaFacts, frame: FrameFormat) -> Any:
    """Fitted into the frame with black bars, square pixels, 8-bit BT.709, with nothing of the source's own
    words.
    """
    w, h = frame.width, frame.height
    width, height = f"max(2,round(min({w},{h}*dar)/2)*2)", f"max(2,round(min({h},{w}/dar)/2)*2)"
    fitted = shown(stream.filter("scale", width, height), facts)
    return fitted.filter("pad", w, h, "(ow-iw)/2", "(oh-ih)/2").filter("setsar", 1)


def small(stream: Any, facts: MediaFacts, width: int) -> Any:
    """As wide as that, square pixels, 8-bit BT.709."""
    return shown(stream.filter("scale", width, "max(2,round(ow/dar/2)*2)"), facts).filter("setsar", 1)


def shown(stream: Any, facts: MediaFacts) -> Any:
    """In BT.709, without what the source says of its light and its captions: it would be wrong now, and
    differ.
    """
    plain = colours.as_bt709(stream, facts.form, facts.width, facts.height)
    return plain.filter("setparams", chroma_location="left").filter("sidedata", "delete")


def changes(facts: MediaFacts) -> list[str]:
    """What the steps above do to it that somebody may want to know."""
    done = ["deinterlaced"] if facts.form.is_interlaced else []
    if facts.sound is None and "audio" in facts.unread:
        done.append("silent: no decoder for its sound")
    return done + colours.changes(facts.form)


def sound(stream: Any, seconds: float, from_s: float = 0.0) -> Any:
    """48 kHz stereo of exactly this length from `from_s` on, with silence where the source has none."""
    return (
        stream.filter("atrim", start=f"{from_s:.6f}")
        .filter("asetpts", f"PTS-{from_s:.6f}/TB")
        .filter("aresample", SAMPLE_RATE, **{"async": 1, "first_pts": 0})
        .filter("aformat", sample_fmts="s16", channel_layouts="stereo")
        .filter("apad")
        .filter("atrim", duration=seconds)
        .filter("asetnsamples", n=BLOCK, p=0)
    )


def silence(seconds: float) -> Any:
    import ffmpeg

    return sound(ffmpeg.input(f"anullsrc=r={SAMPLE_RATE}:cl=stereo:d={seconds}", f="lavfi").audio, seconds)


def h264(frame: FrameFormat, crf: int, threads: int) -> dict[str, Any]:
    """x264 whatever is there: cuts of two encoders could not be joined by copying."""
    return {"c:v": "libx264", "preset": "veryfast", "crf": crf, "threads": threads, **bare(frame)}


def bare(frame: FrameFormat) -> dict[str, Any]:
    """A key picture every two seconds, and nothing of the run in the file: the same source gives the same
    bytes."""
    return {
        "g": round(frame.fps * 2),
        "fflags": "+bitexact",
        "flags:v": "+bitexact",
        "flags:a": "+bitexact",
        "map_metadata": -1,
    }
