"""What is asked for because of what was measured: up at once, down with care, never below a floor."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from builders import a_class
from learned_scene import OLD, a_receipt, learned, of_size, out_of_vram

from conductor.core.needs.estimates import ALONE_MIB, LearnedEstimate
from conductor.core.needs.evidence import ENOUGH
from conductor.core.needs.samples import KEPT, RINGS, Memory, quantile, sample_of, usual
from conductor.model.receipt import Receipt
from conductor.model.snapshot import JobClass
from conductor.model.spec import Needs, RateNeed


def vram(receipts: Sequence[Receipt], c: JobClass | None = None, **more: Any) -> LearnedEstimate:
    return learned(receipts, **more).need(c or of_size(), "vram_mib")


def test_without_receipts_the_declared_is_asked():
    found = vram([])

    assert (found.uses, found.why, found.samples) == (4096, "as declared", ())


def test_one_that_took_more_than_declared_is_enough_to_ask_more():
    found = vram([a_receipt(1, vram=6000)])

    assert found.uses == 7552  # 6000 × 1.25 in steps of 64
    assert found.why == "p95 × 1.25 of 1 receipt: more than declared"


def test_less_is_asked_only_after_twenty_clean_receipts():
    samples = [a_receipt(n, vram=1000) for n in range(ENOUGH)]

    assert vram(samples[:-1]).uses == 4096
    assert vram(samples).uses == 1280
    assert vram(samples, lower_after=0).uses == 4096


def test_what_the_largest_took_is_asked_where_it_is_more_than_the_margin_gives():
    samples = [a_receipt(n, vram=1000) for n in range(39)] + [a_receipt(40, vram=3000)]

    assert vram(samples).uses == 3008


@pytest.mark.parametrize("usual_mib", [3000, 5000])
@pytest.mark.parametrize("count", [2, 10, 30])
def test_one_wild_sample_does_not_set_what_all_later_ones_are_asked(usual_mib: int, count: int):
    calm = [a_receipt(n, vram=usual_mib) for n in range(count)]
    wild = a_receipt(50, vram=20 * usual_mib)

    found = vram([*calm, wild], lower_after=0)

    assert found.uses == vram(calm, lower_after=0).uses
    assert "without one that took " in found.why
    # A second one like it is no slip.
    assert vram([*calm[:15], wild, a_receipt(51, vram=20 * usual_mib)], lower_after=0).uses > 20 * usual_mib


def test_nor_does_one_that_ran_out_of_it_far_beyond_all_others():
    calm = [a_receipt(n, vram=3000) for n in range(10)]
    assert vram([*calm, out_of_vram(50, vram=20_000)]).uses == 4096


def test_never_below_the_floor_of_the_task():
    found = vram([a_receipt(n, vram=1000) for n in range(ENOUGH)], floor=Needs(vram_mib=3000))

    assert (found.uses, found.why) == (3000, "p95 × 1.25 of 20 receipts; its floor: less than declared")


def test_attempts_too_short_to_be_measured_lower_nothing():
    short = [a_receipt(n, vram=10, seconds=1.0) for n in range(KEPT)]

    assert vram(short).uses == 4096
    # one in 65 is not the 95th percentile
    assert vram([*short, a_receipt(99, vram=5000, seconds=1.0)]).uses == 4096
    assert vram([a_receipt(n, vram=5000, seconds=1.0) for n in range(5)]).uses > 4096


def test_an_out_of_memory_raises_what_the_whole_kind_asks():
    found = vram([*(a_receipt(n, vram=3900) for n in range(10)), out_of_vram(11, vram=4000)])

    assert found.uses == 5120  # it had 4096, and that was not enough
    assert "1 of which ran out of it" in found.why


def test_an_out_of_memory_below_the_declared_ends_the_lowering():
    clean = [a_receipt(n, vram=1000) for n in range(ENOUGH)]

    assert vram([*clean, out_of_vram(50, vram=1200, reserved=1280)]).uses == 4096
    assert vram([*clean, out_of_vram(50, vram=1200, reserved=1280, code_version=OLD)]).uses == 1280


def test_an_out_of_memory_is_forgotten_once_enough_succeeded_since():
    later = [a_receipt(n, vram=4000) for n in range(2, 2 + ENOUGH)]

    assert vram([out_of_vram(1, vram=4000), *later[:-1]]).uses == 5120
    assert vram([out_of_vram(1, vram=4000), *later]).uses == 4096


def test_a_larger_job_needs_no_less_than_a_smaller_one_that_ran_out():
    receipts = [out_of_vram(1, vram=4000, size=100.0)]

    assert vram(receipts, of_size(800.0)).uses == 5120
    assert vram(receipts, of_size(50.0)).uses == 4096


def test_nearby_sizes_count_for_less_only_scaled_up_and_far_ones_not_at_all():
    smaller = [a_receipt(n, vram=1000, size=100.0) for n in range(ENOUGH)]

    assert vram(smaller, of_size(200.0)).uses == 2560  # 1000 × 2 × 1.25, in steps of 64
    assert vram(smaller, of_size(50.0)).uses == 1280
    assert vram(smaller, of_size(400.0)).uses == 4096


def test_what_smaller_ones_exceed_larger_ones_are_asked_too():
    assert vram([a_receipt(1, vram=6000, size=100.0)], of_size(150.0)).uses == 7552
    assert vram([a_receipt(1, vram=6000, size=100.0)], of_size(80.0)).uses == 4096


def test_older_code_is_a_prior_until_there_is_enough_of_the_present():
    old = [a_receipt(n, vram=8000, code_version=OLD) for n in range(30)]
    new = [a_receipt(100 + n, vram=1000) for n in range(ENOUGH)]

    assert vram(old).uses == 10048
    assert vram([*old, *new[:-1]]).uses == 10048
    assert vram([*old, *new]).uses == 1280


def test_older_code_lowers_nothing():
    assert vram([a_receipt(n, vram=1000, code_version=OLD) for n in range(KEPT)]).uses == 4096


def test_a_request_does_not_learn_from_another_of_its_kind():
    assert vram([a_receipt(1, vram=20000, needs=Needs(vram_mib=20000))]).uses == 4096


def test_parameters_set_kinds_apart():
    other = [a_receipt(1, vram=9000, kind="media.cut:3fa9c1d2")]

    assert vram(other).uses == 4096
    assert vram(other, of_size(kind="media.cut:3fa9c1d2")).uses == 11264


def test_a_gpu_task_that_declares_no_vram_is_alone_until_it_was_measured():
    c = of_size(vram_mib=0)
    asks_none = Needs()

    assert vram([], c).uses == ALONE_MIB
    assert vram([a_receipt(1, vram=900, needs=asks_none)], c).uses == 1152
    assert vram([a_receipt(1, vram=0, needs=asks_none)], c).uses == 0
    # sent to the gpu lane by its line, as one that waits for a server
    assert vram([], c, lane="cpu").uses == 0


def test_memory_every_worker_has_is_not_asked_where_none_was_declared():
    receipts = [a_receipt(1, rss=200), a_receipt(2, rss=240)]

    assert learned(receipts).need(of_size(), "ram_mib").uses == 0
    assert learned([*receipts, a_receipt(3, rss=700)]).need(of_size(), "ram_mib").uses == 896


def test_scratch_is_learned_with_the_outputs_and_asked_without_them():
    mib = 1 << 20
    receipts = [a_receipt(n, scratch=500 * mib, writes_bytes=100 * mib) for n in range(3)]
    c = of_size(writes={"scratch": 100 * mib})

    taught = learned(receipts).taught(c)

    assert taught.is_more
    assert taught.job_class.needs.scratch_bytes == 525 * mib  # 500 × 1.25 − 100
    assert taught.job_class.writes == c.writes


def test_the_class_keeps_its_id_and_takes_needs_and_duration():
    c = of_size()
    taught = learned([a_receipt(n, vram=1000) for n in range(ENOUGH)]).taught(c)

    assert (taught.job_class.id, taught.job_class.needs.vram_mib, taught.is_more) == (c.id, 1280, False)
    assert taught.job_class.duration_s == pytest.approx(5.0)


def test_switched_off_nothing_is_learned():
    c = of_size(duration_s=9.0)

    assert learned([a_receipt(1, vram=9000)], is_on=False).taught(c).job_class == c


# ── duration, tokens ──────────────────────────────────────────────────────────────────────────────────────


def test_the_duration_is_the_usual_one_of_the_present_code():
    receipts = [a_receipt(n, seconds=100.0, code_version=OLD) for n in range(5)]
    new = [a_receipt(10 + n, seconds=float(s)) for n, s in enumerate((10, 12, 14))]

    assert learned([*receipts, *new[:1]]).duration_s(of_size()) > 80
    assert learned([*receipts, *new]).duration_s(of_size()) == pytest.approx(12.0)


def test_a_night_in_which_the_laptop_slept_does_not_become_the_duration():
    receipts = [*(a_receipt(n, seconds=10.0) for n in range(9)), a_receipt(9, seconds=30_000.0)]

    assert learned(receipts).duration_s(of_size()) == pytest.approx(12.0)


def test_an_unseen_size_takes_its_duration_from_a_line_through_the_others():
    sizes = [float(x) for x in (10, 20, 40, 80) for _ in range(5)]
    receipts = [a_receipt(n, size=x, seconds=2.0 + x / 10) for n, x in enumerate(sizes)]

    found = learned(receipts).duration(of_size(60.0))

    assert (found.uses, found.why) == (pytest.approx(8.0), "by size, from 20 receipts")
    wild = [*receipts, a_receipt(99, size=30.0, seconds=900.0)]
    assert learned(wild).duration_s(of_size(60.0)) == pytest.approx(8.0, rel=0.1)


def test_the_first_of_a_size_in_a_cold_worker_is_not_the_duration_of_the_size():
    sizes = [float(x) for x in (10, 20, 40, 80) for _ in range(5)]
    receipts = [a_receipt(n, size=x, seconds=2.0 + x / 10) for n, x in enumerate(sizes)]
    receipts.append(a_receipt(50, size=60.0, seconds=16.0))

    assert learned(receipts).duration_s(of_size(60.0)) == pytest.approx(8.0, rel=0.1)
    assert learned([*receipts, *(a_receipt(60 + n, size=60.0, seconds=8.0) for n in range(7))]).duration_s(
        of_size(60.0)
    ) == pytest.approx(9.0)


def test_a_planned_duration_stands_for_a_size_that_is_not_known():
    receipts = [a_receipt(n, duration_s=d, seconds=2 * d) for n, d in enumerate((1.0, 4.0, 9.0))]

    assert learned(receipts).duration_s(of_size(duration_s=6.0)) == pytest.approx(12.0)
    assert learned([]).duration_s(of_size(duration_s=6.0)) == 6.0


def test_tokens_are_what_similar_jobs_used():
    c = a_class("cloud", task="llm.annotate", rates={"api": (1, 4096)}, size=100.0)
    receipts = [
        a_receipt(
            n,
            task="llm.annotate",
            needs=Needs(),
            size=100.0,
            result={"tokens": {"prompt": 500, "completion": n}},
        )
        for n in (100, 200, 300)
    ]

    assert learned(receipts).taught(c).job_class.needs.rates == {"api": RateNeed(requests=1, tokens=700)}


# ── samples ───────────────────────────────────────────────────────────────────────────────────────────────


def test_failures_teach_only_where_they_ran_out_of_memory():
    causes = ("task_error", "no_space", "timeout", "worker_lost", "cuda_oom", "host_oom")

    taught = [cause for cause in causes if sample_of(a_receipt(1, outcome="failed", cause=cause))]

    assert taught == ["cuda_oom", "host_oom"]
    assert sample_of(a_receipt(1, outcome="superseded")) is None


def test_a_receipt_read_twice_counts_once_and_the_last_ones_are_kept():
    memory = Memory()
    for n in [*range(KEPT + 10), *range(KEPT + 10)]:
        memory.learn(a_receipt(n, vram=n))
    (ring,) = memory.rings()

    assert [s.vram_mib for s in ring.samples] == list(range(10, KEPT + 10))


def test_only_so_many_rings_are_remembered():
    memory = Memory()
    for n in range(RINGS + 5):
        memory.learn(a_receipt(n, size=float(n + 1)))

    assert len(list(memory.rings())) == RINGS
    assert next(iter(memory.rings())).size == 6.0


def test_quantiles_are_those_of_the_text_book():
    import numpy as np

    for n in range(1, 130):
        values = [float((i * 7919) % 101) for i in range(n)]
        for share in (0.5, 0.95):
            assert quantile(values, share) == float(np.quantile(values, share, method="inverted_cdf")), (
                n,
                share,
            )
    assert quantile(range(1, 20), 0.95) == 19
    assert quantile(range(1, 21), 0.95) == 19


def test_usual_is_the_mean_where_nothing_is_odd():
    assert usual([8.0, 10.0, 12.0]) == statistics.mean([8.0, 10.0, 12.0])
