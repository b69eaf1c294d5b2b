"""What is said while something takes long: nothing of what is over at once, and nothing that stays on a
terminal.
"""

from __future__ import annotations

import io

from conductor.base.progress import Progress


class ProgressTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Hours:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_over_within_a_second_says_nothing():
    out, hours = io.StringIO(), Hours()
    with Progress(out, hours) as progress:
        tell = progress.of("dispatching", "job")
        for done in range(10):
            hours.now += 0.09
            tell(done, 10)
    assert out.getvalue() == ""


def test_in_a_pipe_a_line_is_said_every_five_seconds():
    out, hours = io.StringIO(), Hours()
    with Progress(out, hours) as progress:
        for _ in range(20):
            hours.now += 0.6
            progress.counted("checking", "line")(1000)
        progress.of("dispatching", "job")(500, 1000)
    said = out.getvalue().splitlines()
    assert said == [
        "checking: 1,000 lines, 1.2 s",
        "checking: 1,000 lines, 6.6 s",
        "checking: 1,000 lines, 12 s",
    ]


def test_on_a_terminal_the_line_stands_still_and_is_wiped_at_the_end():
    out, hours = ProgressTerminal(), Hours()
    with Progress(out, hours) as progress:
        hours.now += 2
        progress.of("dispatching", "job")(500, 1000)
        hours.now += 1
        progress.of("dispatching", "job")(750, 1000)
    parts = out.getvalue().split("\r")
    assert parts[0] == "dispatching: 500 of 1000 (50%), 2.0 s"
    assert parts[2] == "dispatching: 750 of 1000 (75%), 3.0 s"
    assert parts[-1] == ""
    assert parts[-2].strip() == ""
    assert "\n" not in out.getvalue()
