"""Words and numbers for people."""

import pytest

from conductor.base.text import duration, many, printable, size, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü name.mp4", "plain ü name.mp4"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("right\u202eto left", "right\\u202eto left"),
        ("not utf-8 \udcff", "not utf-8 \\udcff"),
    ],
)
def test_a_name_stays_on_its_line(text: str, shown: str):
    assert printable(text) == shown
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.97, "10 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_a_duration_has_the_unit_a_person_would_use(seconds: float, shown: str):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (512, "512 B"), (3_565_158, "3.4 MiB"), (1 << 31, "2.0 GiB"), (1 << 50, "1024.0 TiB")],
)
def test_a_size_has_the_unit_a_person_would_use(count: int, shown: str):
    assert size(count) == shown


def test_one_is_not_many():
    assert (many(1, "job"), many(0, "job"), many(3, "job")) == ("1 job", "0 jobs", "3 jobs")


def test_a_table_aligns_numbers_right_and_cannot_be_broken_by_a_name():
    assert table([["lane", 5], ["a\nb", 12]], indent="") == ["lane   5", "a\\nb  12"]
    assert table([]) == []
