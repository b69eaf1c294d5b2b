"""Hashed n-grams: near is what shares words, and the same text is the same vector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ads import vector_index
from workers.ads.embedding import DIMENSIONS, hashed


def test_what_shares_words_or_their_parts_lies_nearer():
    shoes, running, tax = hashed(["Running shoes, 20 % off", "shoes for runners", "File your tax return"])
    assert shoes @ running > 0.3 > shoes @ tax


def test_case_accents_and_forms_make_no_difference():
    one, other = hashed(["Café ﬁne", "CAFE\u0301 fine"])
    assert np.array_equal(one, other)


def test_the_vector_of_a_text_is_kept_from_version_to_version():
    (row,) = hashed(["shoes"])
    assert [int(n) for n in np.flatnonzero(row)[:4]] == [16, 57, 174, 180]


@given(st.lists(st.text("abé靴ﬁ \0\u0301-_9\ud800", max_size=50), max_size=5))
def test_each_has_length_one_or_no_word(texts: list[str]):
    found = hashed(texts)
    assert found.shape == (len(texts), DIMENSIONS)
    for text, length in zip(texts, np.linalg.norm(found, axis=1), strict=True):
        assert abs(length - 1) < 1e-5 or length == 0, text


@given(
    texts=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("abcd ", max_size=20), max_size=25),
    question=st.text("abcd", min_size=1, max_size=8),
    at_once=st.integers(1, 9),
    count=st.integers(1, 9),
)
def test_the_nearest_are_those_of_all_compared(
    texts: dict[str, str], question: str, at_once: int, count: int
):
    names = sorted(texts)
    vectors, asked = hashed([texts[name] for name in names]), hashed([question])[0]
    rows = [(name, texts[name], row.tobytes()) for name, row in zip(names, vectors, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_index, "AT_ONCE", at_once)
        found = vector_index.nearest([*rows, ("short", "of another length", b"\0" * 8)], asked, count)

    exact = sorted(((-float(row @ asked), name) for name, row in zip(names, vectors, strict=True)))[:count]
    assert [each.score for each in found] == pytest.approx([-score for score, _ in exact], abs=1e-6)
    assert {each.creative for each in found} <= set(names) and len(found) == min(count, len(names))
