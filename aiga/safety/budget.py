"""A budget that holds with many calls in flight: reserve before a call, commit what it cost, release what is left.

    reserve(asked):  spent + asked            > cap  ->  BudgetExceeded: nobody's release would help
                     spent + reserved + asked > cap  ->  wait in line until reservations are settled
                     else                                reserved += asked
    commit(actual):  reserved -= asked; spent += actual; serve the line

Budgets are a tree (run > system > call), and a reservation holds in each from its budget to the root.  Spending passes
a cap by no more than what calls in flight cost above their reservations: reserve the worst case, and it never does.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import NamedTuple, Self

from aiga.core.errors import BudgetExceeded, UsageError

OPTIONS = {
    "usd": "--budget",
    "tokens": "--budget-tokens",
    "calls": "--budget-calls",
    "evaluations": "--budget-evaluations",
}
"""What is reserved, and the option that sets the run's cap."""
DOLLAR = 10**12
"""Dollars are counted in trillionths, so that three times ten cents are thirty cents."""

Amounts = Mapping[str, int]
"""By kind; dollars in trillionths."""


class Caps(NamedTuple):
    """An amount of all that is counted.  As a cap, None is no cap; of what was spent, None is nothing."""

    usd: float | int | None = None
    tokens: int | None = None
    calls: int | None = None
    """Of foundation models."""
    evaluations: int | None = None
    """Programs in the sandbox."""
    seconds: float | int | None = None
    """Of the clock, since the budget was made."""


NONE = Caps()


class Budget:
    """What may be spent, what was, and what those in flight hold.

    Who holds a reservation must settle it before waiting for another of the same kind: two who do not might wait for
    each other.  For one thread, and for one event loop after the other.

    Args:
        caps: What may be spent, `spent` included.
        parent: The budget that this one is a part of.
        spent: What was spent before.
    """

    def __init__(self, caps: Caps = NONE, parent: "Budget | None" = None, spent: Caps = NONE) -> None:
        self.caps, self.parent = caps, parent
        self.unpriced = 0
        """Calls whose price nobody knows: they count no dollars."""
        self._caps = {kind: _exact(kind, cap) for kind, cap in caps._asdict().items() if cap is not None}
        self._spent = {kind: _exact(kind, getattr(spent, kind) or 0) for kind in OPTIONS}
        self._reserved = dict.fromkeys(OPTIONS, 0)
        self._started = time.monotonic() - (spent.seconds or 0.0)
        self._line: list[_Waiting] = [] if parent is None else parent._line
        self._closed = False

    def child(self, caps: Caps) -> "Budget":
        """A part of this budget with caps of its own."""
        return Budget(caps, self)

    @property
    def path(self) -> tuple["Budget", ...]:
        """This budget, and those that it is a part of up to the root."""
        return (self, *(self.parent.path if self.parent else ()))

    @property
    def seconds(self) -> float:
        """How long this budget has been in use."""
        return time.monotonic() - self._started

    @property
    def spent(self) -> Caps:
        """What this budget and its parts have used."""
        return _told(self._spent, self.seconds)

    @property
    def reserved(self) -> Caps:
        """What those in flight hold."""
        return _told(self._reserved, 0.0)

    async def reserve(self, **amounts: float | int | None) -> "Reservation":
        """Hold amounts until they are committed or released; wait for those in flight if only they stand in the way.

        Args:
            amounts: `usd` (None: nobody knows the price), `tokens`, `calls`, `evaluations`; what is left out is zero.

        Raises:
            BudgetExceeded: A cap is below what was spent and is asked for, or time is up.
        """
        reservation = Reservation(self, _amounts(amounts))
        if (exceeded := reservation.exceeded()) and not self._closed:
            raise exceeded
        waiting = _Waiting(reservation, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        try:
            while not waiting.answer.done():
                self.serve()
                await asyncio.wait([waiting.answer], timeout=self._seconds_left())
        except asyncio.CancelledError:
            self._leave(waiting)
            raise
        if exceeded := waiting.answer.result():
            raise exceeded
        return reservation

    async def settle(self) -> None:
        """Give nothing any more (who asks, waits to be cancelled) until nobody holds anything: the end of a run."""
        for budget in self.path:
            budget._closed = True
        while any(self._reserved.values()):
            await asyncio.sleep(0.01)

    def serve(self) -> None:
        """Answer whoever waits, in order; what is short for one is kept from those behind."""
        if self._closed:
            return
        short: set[tuple[Budget, str]] = set()
        for waiting in tuple(self._line):
            reservation, answer = waiting
            if answer.get_loop().is_closed():
                self._line.remove(waiting)
            elif short.isdisjoint(reservation.wanted):
                exceeded, lacking = reservation.exceeded(), reservation.lacking()
                if lacking and not exceeded:
                    short |= lacking
                    continue
                self._line.remove(waiting)
                answer.set_result(exceeded)
                if not exceeded:
                    reservation.hold()

    def count(self, reserved: Amounts, used: Amounts, unpriced: bool = False) -> None:
        """Add to what is reserved and to what was spent; for reservations."""
        self.unpriced += unpriced
        for kind in OPTIONS:
            self._reserved[kind] += reserved[kind]
            self._spent[kind] += used[kind]

    def passed(self, kind: str, asked: int, others: bool) -> bool:
        """Whether what is asked would pass the cap; counting what `others` hold, or as if they gave all back."""
        held = self._reserved[kind] if others else 0
        return kind in self._caps and self._spent[kind] + held + asked > self._caps[kind]

    def explained(self, kind: str, asked: int) -> BudgetExceeded:
        """The error that says which cap, and how to raise it."""
        if kind == "seconds":
            return BudgetExceeded(f"the {self.caps.seconds:g} seconds of the budget are over.")
        cap, spent, reserved, wanted = (
            _words(kind, amount) for amount in (self._caps[kind], self._spent[kind], self._reserved[kind], asked)
        )
        advice = "this is the cap of a part of the run" if self.parent else f"raise it with {OPTIONS[kind]}"
        return BudgetExceeded(
            f"the budget of {cap} does not allow {wanted} more: {spent} spent, {reserved} reserved by others; {advice}."
        )

    def _leave(self, waiting: "_Waiting") -> None:
        """Forget someone who was cancelled, perhaps between the answer and its taking."""
        if waiting in self._line:
            self._line.remove(waiting)
            self.serve()
        waiting.reservation.release()

    def _seconds_left(self) -> float | int | None:
        """Until the first cap on time is reached; None: there is none."""
        left = [budget.caps.seconds - budget.seconds for budget in self.path if budget.caps.seconds is not None]
        return max(0.0, min(left)) if left and not self._closed else None


class Reservation:
    """Amounts that are held in a budget and in all that it is a part of; as a context, to its end at most."""

    def __init__(self, budget: Budget, asked: Amounts) -> None:
        self.path, self.asked = budget.path, asked
        self.wanted = {(budget, kind) for budget in self.path for kind in OPTIONS if asked[kind]}
        """What it may have to wait for."""
        self._held = False

    def commit(self, **actual: float | int | None) -> None:
        """Say what was used in the end, more or less than was reserved; `usd` None: nobody knows the price."""
        assert self._held, "a reservation is settled once"
        self._settle(_amounts(actual), unpriced=actual.get("usd", 0.0) is None)

    def release(self) -> None:
        """Give back what is held; nothing was used."""
        if self._held:
            self._settle(dict.fromkeys(OPTIONS, 0))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def hold(self) -> None:
        """Count as reserved."""
        self._held = True
        for budget in self.path:
            budget.count(self.asked, dict.fromkeys(OPTIONS, 0))

    def exceeded(self) -> BudgetExceeded | None:
        """Why it can never hold, if so."""
        for budget in self.path:
            for kind, amount in self.asked.items():
                if budget.passed(kind, amount, others=False):
                    return budget.explained(kind, amount)
            if budget.caps.seconds is not None and budget.seconds >= budget.caps.seconds:
                return budget.explained("seconds", 0)
        return None

    def lacking(self) -> set[tuple[Budget, str]]:
        """Where there is not enough while others hold what they do."""
        return {(budget, kind) for budget, kind in self.wanted if budget.passed(kind, self.asked[kind], others=True)}

    def _settle(self, used: Amounts, unpriced: bool = False) -> None:
        self._held = False
        for budget in self.path:
            budget.count({kind: -amount for kind, amount in self.asked.items()}, used, unpriced)
        self.path[0].serve()


class _Waiting(NamedTuple):
    """Someone in the line."""

    reservation: Reservation
    answer: asyncio.Future[BudgetExceeded | None]
    """None: the reservation holds."""


def _amounts(given: Mapping[str, float | int | None]) -> Amounts:
    assert given.keys() <= OPTIONS.keys(), f"{', '.join(given)}: there are only {', '.join(OPTIONS)}"
    return {kind: _exact(kind, given.get(kind) or 0) for kind in OPTIONS}


def _told(amounts: Amounts, seconds: float) -> Caps:
    return Caps(amounts["usd"] / DOLLAR, amounts["tokens"], amounts["calls"], amounts["evaluations"], seconds)


def _exact(kind: str, amount: float | int) -> int:
    if not (math.isfinite(amount) and amount >= 0):
        raise UsageError(f"{amount!r} is no amount of {kind}: give a number of zero or more.")
    return round(amount * DOLLAR) if kind == "usd" else math.ceil(amount)


def _words(kind: str, amount: int) -> str:
    return f"${amount / DOLLAR:,.10g}" if kind == "usd" else f"{amount:,} {kind}"
