"""Reason → sentence: none is missing, and none needs more than its verdict."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from conductor.core.admission.sentences import SENTENCES, words_of
from conductor.model.decision import Gate, Verdict
from conductor.model.reason import NEVER, PASSING, Detail, Reason

ROOT = Path(__file__).parents[4]
#: Their numbers say all, unless others use something.
WORDLESS = {Reason.OPEN, Reason.NO_ROOM, Reason.CROWDED_OUT, Reason.HELD_BACK, Reason.ROOT_FAULTY}


def test_every_reason_has_its_sentence() -> None:
    assert set(SENTENCES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_sentence_is_made_of_what_the_verdict_has(reason: Reason) -> None:
    bare = Verdict(gate="hold", passed=reason in PASSING, reason=reason)

    assert bool(words_of(bare)) is (reason not in WORDLESS)
    assert "None" not in words_of(bare).replace("of the None lane", "").replace(": None:", "")


@pytest.mark.parametrize(
    ("gate", "words"),
    [("vram", "2.0 GiB used by others"), ("scratch", "2.0 KiB taken by files that lie there")],
)
def test_what_others_use_is_said_in_the_gates_own_words(gate: Gate, words: str) -> None:
    unit = "MiB" if gate == "vram" else "bytes"
    crowded = Verdict(gate=gate, passed=False, reason=Reason.NO_ROOM, unit=unit, detail=Detail(others=2048))

    assert words_of(crowded) == words


def test_what_is_never_open_is_not_open() -> None:
    assert not NEVER & PASSING


def test_words_are_made_where_the_table_is_and_nobody_reads_them() -> None:
    """The core decides and knows no word: of its modules only `explain` puts sentences together, and the
    rules of alerts, whose finding is a sentence.
    """
    users = {
        path.stem
        for path in (ROOT / "conductor" / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.endswith(".sentences")
    }
    assert users == {"explain", "rules_of_work"}


@pytest.mark.parametrize(("have", "words"), [(5.0, "and with room what"), (20.0, "it fits, but then what")])
def test_who_would_not_fit_is_not_said_to(have: float, words: str) -> None:
    unsafe = Verdict(gate="scratch", passed=False, reason=Reason.CHAIN_UNSAFE, need=20.0, have=have)

    assert words_of(unsafe).startswith(words)
