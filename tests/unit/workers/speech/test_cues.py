"""Captions out of words: readable, in order, and in time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.speech.cues import Cue, CueLimits, Word, cues, of_tokens, spread


def test_a_caption_ends_with_its_sentence_and_with_a_pause():
    words = [
        *spread("It began on a quiet evening.", 0.0, 2.0),
        *spread("Nobody was there", 2.05, 3.5),
        *spread("to see it", 5.0, 5.6),
    ]

    made = cues(words, CueLimits(), 10.0)

    assert [cue.text for cue in made] == ["It began on a quiet evening.", "Nobody was there", "to see it"]
    assert [(cue.start_s, cue.end_s) for cue in made] == [(0.0, 2.0), (2.05, 3.5), (5.0, 6.0)]


def test_lines_are_of_about_one_length():
    made = cues(spread("one two three four five six seven eight nine ten", 0.0, 4.0), CueLimits(), 4.0)

    assert [cue.text for cue in made] == ["one two three four five\nsix seven eight nine ten"]


WORDS = st.lists(
    st.tuples(st.text("abc.!", min_size=1, max_size=60), st.floats(0.02, 3.0), st.floats(0.0, 2.0)),
    max_size=40,
)


@given(WORDS, st.integers(8, 60), st.floats(0.5, 9.0))
def test_captions_hold_every_word_once_and_never_overlap(
    drawn: list[tuple[str, float, float]], chars: int, most: float
):
    words, at_s = list[Word](), 0.0
    for text, lasts_s, pause_s in drawn:
        words.append(Word(text, at_s, at_s + lasts_s))
        at_s += lasts_s + pause_s

    made = cues(words, CueLimits(chars=chars, seconds=most), at_s + 1)

    assert "".join("".join(cue.text for cue in made).split()) == "".join(word.text for word in words)
    starts = {word.start_s for word in words}
    assert all(cue.start_s in starts and cue.start_s < cue.end_s <= at_s + 1 for cue in made)
    assert all(before.end_s <= after.start_s for before, after in pairwise(made))
    assert all(len(line) <= chars for cue in made for line in cue.text.split("\n"))


def test_pieces_of_words_become_words_and_signs_without_spaces_stay_together():
    western = of_tokens([" he", "llo", " ", "you"], [0.1, 0.3, 0.6, 0.7], 1.5)
    chinese = of_tokens(["你", "好", " ok"], [0.0, 0.2, 0.5], 1.0)

    assert western == [Word("hello", 0.1, 0.6), Word("you", 0.7, 1.0)]
    assert cues(chinese, CueLimits(), 2.0) == [Cue(0.0, 1.0, "你好 ok")]


def test_a_recogniser_without_times_gives_each_word_its_share():
    assert spread("a bcd", 1.0, 4.0) == [Word("a", 1.0, 2.0), Word("bcd", 2.0, 4.0)]
    assert spread("", 0.0, 1.0) == []
