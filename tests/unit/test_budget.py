"""A budget that holds with many calls in flight."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiga.core.errors import BudgetExceeded, UsageError
from aiga.safety.budget import Budget, Caps


async def turns(n=5):
    """Let every other task go as far as it can."""
    for _ in range(n):
        await asyncio.sleep(0)


async def start(budget, **amounts):
    """A task that reserves, after it went as far as it can."""
    task = asyncio.ensure_future(budget.reserve(**amounts))
    await turns()
    return task


def test_a_reservation_holds_until_it_is_committed_and_then_what_was_used_is_spent():
    async def go():
        budget = Budget(Caps(usd=1.0))
        reservation = await budget.reserve(usd=0.5, tokens=100, calls=1)
        assert budget.reserved == Caps(0.5, 100, 1, 0, 0.0)
        assert budget.spent[:4] == (0.0, 0, 0, 0)
        reservation.commit(usd=0.2, tokens=40, calls=1)
        assert budget.reserved == Caps(0.0, 0, 0, 0, 0.0)
        assert budget.spent[:4] == (0.2, 40, 1, 0)

    asyncio.run(go())


def test_what_is_released_was_not_spent_and_a_block_that_fails_releases():
    async def go():
        budget = Budget(Caps(calls=1))
        (await budget.reserve(calls=1)).release()
        with pytest.raises(ZeroDivisionError):
            async with await budget.reserve(calls=1):
                raise ZeroDivisionError
        async with await budget.reserve(calls=1) as reservation:
            reservation.commit(calls=1)
        assert (budget.spent.calls, budget.reserved.calls) == (1, 0)

    asyncio.run(go())


def test_a_reservation_is_settled_once():
    async def go():
        reservation = await Budget().reserve(calls=1)
        reservation.commit(calls=1)
        reservation.release()  # as the end of its block does
        with pytest.raises(AssertionError, match="settled once"):
            reservation.commit(calls=1)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("kind", "cap", "spent", "asked", "told"),
    [
        ("usd", 1.0, 0.9, 0.2, r"budget of \$1 does not allow \$0.2 more: \$0.9 spent, .* raise it with --budget\."),
        ("tokens", 1000, 900, 101, "1,000 tokens does not allow 101 tokens more: 900 tokens spent, .* --budget-tokens"),
        ("calls", 3, 3, 1, "--budget-calls"),
        ("evaluations", 3, 3, 1, "--budget-evaluations"),
    ],
)
def test_what_passes_a_cap_is_refused_with_the_option_that_raises_it(kind, cap, spent, asked, told):
    budget = Budget(Caps(**{kind: cap}), spent=Caps(**{kind: spent}))
    with pytest.raises(BudgetExceeded, match=told):
        asyncio.run(budget.reserve(**{kind: asked}))
    assert getattr(budget.reserved, kind) == 0


def test_the_last_cent_can_be_spent():
    async def go():
        budget = Budget(Caps(usd=0.3))
        for _ in range(3):  # as floats, three times 0.1 are more than 0.3
            (await budget.reserve(usd=0.1)).commit(usd=0.1)
        assert budget.spent.usd == 0.3
        with pytest.raises(BudgetExceeded):
            await budget.reserve(usd=1e-12)

    asyncio.run(go())


def test_whom_only_others_hinder_waits_and_goes_on_when_they_are_cheap():
    async def go():
        budget = Budget(Caps(usd=1.0))
        first = await budget.reserve(usd=0.8)
        second = await start(budget, usd=0.5)
        assert not second.done()
        first.commit(usd=0.1)
        (await second).commit(usd=0.5)
        assert budget.spent.usd == 0.6

    asyncio.run(go())


def test_whoever_waits_is_refused_when_the_others_were_dear():
    async def go():
        budget = Budget(Caps(usd=1.0))
        first = await budget.reserve(usd=0.8)
        second = await start(budget, usd=0.5)
        first.commit(usd=0.9)
        with pytest.raises(BudgetExceeded, match=r"\$0.9 spent, \$0 reserved"):
            await second
        assert budget.reserved.usd == 0.0

    asyncio.run(go())


def test_the_line_is_served_in_its_order_and_small_ones_do_not_overtake():
    async def go():
        budget = Budget(Caps(tokens=10))
        held = [await budget.reserve(tokens=5), await budget.reserve(tokens=4)]
        large, small = await start(budget, tokens=8), await start(budget, tokens=1)
        assert not small.done(), "one token is free, but someone else waits for it"
        held[1].release()
        await turns()
        assert not large.done()
        assert not small.done()
        held[0].release()
        assert (await large).asked["tokens"] == 8
        assert (await small).asked["tokens"] == 1

    asyncio.run(go())


def test_whoever_waits_for_one_kind_does_not_hinder_who_asks_for_another():
    """A program in the sandbox may ask a model: it must not wait for a program that waits for it to end."""

    async def go():
        budget = Budget(Caps(evaluations=1, calls=1))
        program = await budget.reserve(evaluations=1)
        other = await start(budget, evaluations=1)
        (await budget.reserve(calls=1)).commit(calls=1)
        program.commit()
        await other

    asyncio.run(go())


def test_a_part_is_held_in_the_whole_and_each_has_its_cap():
    async def go():
        run = Budget(Caps(usd=1.0))
        systems = run.child(Caps(usd=0.6)), run.child(Caps())
        call = systems[0].child(Caps(calls=2))
        (await call.reserve(usd=0.5, calls=1)).commit(usd=0.5, calls=1)
        assert [budget.spent.usd for budget in (call, systems[0], run, systems[1])] == [0.5, 0.5, 0.5, 0.0]
        with pytest.raises(BudgetExceeded, match=r"\$0.6 .*the cap of a part of the run"):
            await call.reserve(usd=0.2, calls=1)
        held = await systems[1].reserve(usd=0.5)
        waiting = await start(call, usd=0.1)
        assert not waiting.done(), "the whole run has nothing left as long as its other part holds it"
        held.release()
        await waiting

    asyncio.run(go())


def test_a_part_that_waits_for_its_own_cap_does_not_hinder_other_parts():
    async def go():
        run = Budget(Caps(calls=10))
        narrow, wide = run.child(Caps(calls=1)), run.child(Caps())
        held = await narrow.reserve(calls=1)
        waiting = await start(narrow, calls=1)
        await wide.reserve(calls=1)
        held.release()
        await waiting

    asyncio.run(go())


def test_whoever_is_cancelled_leaves_the_line_and_gives_back_what_nobody_took():
    async def go():
        budget = Budget(Caps(calls=2))
        held = await budget.reserve(calls=2)
        gone, next_one = await start(budget, calls=2), await start(budget, calls=1)
        held.release()  # `gone` is answered, and cancelled before it knows
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        (await next_one).release()
        held = await budget.reserve(calls=2)
        gone, next_one = await start(budget, calls=2), await start(budget, calls=1)
        gone.cancel()
        await turns()
        held.release()
        (await next_one).release()
        assert budget.reserved.calls == 0

    asyncio.run(go())


def test_a_budget_outlives_event_loops_and_those_who_waited_in_them():
    budget = Budget(Caps(calls=1))
    loop = asyncio.new_event_loop()
    held = loop.run_until_complete(budget.reserve(calls=1))
    waiting = loop.create_task(budget.reserve(calls=1))
    loop.run_until_complete(turns())
    loop.close()
    held.release()

    async def again():
        async with await budget.reserve(calls=1) as reservation:
            reservation.commit(calls=1)

    asyncio.run(again())
    assert budget.spent.calls == 1
    waiting._log_destroy_pending = False  # it never ends: its loop was closed on purpose
    waiting.get_coro().close()


def test_time_ends_a_budget_also_for_those_who_wait():
    async def go():
        with pytest.raises(BudgetExceeded, match="60 seconds of the budget are over"):
            await Budget(Caps(seconds=60), spent=Caps(seconds=60)).reserve(calls=1)
        short = Budget(Caps(calls=1, seconds=0.05))
        await short.reserve(calls=1)
        with pytest.raises(BudgetExceeded, match="seconds"):
            await short.reserve(calls=1)
        assert short.spent.seconds >= 0.05

    asyncio.run(go())


def test_a_call_without_a_price_counts_no_dollars_and_is_counted():
    async def go():
        run = Budget(Caps(usd=1.0))
        reservation = await run.child(Caps()).reserve(usd=None, calls=1)
        reservation.commit(usd=None, tokens=10, calls=1)
        assert (run.unpriced, run.spent.usd, run.spent.tokens) == (1, 0.0, 10)

    asyncio.run(go())


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf")])
def test_what_is_no_amount_is_refused(amount):
    with pytest.raises(UsageError, match="no amount of usd"):
        Budget(Caps(usd=amount))
    with pytest.raises(UsageError, match="no amount of usd"):
        asyncio.run(Budget().reserve(usd=float(amount)))


class Ledger:
    """Pays bills, triples (asked, actual, turns taken), with so many in flight, and writes down what it sees."""

    def __init__(self, budget):
        self.budget, self.paid, self.refused = budget, [], 0
        self.flying = self.most = 0
        self.last_grant = 0
        """How many bills were paid before it."""

    async def pay(self, bills):
        for asked, actual, turns_taken in bills:
            called = len(self.paid)
            try:
                reservation = await self.budget.reserve(usd=asked)
            except BudgetExceeded:
                self.refused += 1
                continue
            if asked:  # who asks for nothing is let in whatever is promised
                self.last_grant = max(self.last_grant, called)
            self.flying += 1
            self.most = max(self.most, self.flying)
            await turns(turns_taken)
            before = self.budget.reserved.usd
            reservation.commit(usd=actual)
            self.flying -= 1
            self.paid.append((asked, actual))
            if self.budget.reserved.usd > before - asked + 1e-9:  # others were let in
                self.last_grant = len(self.paid)
                promised = self.budget.spent.usd + self.budget.reserved.usd
                assert promised <= self.budget.caps.usd + 1e-9, "never is more promised than there is"

    def settle(self, bills, workers):
        """Pay; spending passes the cap by no more than those in flight at the last grant cost above their promise."""

        async def go():
            left = iter(bills)
            await asyncio.gather(*(self.pay(left) for _ in range(workers)))

        asyncio.run(go())
        overshoot = sum(actual - asked for asked, actual in self.paid[self.last_grant :])
        assert self.budget.reserved.usd == 0.0
        assert self.budget.spent.usd == pytest.approx(sum(actual for _, actual in self.paid))
        assert self.budget.spent.usd <= self.budget.caps.usd + overshoot + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_with_64_in_flight_spending_passes_the_cap_by_no_more_than_was_not_promised(seed):
    """Costs of up to twenty times the estimate."""
    chance = random.Random(seed)
    bills = [(0.01, 0.01 * chance.uniform(0, 20), chance.randrange(5, 50)) for _ in range(1000)]
    ledger = Ledger(Budget(Caps(usd=20.0)))
    ledger.settle(bills, 64)
    assert ledger.most == 64
    assert ledger.budget.spent.usd > 20.0
    assert ledger.refused + len(ledger.paid) == 1000


@pytest.mark.parametrize("seed", range(3))
def test_with_worst_cases_reserved_the_cap_is_never_passed_and_nearly_all_of_it_is_used(seed):
    chance = random.Random(seed)
    bills = [(0.2, 0.01 * chance.uniform(0, 20), chance.randrange(5, 50)) for _ in range(1000)]
    ledger = Ledger(Budget(Caps(usd=20.0)))
    ledger.settle(bills, 64)
    assert ledger.most == 64
    assert 20.0 - 0.2 <= ledger.budget.spent.usd <= 20.0


BILLS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100), st.integers(0, 5)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(BILLS, st.integers(1, 8))
def test_everyone_is_answered_and_no_promise_is_broken_whatever_is_asked(bills, workers):
    cents = [(asked / 100, actual / 100, turns_taken) for asked, actual, turns_taken in bills]
    ledger = Ledger(Budget(Caps(usd=1.0)))
    ledger.settle(cents, workers)
    assert ledger.refused + len(ledger.paid) == len(bills)
    if all(actual <= asked for asked, actual, _ in bills):
        assert ledger.budget.spent.usd <= 1.0
