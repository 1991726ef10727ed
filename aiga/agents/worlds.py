"""Where programs of two agents live: the domains of their task agents, and the workshops of their meta agents."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from aiga.agents import reviews as papers
from aiga.agents.choice import ENTRY, Means
from aiga.agents.domain import Domain, Files, Workshop
from aiga.agents.modelled import USUAL, Modelled
from aiga.agents.responses import Asking
from aiga.agents.roots import hyper
from aiga.agents.workshop import SandboxedWorkshop
from aiga.core.errors import UsageError
from aiga.data import reviews
from aiga.data.puzzles import Sizes

SIMULATED: tuple[Literal["reviewing", "controlling", "coding"], ...] = ("reviewing", "controlling", "coding")
REAL = ("reviews",)
TASK, META = "task_agent.py", "meta_agent.py"


class World(NamedTuple):
    """Where programs live."""

    domains: Sequence[Domain]
    workshops: Sequence[Workshop]
    """Any of them will do."""
    root: Files
    """The first program."""


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
    return names


def simulated(names: Sequence[str]) -> bool:
    """Whether domains need neither model nor sandbox."""
    return names[0] in SIMULATED


def refuse(names: Sequence[str], of_models: Mapping[str, bool], of_simulations: Mapping[str, bool]) -> None:
    """Refuse options that mean nothing in these domains: what only models need, or only simulations have."""
    for option, given in (of_models if simulated(names) else of_simulations).items():
        if given:
            kind = "simulated" if simulated(names) else "not simulated"
            raise UsageError(f"{option} is of no use with --domains {'+'.join(names)}, which is {kind}: leave it out.")


def modelled(names: Sequence[str], sizes: Sizes, seed: int) -> World:
    """A simulated world."""
    size = sized(sizes, USUAL)
    found = [Modelled(needs, files=2, seed=seed, sizes=size) for needs in SIMULATED if needs in names]
    return World(found, found, found[0].root())


def real(
    names: Sequence[str], sizes: Sizes, seed: int, means: Means, *, path: str = "", own_choice: bool = False
) -> World:
    """A world of programs that ask a model, in the sandbox.

    Args:
        names: Of the domains.
        sizes: Of their splits; 0: the usual one.
        seed: Of the splits, and of tasks that are made here.
        means: What programs need.
        path: Of the domain's data; empty: what is made here.
        own_choice: Whether programs choose parents, and must be able to.
    """
    domains = [DOMAINS[name](means, sizes, seed, path) for name in names]
    entries = ("task_agent:solve", *([ENTRY] if own_choice else []))
    workshop = SandboxedWorkshop(means.fm, means.sandbox, "meta_agent:modify", entries=entries, finished=means.finished)
    return World(domains, [workshop], hyper())


def sized(given: Sizes, usual: Sizes) -> Sizes:
    """The sizes that were given, the usual ones in the place of zeros."""
    return Sizes(*(a or b for a, b in zip(given, usual, strict=True)))


def _reviews(means: Means, sizes: Sizes, seed: int, path: str) -> Domain:
    asking = Asking(means.fm, means.sandbox, papers.LABEL, finished=means.finished)
    source = reviews.read(path) if path else None
    return papers.Reviews(asking, source, sizes=sized(sizes, papers.USUAL), seed=seed)


DOMAINS: dict[str, Callable[[Means, Sizes, int, str], Domain]] = {"reviews": _reviews}
