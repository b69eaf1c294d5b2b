"""One line of `conductor doctor`: what was looked at, what was found, what to do about it."""

from __future__ import annotations

from typing import Literal

from conductor.model.spec import Value


class DoctorFinding(Value, frozen=True, kw_only=True):
    #: «ok», «-- » (works, with less), «BAD» (to be put right).
    mark: Literal["ok ", "-- ", "BAD"]
    what: str
    words: str
    advice: str = ""


def ok(what: str, words: str) -> DoctorFinding:
    return DoctorFinding(mark="ok ", what=what, words=words)


def less(what: str, words: str, advice: str = "") -> DoctorFinding:
    return DoctorFinding(mark="-- ", what=what, words=words, advice=advice)


def bad(what: str, words: str, advice: str) -> DoctorFinding:
    return DoctorFinding(mark="BAD", what=what, words=words, advice=advice)
