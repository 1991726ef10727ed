"""Clouds of pseudo-offspring: where the offspring of each generation ended up in the space of behaviours.

Wang, Clune & Stanley (2018), "VINE", https://arxiv.org/abs/1805.01141: a colour for each generation, its shade for the
fitness, a dashed line for the way of the parent, and below it the parent's fitness.  Ours shows all generations
faintly, and of those that the slider chooses every individual, which can be asked for by its name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiga.core.errors import UsageError
from aiga.inspect import cloud_figure
from aiga.inspect.planes import Plane, planes
from aiga.runs.clouds import Recorded
from aiga.runs.record import Run
from aiga.runs.report import Figure

PANELS = 4
"""Series that are shown beside each other, those of most generations, unless one is chosen."""


class Member(NamedTuple):
    """A pseudo-offspring: one individual of a generation."""

    name: str
    cloud: Recorded
    row: int

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of it, by name."""
        cloud, about = self.cloud, self.cloud.about
        parent = about.parent if cloud.parents is None else int(cloud.parents[self.row])
        return {
            "name": self.name,
            "parent": None if parent < 0 else str(parent),
            "series": about.series,
            "step": about.step,
            "generation": about.generation,
            "fitness": float(cloud.fitness[self.row]),
            "behaviour": tuple(cloud.behaviour[self.row].tolist()),
            "noise": int(cloud.noise[self.row]),
            "sign": int(cloud.sign[self.row]),
        }


def present(run: Run) -> bool:
    """Whether a run has recorded any."""
    return bool(run.clouds())


def member(run: Run, name: str) -> Member:
    """The pseudo-offspring of this name, `c<number of the cloud>.<row>`."""
    number, _, row = name.removeprefix("c").partition(".")
    if not (name.startswith("c") and _whole(number) and _whole(row)):
        raise UsageError(f"`{name}` is no pseudo-offspring: names are like c12.3, the cloud's number and the row.")
    cloud = run.cloud(int(number))
    if int(row) >= cloud.about.size:
        raise UsageError(f"`{name}` does not exist: the cloud has {cloud.about.size} individuals, from 0 on.")
    return Member(name, cloud, int(row))


def figures(run: Run, choices: Mapping[str, str] = {}) -> list[Figure]:
    """The clouds of a run.

    Args:
        run: The run.
        choices: `series`: the one to show; and what `aiga.inspect.planes.planes` knows.
    """
    counts: dict[str, int] = {}
    for one in run.clouds():
        counts[one.series] = counts.get(one.series, 0) + 1
    wanted = choices.get("series") or None
    if wanted and wanted not in counts:
        raise UsageError(f"there is no series `{wanted}` of clouds; there are {', '.join(counts) or 'none'}.")
    shown = [wanted] if wanted else sorted(counts, key=lambda name: -counts[name])[:PANELS]
    found = [plane for name in shown for plane in planes(name, run.pseudo_offspring(name), choices)]
    found = [plane for plane in found if len(plane.places)][:PANELS]
    if not found:
        return []
    more = len(counts) - len(shown)
    return [Figure("Clouds of pseudo-offspring", _caption(found, 0 if wanted else more), cloud_figure.drawn(found))]


def _caption(shown: Sequence[Plane], left_out: int) -> str:
    individuals = sum(len(plane.places) for plane in shown)
    generations = sum(len(plane.listed) for plane in shown)
    more = f" The other {left_out} series can be chosen." if left_out else ""
    return (
        f"{individuals:,} individuals of {generations:,} generations, faint; those of the chosen generation and of the "
        "ones before it in a colour each, darker the fitter. Dashed: the way of the parent, or, where it was "
        f"not evaluated, of the middle of its offspring. Below: the parent's fitness, and the offspring's mean.{more}"
    )


def _whole(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) < 19
