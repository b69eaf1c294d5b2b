"""Colours from what a film says to what is written: BT.709 in 8 bits, or carried as they are. What is not
said is guessed as players do, by the size."""

from __future__ import annotations

import re
from typing import Any

from workers.media.picture_form import HDR, UNKNOWN, PictureForm

#: What a screen of before shows without conversion: their differences are smaller than what players make of
#: them.
_PLAIN_PRIMARIES = frozenset({UNKNOWN, "bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "ebu3213"})
_DEEP_TRANSFERS = frozenset({*HDR.values(), *HDR, "linear", "log100", "log316", "smpte428"})
_DEEP_PIXELS = re.compile(r"(9|1[0246]|48|64|f32)(le|be)$")
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr")
#: From here on untagged pictures are taken for BT.709.
_HD_WIDTH, _SD_HEIGHT = 1280, 576
#: Candelas: diffuse white of BT.2408, and how bright a highlight may be before it is white like the rest.
WHITE, BRIGHTEST = 203, 1000
#: Up to this share of white a tone stays what it is; brighter ones are pressed together.
_KNEE = 0.5

Tags = dict[str, str]


def is_rgb(form: PictureForm) -> bool:
    return form.matrix == "gbr" or form.pixel_format.startswith(_RGB)


def is_deep(form: PictureForm) -> bool:
    """Its colours or its light go beyond BT.709, so that they have to be converted, not only written
    otherwise.
    """
    return form.primaries not in _PLAIN_PRIMARIES or form.transfer in _DEEP_TRANSFERS


def tags(form: PictureForm, width: int, height: int) -> Tags:
    """What the film says of its colours, the rest guessed; as options of `setparams`."""
    is_hd = width >= _HD_WIDTH or height > _SD_HEIGHT
    is_wide = form.transfer in HDR or form.primaries == "bt2020"
    family = "bt2020" if is_wide else "bt709" if is_hd or form.matrix == "bt709" else "smpte170m"
    matrix = "bt2020nc" if is_wide else family
    transfer = "bt2020-10" if is_wide else "bt709"
    guessed = {
        "color_primaries": family if form.primaries == UNKNOWN else form.primaries,
        "color_trc": transfer if form.transfer == UNKNOWN else form.transfer,
        "range": "tv" if form.color_range == UNKNOWN else form.color_range,
        "colorspace": matrix if form.matrix == UNKNOWN else form.matrix,
    }
    if is_rgb(form):
        return {name: value for name, value in guessed.items() if name not in ("colorspace", "range")}
    return guessed


def as_bt709(stream: Any, form: PictureForm, width: int, height: int) -> Any:
    """8 bits, BT.709, limited range, and said so; highlights pressed into it. `width`, `height`: as
    stored.
    """
    stream = stream.filter("setparams", **tags(form, width, height))
    if is_deep(form):
        stream = _converted(stream, form)
    else:
        stream = stream.filter("scale", out_color_matrix="bt709", out_range="tv")
    return stream.filter("format", "yuv420p").filter("setparams", **BT709)


BT709: Tags = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709", "range": "tv"}


def _converted(stream: Any, form: PictureForm) -> Any:
    """Through linear light: primaries first, then tones, where there are more than white."""
    linear = stream.filter("zscale", t="linear", npl=WHITE, p="bt709").filter("format", "gbrpf32le")
    if form.transfer in HDR:
        linear = linear.filter("tonemap", "mobius", param=_KNEE, desat=0, peak=round(BRIGHTEST / WHITE, 3))
    return linear.filter("zscale", t="bt709", m="bt709", r="tv")


def changes(form: PictureForm) -> list[str]:
    """What `as_bt709` does to it beyond writing it otherwise, in words."""
    if form.transfer in HDR:
        return [f"tone-mapped from {HDR[form.transfer]}"]
    if is_deep(form):
        return [f"colours converted from {form.primaries} {form.transfer}"]
    return ["8 bits a colour instead of more"] if _DEEP_PIXELS.search(form.pixel_format) else []
