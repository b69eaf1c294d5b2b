"""How the pictures of a film are stored and have to be shown: turned, cropped, woven of fields, in which
colours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import atan2, degrees
from typing import Any

from conductor.model.spec import Value

#: Numbers of ISO/IEC 23091-2 → ffmpeg's names, as `setparams` takes them. What is not here is unknown.
PRIMARIES: Mapping[int, str] = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFERS: Mapping[int, str] = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
MATRICES: Mapping[int, str] = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
RANGES: Mapping[int, str] = {1: "tv", 2: "pc"}
UNKNOWN = "unknown"
#: Transfers of more light than a screen of before has.
HDR: Mapping[str, str] = {"smpte2084": "PQ", "arib-std-b67": "HLG"}

_STREAM = re.compile(r"^  Stream #0:(\d+)", re.MULTILINE)
_SIDE = re.compile(r"^    Side data:\n((?:      .*\n?)+)", re.MULTILINE)
_CROP = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
_DOLBY = re.compile(r"DOVI configuration record:.*profile: (\d+).*compatibility id: (\d+)", re.IGNORECASE)


class PictureForm(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What has to be the same in two films whose pictures are put behind one another as they are."""

    pixel_format: str = UNKNOWN
    #: Width to height of one pixel.
    sample_aspect: tuple[int, int] = (1, 1)
    #: Degrees by which it is shown turned; the matrix also mirrors. Empty: as stored.
    turned: int = 0
    display_matrix: tuple[int, ...] = ()
    is_interlaced: bool = False
    color_range: str = UNKNOWN
    matrix: str = UNKNOWN
    primaries: str = UNKNOWN
    transfer: str = UNKNOWN
    #: Pixels that the container cuts off: left, right, top, bottom.
    crop: tuple[int, ...] = ()
    #: What else the file says of all pictures (Dolby Vision, spherical, stereo), in ffmpeg's words.
    side: tuple[str, ...] = ()

    @property
    def hdr(self) -> str | None:
        """«PQ», «HLG», «Dolby Vision 5» (which has nothing that another decoder could show), or none."""
        for words in self.side:
            if (match := _DOLBY.search(words)) and match[2] == "0":
                return f"Dolby Vision {match[1]}"
        return HDR.get(self.transfer)

    @property
    def is_lying(self) -> bool:
        """Stored with its width as the height that is shown."""
        return self.turned % 180 != 0

    def shown_size(self, width: int, height: int) -> tuple[int, int]:
        """Stored pixels as they are shown: cropped, square, turned."""
        left, right, top, bottom = self.crop or (0, 0, 0, 0)
        wide, high = width - left - right, height - top - bottom
        wide = round(wide * self.sample_aspect[0] / self.sample_aspect[1])
        return (high, wide) if self.is_lying else (wide, high)


def form_of(container: Any, stream: Any, first: Any) -> PictureForm:
    """`first`: its first picture as decoded, which knows more than the header; None where none could be."""
    said = side_data(container, stream.index)
    crop = next((match.groups() for line in said if (match := _CROP.search(line))), ())
    aspect, context, source = stream.sample_aspect_ratio, stream.codec_context, first or stream.codec_context
    matrix = _matrix(first)
    return PictureForm(
        pixel_format=first.format.name if first else context.pix_fmt or UNKNOWN,
        sample_aspect=(aspect.numerator, aspect.denominator) if aspect else (1, 1),
        turned=_degrees(matrix),
        display_matrix=matrix,
        is_interlaced=bool(first and first.interlaced_frame) or context.field_order not in (0, 1),
        color_range=_range(source.color_range, context.pix_fmt),
        matrix=MATRICES.get(source.colorspace, UNKNOWN),
        primaries=PRIMARIES.get(source.color_primaries, UNKNOWN),
        transfer=TRANSFERS.get(source.color_trc, UNKNOWN),
        crop=tuple(map(int, crop)),
        side=tuple(
            line for line in said if not _CROP.search(line) and not line.startswith(("Display", "CPB"))
        ),
    )


def _range(number: int, pixel_format: str | None) -> str:
    return "pc" if (pixel_format or "").startswith("yuvj") else RANGES.get(number, UNKNOWN)


def _matrix(first: Any) -> tuple[int, ...]:
    """The display matrix where it changes anything."""
    from av.sidedata.sidedata import Type

    data = first.side_data.get(Type.DISPLAYMATRIX) if first else None
    if data is None:
        return ()
    raw = bytes(data)
    numbers = tuple(int.from_bytes(raw[at : at + 4], "little", signed=True) for at in range(0, 36, 4))
    is_plain = numbers[1] == numbers[3] == 0 and numbers[0] > 0 and numbers[4] > 0
    return () if is_plain else numbers


def _degrees(matrix: tuple[int, ...]) -> int:
    return round(degrees(atan2(matrix[1], matrix[0]))) % 360 if matrix else 0


def side_data(container: Any, index: int) -> tuple[str, ...]:
    """What ffmpeg would print of a stream under «Side data»: PyAV has no other way to it."""
    import av.logging as words

    level = words.get_level()
    words.set_level(words.INFO)
    try:
        said = container.dumps_format()
    finally:
        words.set_level(level)
    parts = _STREAM.split(said)
    own = next(
        (text for number, text in zip(parts[1::2], parts[2::2], strict=True) if int(number) == index), ""
    )
    match = _SIDE.search(own)
    return tuple(line.strip() for line in match[1].splitlines()) if match else ()
