"""Hashed n-grams: near is what shares words, and the same text is the same vector."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.text(max_size=50), max_size=5))
def test_each_has_length_one_or_no_word(texts: list[str]):
    found = hashed(texts)
    assert found.shape == (len(texts), DIMENSIONS)
    for text, length in zip(texts, np.linalg.norm(found, axis=1), strict=True):
        assert abs(length - 1) < 1e-5 or length == 0, text
