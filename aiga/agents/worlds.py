"""Where programs of two agents live: the domains of their task agents, and the workshops of their meta agents."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from aiga.agents import reviews, rewards
from aiga.agents.choice import ENTRY
from aiga.agents.coders import LITE, Means
from aiga.agents.coding import Coding
from aiga.agents.descent import unchanged
from aiga.agents.domain import Domain, Files, Workshop
from aiga.agents.modelled import USUAL, Modelled
from aiga.agents.responses import Asking
from aiga.agents.roots import hyper
from aiga.agents.workshop import SandboxedWorkshop
from aiga.core.errors import UsageError
from aiga.data.puzzles import Sizes
from aiga.data.reviews import read
from aiga.sandbox import ladder

SIMULATED: tuple[Literal["reviewing", "controlling", "coding"], ...] = ("reviewing", "controlling", "coding")
REVIEWS, REWARDS = "reviews", "rewards"
REAL = (REVIEWS, REWARDS, LITE)
SOLVE, MODIFY = "task_agent:solve", "meta_agent:modify"
TASK, META = "task_agent.py", "meta_agent.py"


class World(NamedTuple):
    """Where programs live."""

    domains: Sequence[Domain]
    workshops: Sequence[Workshop]
    """Any of them will do."""
    root: Files
    """The first program."""


class Wishes(NamedTuple):
    """What is asked of a world that is not simulated."""

    train: rewards.Train
    """What trains policies with a reward."""
    path: str = ""
    """Of papers; empty: they are made here."""
    own_choice: bool = False
    """Whether programs choose parents, and must be able to."""


def parsed(text: str) -> tuple[str, ...]:
    """The names of domains that stand in one text, joined by `+`."""
    names = tuple(part.strip() for part in text.split("+"))
    unknown = [name for name in names if name not in (*SIMULATED, *REAL)]
    if unknown or len(set(names)) < len(names):
        raise UsageError(f"--domains is {text!r}: give one of {', '.join((*SIMULATED, *REAL))}, or some, joined by +.")
    if len({name in SIMULATED for name in names}) > 1:
        raise UsageError(
            f"--domains {text} mixes simulated domains ({', '.join(SIMULATED)}) with others: give one kind."
        )
    if LITE in names and len(names) > 1:
        raise UsageError(f"--domains {text}: a task of {LITE} is a folder, and no response: give it alone.")
    return names


def simulated(names: Sequence[str]) -> bool:
    """Whether domains need neither model nor sandbox."""
    return names[0] in SIMULATED


def refuse(names: Sequence[str], path: str, of_models: Mapping[str, bool], of_simulations: Mapping[str, bool]) -> None:
    """Refuse options that mean nothing in these domains: a file of papers where none is read, what only models need, or
    only simulations have.
    """
    if path and REVIEWS not in names:
        raise UsageError(f"--path is of no use with --domains {'+'.join(names)}, which reads no papers: leave it out.")
    for option, given in (of_models if simulated(names) else of_simulations).items():
        if given:
            kind = "simulated" if simulated(names) else "not simulated"
            raise UsageError(f"{option} is of no use with --domains {'+'.join(names)}, which is {kind}: leave it out.")


def modelled(names: Sequence[str], sizes: Sizes, seed: int) -> World:
    """A simulated world."""
    size = sized(sizes, USUAL)
    found = [Modelled(needs, files=2, seed=seed, sizes=size) for needs in SIMULATED if needs in names]
    return World(found, found, found[0].root())


def real(names: Sequence[str], sizes: Sizes, seed: int, means: Means, wishes: Wishes) -> World:
    """A world of programs that ask a model, in the sandbox."""
    if means.fm is None:
        raise UsageError(f"programs of --domains {'+'.join(names)} ask a model: give one with --fm.")
    asking = Asking(means.fm, means.sandbox or ladder.best(), "", SOLVE, finished=means.finished)
    domains = [unchanged(_domain(name, sizes, seed, asking, wishes), means.finished) for name in names]
    entries = (SOLVE, *([ENTRY] if wishes.own_choice else []))
    workshop = SandboxedWorkshop(asking.fm, asking.sandbox, MODIFY, entries=entries, finished=means.finished)
    return World(domains, [workshop], hyper(coding=LITE in names))


def _domain(name: str, sizes: Sizes, seed: int, asking: Asking, wishes: Wishes) -> Domain:
    if name == LITE:
        if any(sizes):
            raise UsageError(f"the splits of {LITE} are given: leave --search, --select and --report out.")
        return Coding(asking.fm, asking.sandbox, entry=SOLVE, finished=asking.finished)
    if name == REWARDS:
        asking, size = asking._replace(label=rewards.LABEL), sized(sizes, rewards.USUAL)
        return rewards.Rewards(asking, wishes.train, sizes=size, seed=seed, finished=asking.finished)
    papers = read(wishes.path) if wishes.path else None
    asking, size = asking._replace(label=reviews.LABEL), sized(sizes, reviews.USUAL)
    return reviews.Reviews(asking, papers, sizes=size, seed=seed)


def sized(given: Sizes, usual: Sizes) -> Sizes:
    """The sizes that were given, the usual ones in the place of zeros."""
    return Sizes(*(a or b for a, b in zip(given, usual, strict=True)))
