"""Where coding agents live: what they work on, where they rewrite themselves, and the first of them."""

from collections.abc import Callable
from typing import NamedTuple

from aiga.agents import repositories
from aiga.agents.coding import Assignment, Coding, divided
from aiga.agents.descent import unchanged
from aiga.agents.domain import Domain, Files, Workshop
from aiga.agents.modelled import Modelled
from aiga.agents.roots import first
from aiga.agents.workshop import SandboxedWorkshop
from aiga.core.errors import UsageError
from aiga.core.texts import Finished
from aiga.data.puzzles import Sizes
from aiga.fm.messages import FM
from aiga.sandbox import ladder
from aiga.sandbox.protocol import Sandbox

MODELLED, LITE = "modelled", "polyglot-lite"
FOLDERS: dict[str, Callable[[str], list[Assignment]]] = {
    "polyglot": repositories.aider,
    "swe-bench": repositories.swe_bench,
}
"""Benchmarks that are read from a folder of the user's."""


class World(NamedTuple):
    """Where agents live."""

    domain: Domain
    workshop: Workshop
    root: Files
    """The first agent."""


class Means(NamedTuple):
    """What agents that are not simulated need."""

    fm: FM | None
    sandbox: Sandbox | None
    """None: the best there is."""
    finished: Finished


def check(domain: str, path: str, fm: FM | None) -> None:
    """Refuse a folder where none is read, none where one is, and a model where all are simulated."""
    if domain in FOLDERS and not path:
        raise UsageError(f"--domain {domain} reads a folder: give its place with --path.")
    if domain not in FOLDERS and path:
        raise UsageError(
            f"--path is of no use with --domain {domain}: leave it out, or give one of {', '.join(FOLDERS)}."
        )
    if domain == MODELLED and fm is not None:
        raise UsageError(f"--domain {MODELLED} simulates its models: leave --fm out, or give another --domain.")


def world(domain: str, path: str, sizes: Sizes, seed: int, means: Means) -> World:
    """The world of a domain; UsageError if agents must ask a model and there is none."""
    if domain == MODELLED:
        modelled = Modelled(seed=seed, sizes=sizes)
        return World(modelled, modelled, modelled.root())
    fm, sandbox, finished = means.fm, means.sandbox or ladder.best(), means.finished
    if fm is None:
        raise UsageError(f"agents of --domain {domain} ask a model: give one with --fm, or leave --domain out.")
    parts = None if domain == LITE else divided(FOLDERS[domain](path), sizes, seed, path)
    place = unchanged(Coding(fm, sandbox, parts, name=domain, finished=finished), finished)
    return World(place, SandboxedWorkshop(fm, sandbox, finished=finished), first())
