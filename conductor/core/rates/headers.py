"""What servers say of their budgets, brought to our window, and what others use of them beside us. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from conductor.model.calls import Budget

#: A reset further away than so many windows tells of another budget (a day's): it says nothing of ours.
LONGER = 1.5


def is_of_window(budget: Budget, window_s: float) -> bool:
    if budget.window_s is not None:
        return budget.window_s <= window_s * LONGER
    return budget.resets_in_s is None or budget.resets_in_s <= window_s * LONGER


def per_window(budgets: Iterable[Budget], window_s: float) -> int | None:
    """The limit the last of them says, for a window of ours; None: none of them says one."""
    said = None
    for budget in budgets:
        if budget.limit is not None and is_of_window(budget, window_s):
            said = max(1, int(budget.limit * window_s / (budget.window_s or window_s)))
    return said


def elsewhere(budget: Budget, used: int, window_s: float) -> tuple[int, float] | None:
    """(how much more is used than by us, for how long that stands), told by what remains. None: it does not
    say.

    `used`: ours in the window. A budget of another window counts only where nothing remains of it.
    """
    if budget.remaining is None:
        return None
    for_s = window_s if budget.resets_in_s is None else budget.resets_in_s
    if not is_of_window(budget, window_s):
        return (0, 0.0) if budget.remaining else (2**31, for_s)
    if budget.limit is None:
        return (2**31, for_s) if budget.remaining == 0 else (0, 0.0)
    limit = per_window((budget,), window_s) or budget.limit
    return max(0, limit - budget.remaining - used), for_s
