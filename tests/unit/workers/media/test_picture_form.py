"""What a film says of its pictures, and what is made of its colours. The words are ffmpeg's."""

from __future__ import annotations

import pytest

from workers.media import colours
from workers.media.ffmpeg_output import FfmpegOutput
from workers.media.picture_form import PictureForm

DOLBY = (
    "DOVI configuration record: version: 1.0, profile: {}, level: 6, rpu flag: 1, el flag: 0, bl flag: 1, "
)


@pytest.mark.parametrize(
    ("profile", "compatible", "hdr"), [(5, 0, "Dolby Vision 5"), (8, 1, "PQ"), (8, 4, "PQ")]
)
def test_dolby_vision_without_a_base_is_told_from_one_that_others_show(
    profile: int, compatible: int, hdr: str
):
    words = DOLBY.format(profile) + f"compatibility id: {compatible}, compression: 0"
    assert PictureForm(transfer="smpte2084", side=(words,)).hdr == hdr


def test_shown_pixels_are_cropped_square_and_turned():
    form = PictureForm(sample_aspect=(16, 11), crop=(8, 8, 0, 0), turned=270)
    assert form.shown_size(720, 576) == (576, 1024)
    assert PictureForm().shown_size(320, 180) == (320, 180)


@pytest.mark.parametrize(
    ("form", "width", "matrix"),
    [
        (PictureForm(), 640, "smpte170m"),
        (PictureForm(), 1280, "bt709"),
        (PictureForm(matrix="bt470bg"), 1920, "bt470bg"),
        (PictureForm(transfer="arib-std-b67"), 640, "bt2020nc"),
        (PictureForm(pixel_format="gbrp"), 640, None),
    ],
)
def test_a_matrix_that_is_not_said_is_that_of_the_size(form: PictureForm, width: int, matrix: str | None):
    assert colours.tags(form, width, width * 9 // 16).get("colorspace") == matrix


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (PictureForm(), []),
        (PictureForm(pixel_format="nv12", primaries="bt470bg", transfer="gamma28"), []),
        (PictureForm(pixel_format="yuv420p10le"), ["8 bits a colour instead of more"]),
        (PictureForm(transfer="smpte2084", primaries="bt2020"), ["tone-mapped from PQ"]),
        (PictureForm(transfer="bt709", primaries="smpte432"), ["colours converted from smpte432 bt709"]),
    ],
)
def test_what_is_done_to_colours_is_said(form: PictureForm, said: list[str]):
    assert colours.changes(form) == said


def test_complaints_are_told_from_what_ffmpeg_and_libraries_say_besides():
    said = FfmpegOutput()
    for line in (
        "[h264 @ 0x55d0c1] [verbose] Reinit context to 320x192",
        "Svt[info]: -------",
        "[in#0/mov,mp4 @ 0x5] [verbose]   Input stream #0:1 (video): 9 packets read (1 bytes); 7 "
        "frames decoded; 2",
        "[in#0/mov,mp4 @ 0x5] [verbose]   Input stream #0:2 (audio): 8 packets read (1 bytes); 6 "
        "frames decoded; 0",
        "[out#0/mp4 @ 0x5] [error] Error writing trailer: No space left on device",
        "CUDA error: out of memory",
    ):
        said.take(line)
    assert (said.decoded, said.heard) == (7, 8)
    assert said.complaints == "Error writing trailer: No space left on device\nCUDA error: out of memory"
