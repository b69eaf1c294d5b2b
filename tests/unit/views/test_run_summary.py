"""The pace and the account of a run: rates, the time that is left, the seconds each gate held."""

import io

from builders import NOW, a_reservation

from conductor.analysis.forecast.text import ForecastEnd
from conductor.model.decision import Hold, Verdict
from conductor.model.reason import Reason
from conductor.views import live_display
from conductor.views.run_summary import Account, DeadJobs, Pace, lines
from conductor.views.status import Status


def a_hold(*gates: str, waiting: int = 2) -> Hold:
    verdicts = tuple(
        Verdict(
            gate=gate, passed=False, reason=Reason.NO_ROOM, where="n1", need=2, have=1, limit=4, unit="cores"
        )  # type: ignore[arg-type]
        for gate in gates
    )
    return Hold(class_id="c", backlog="b", task="media.cut", lane="cpu", waiting=waiting, verdicts=verdicts)


def a_status(at: float, done: int = 0, waiting: int = 0, **more: object) -> Status:
    end = ForecastEnd(words="nobody can say yet when it is done")
    return Status(now=NOW + at, backlogs={"b": {"done": done, "waiting": waiting}}, end=end, **more)  # type: ignore[arg-type]


def test_the_account_says_what_the_gate_ledger_counted_during_the_run():
    pace = Pace(a_status(0, lost_s={"cpu": 10.0, "vram": 2.0}))
    pace.add(a_status(3, holds=(a_hold("cpu"),), lost_s={"cpu": 13.0, "vram": 2.0}))
    pace.add(a_status(4, lost_s={"cpu": 13.0, "lane": 1.0, "vram": 2.0}))

    assert pace.account().held_s_by_gate == {"lane": 1.0, "cpu": 3.0}


def test_a_gate_ledger_that_was_emptied_during_the_run_counts_from_nothing():
    pace = Pace(a_status(0, lost_s={"cpu": 10.0}))
    pace.add(a_status(3, lost_s={"cpu": 4.0}))

    assert pace.account().held_s_by_gate == {"cpu": 4.0}


def test_the_rate_is_that_of_the_last_half_minute():
    pace = Pace(a_status(0, done=0, waiting=100))
    for second in range(1, 61):
        # Slow for half a minute, then two a second.
        done = 0 if second <= 30 else 2 * (second - 30)
        pace.add(a_status(second, done=done, waiting=100 - done))

    assert pace.per_s == 2.0
    assert live_display.speed(pace) == "2.0 jobs/s, nobody can say yet when it is done"


def test_while_nothing_has_ended_nobody_knows_how_long_it_takes():
    pace = Pace(a_status(0, waiting=5))
    pace.add(a_status(2, waiting=5))

    assert live_display.one_line(pace) == "0 of 5 done, 5 waiting; nobody can say yet when it is done"


def test_one_line_for_a_pipe():
    pace = Pace(a_status(0, done=0, waiting=4))
    pace.add(a_status(2, done=1, waiting=3, holds=(a_hold("vram", "lane"),)))

    assert live_display.one_line(pace) == (
        "1 of 4 done, 3 waiting; 30.0 jobs/min, nobody can say yet when it is done; held by lane, vram"
    )


def test_the_account_is_of_this_run():
    pace = Pace(a_status(0, done=7, waiting=3))
    pace.add(a_status(2, done=10))

    account = pace.account()

    assert (account.done, account.left, account.seconds) == (3, 0, 2.0)
    assert lines(account) == ["3 done in 2.0 s", "no gate held anything back"]


def test_the_account_names_the_dead_and_what_can_never_run():
    dead = DeadJobs(
        job_id="abcdefghij",
        task="media.probe",
        cause="bad_input",
        message="a\nb is cut off",
        file="clip7.mp4",
    )
    account = Account(
        seconds=200,
        done=3,
        dead=2,
        left=1,
        causes={"bad_input": 1, "dependency_dead": 1},
        obituaries=(dead,),
        never=("1 job of x: too big",),
        held_s_by_gate={"vram": 61.0},
    )

    assert lines(account) == [
        "3 done, 2 dead, 1 left in 3 min 20 s",
        "dead, by cause: 1 bad_input; and 1 dependency_dead, behind these",
        "  media.probe · clip7.mp4 (abcdefgh): bad_input: a\\nb is cut off",
        "can never run here: 1 job of x: too big",
        "held back, by gate: vram 1 min 01 s",
    ]


def test_a_run_that_nothing_of_can_run_does_not_say_that_no_gate_held_it():
    account = Account(seconds=2, done=0, dead=0, left=1, stranded=("1 job waits for b of backlog:x",))

    assert lines(account) == ["0 done, 1 left in 2.0 s", "1 job waits for b of backlog:x"]


def test_the_live_view_says_what_runs_where_and_what_is_held():
    from rich.console import Console

    runs = a_reservation("job-00000001", vram_mib=4096, progress=0.5, note="pass 1\nof 2")
    pace = Pace(a_status(0, waiting=9))
    pace.add(
        a_status(
            1, done=1, waiting=8, active=(runs,), holds=(a_hold("cpu", waiting=8),), notes=("look\x1b here",)
        )
    )
    console = Console(width=120, record=True, file=io.StringIO())

    console.print(live_display.render(pace, "rq-dashboard: http://127.0.0.1:1/"))
    text = console.export_text()

    assert "8 waiting" in text
    assert "1 done" in text
    assert "node1/gpu0" in text
    assert "50% pass 1\\nof 2" in text
    assert "? of 4096 MiB" in text
    assert "held: 8 jobs of media.cut: cpu needs 2 cores, n1 has 1 cores free" in text
    assert "note: look\\x1b here" in text
    assert "http://127.0.0.1:1/" in text
