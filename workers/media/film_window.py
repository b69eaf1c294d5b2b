"""A window of a film as streams in the common form: so many pictures, and sound of exactly that length."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.media import common_form, ffmpeg, seeking

if TYPE_CHECKING:
    from workers.media.common_form import FrameFormat
    from workers.media.probing import MediaFacts


def window(
    path: Path, name: str, facts: MediaFacts, frame: FrameFormat, start_s: float, seconds: float, threads: int
) -> tuple[Any, Any]:
    """(picture, sound) from `start_s` on. The picture goes on: who writes it says after how many to end. The
    sound is `seconds` long, silence where the film has none."""
    ends_s = facts.picture_s or 0.0
    # A picture early, so that there is one to hold where the window lies behind the last.
    read_s = seeking.start_before(path, name, facts, min(start_s, ends_s) - 1 / frame.fps)
    source = ffmpeg.begun_at(path, read_s, threads=threads)
    hold_s = max(0.0, start_s + seconds - ends_s) + common_form.HOLD_S
    video = common_form.progressive(ffmpeg.stream(source, facts.film), facts)
    video = common_form.picture(common_form.timed(video, frame.fps, start_s - read_s, hold_s), facts, frame)
    if facts.sound is None:
        return video, common_form.silence(seconds)
    return video, common_form.sound(ffmpeg.stream(source, facts.sound), seconds, start_s - read_s)
