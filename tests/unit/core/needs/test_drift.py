"""What changed is named, with both figures; what only varies, or is of another size, is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learned_scene import CODE, OLD, a_receipt

from conductor.core.needs.drift import Drift, drifts, rank_z, sentence
from conductor.core.needs.samples import Memory
from conductor.model.receipt import Receipt


def found(receipts: Sequence[Receipt]) -> list[Drift]:
    memory = Memory()
    for receipt in receipts:
        memory.learn(receipt)
    return drifts("media.cut", list(memory.rings("media.cut")), CODE)


def of_code(code: str, first: int, vram: Sequence[int], size: float = 0.0) -> list[Receipt]:
    return [a_receipt(first + n, vram=v, code_version=code, size=size) for n, v in enumerate(vram)]


def test_other_code_that_takes_more_is_named_with_both_figures():
    old, new = (
        of_code(OLD, 0, [6000, 6100, 6200, 6246, 5900, 6050]),
        of_code(CODE, 50, [8300, 8602, 8400, 8500, 8450]),
    )

    (drift,) = found([*old, *new])

    assert (
        sentence(drift) == "media.cut: VRAM p95 6.1 GiB → 8.4 GiB since code new (6 receipts before, 5 since)"
    )


def test_less_is_drift_too_and_so_is_a_change_without_other_code():
    less = found([*of_code(OLD, 0, [6000] * 6), *of_code(CODE, 50, [3000] * 6)])
    lately = found(of_code(CODE, 0, [*(1000 + n for n in range(20)), *(2000 + n for n in range(10))]))

    assert [(d.before, d.after, d.code) for d in less] == [(6000, 3000, CODE)]
    assert sentence(lately[0]).endswith("lately, with the same code (20 receipts before, 10 since)")


@pytest.mark.parametrize(
    "receipts",
    [
        of_code(CODE, 0, [1000 + 7 * (n % 13) for n in range(40)]),
        [*of_code(OLD, 0, [6000] * 30), *of_code(CODE, 50, [6300] * 30)],
        [*of_code(OLD, 0, [1000] * 30), *of_code(CODE, 50, [9000] * 4)],
        [*of_code(OLD, 0, [1000] * 9, size=10.0), *of_code(CODE, 50, [9000] * 9, size=90.0)],
        [*of_code(CODE, 0, [1000] * 30), *of_code(CODE, 50, [1000, 1000, 9000])],
    ],
    ids=["only varies", "less than a tenth", "too few", "another size", "one wild value"],
)
def test_what_is_no_change_is_not_named(receipts: list[Receipt]):
    assert found(receipts) == []


def test_sizes_are_held_against_their_own_kind():
    old = [
        r for size in (10.0, 20.0, 40.0) for r in of_code(OLD, int(size) * 10, [int(100 * size)] * 3, size)
    ]
    new = [
        r for size in (10.0, 20.0, 40.0) for r in of_code(CODE, 1000 + int(size), [int(150 * size)] * 3, size)
    ]

    assert [d.code for d in found([*old, *new])] == [CODE]


values = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=15)


@given(values, values)
def test_ranks_answer_alike_from_both_sides(a: list[float], b: list[float]):
    assert rank_z(a, b) == pytest.approx(-rank_z(b, a))
