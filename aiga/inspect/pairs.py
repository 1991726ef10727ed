"""What a run records of its pairs of worlds and agents, and what the report shows of them."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from aiga.core.trees import take
from aiga.envs.hills import Hills, poses
from aiga.inspect import walks, worlds
from aiga.inspect.vine import Individual, compared, words
from aiga.learners.pairs import Pairs
from aiga.learners.walkers import Walk, once_more, recorded
from aiga.runs.events import Born, Cloud, Extinct, Transferred
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.strategies.openai_es import OpenAIES

CURVES = {"ANNECS": "poet/annecs", "worlds": "poet/worlds", "solved": "poet/solved", "mean score": "poet/mean"}


def pictured(run: Run, everyone: Pairs, walk: Walk, goal: float) -> list[Figure]:
    """The tree of worlds, an agent in the hardest world that is solved, who went where, and curves."""
    names = {tuple(world): i for i, world in enumerate(everyone.world.tolist())}
    shown = [_world(i, take(everyone, i), names) for i in names.values()]
    moves = [
        worlds.Transfer(event["step"], names[tuple(event["source"])], names[tuple(event["target"])])
        for event in run.events("transferred")
    ]
    curves = {title: run.metric(name) for title, name in CURVES.items()}
    film = _walk(everyone, walk) if isinstance(walk.env, Hills) else None
    iterations = int(run.state.iteration)
    return worlds.figures(run.media, shown, moves, curves, iterations=iterations, goal=goal, walk=film)


def _world(number: int, pair: Pairs, names: dict[tuple[int, int], int]) -> worlds.World:
    parent = names.get(tuple(pair.parent.tolist()), -1)
    born, retired, solved = int(pair.world[0]), int(pair.retired), int(pair.solved)
    known = {"difficulty": float(pair.difficulty)}
    return worlds.World(number, parent, born, retired, solved, float(pair.score), pair.course, known)


def _walk(everyone: Pairs, walk: Walk) -> worlds.Walk:
    """The champion of the hardest world that is solved, or, if none is, of the one with the best score."""
    worth = np.where(everyone.solved >= 0, everyone.difficulty, -1.0)
    row = int(np.lexsort((everyone.best, worth))[-1])
    states, length, score = recorded(walk, jax.random.key(0), everyone.champion[row], take(everyone.course, row))
    return worlds.Walk(row, np.asarray(poses(states))[:length], score)


def happened(before: Pairs, after: Pairs, when: str) -> dict[str, Any]:
    """Events between two populations: births of worlds and of agents, transfers, and who is no longer active."""
    events: dict[str, Any] = {}
    worlds, agents = _only(after.world, before.world), _only(after.cloud.identity, before.cloud.identity)
    new, come = take(after, worlds), take(after, agents)
    if worlds.size:
        events[f"{when}/worlds"] = _born("world", new.world, new.parent, new.score)
    if agents.size:
        events[f"{when}/agents"] = _born("agent", come.cloud.identity, come.giver, come.score)
    for i, move in enumerate(zip(come.cloud.identity, come.origin, come.world, strict=True)):
        if move[1][0] >= 0:
            events[f"{when}/{i}"] = Transferred(*map(_pair, move))
    gone = before.world[_only(before.world, after.world)]
    return events | {f"extinct/{i}": Extinct(_pair(world)) for i, world in enumerate(gone)}


def around(pairs: Pairs, tried: list[dict[str, Any]]) -> dict[str, Cloud]:
    """Events of the candidates around each agent, before a step of ES; a series each world."""
    names, clouds = ("distance", "height"), {}
    for world, score, fields in zip(pairs.world.tolist(), pairs.score, tried, strict=True):
        clouds[f"cloud/{world[0]}.{world[1]}"] = Cloud(**fields, parent_fitness=score[None], names=names)
    return clouds


def again(
    run: Run, everyone: Pairs, individual: Individual, walk: Walk, strategy: OpenAIES, batch: int
) -> list[Figure]:
    """A candidate in the world that it was tried in, or an agent in its world: a film.

    An agent is judged by episodes whose beginnings differ, and walks another time here.
    """
    assert isinstance(walk.env, Hills)
    if individual.member is None:
        row = individual.row(everyone.cloud.identity)
        course = take(everyone.course, row)
        states, length, score = recorded(walk, jax.random.key(0), everyone.cloud.mean[row], course)
        said = f"Agent {individual.name}: lately {everyone.score[row]:.1f} points, in this episode {score:.1f}."
        return [_filmed(run, individual.name, course, np.asarray(poses(states))[:length], said)]
    cloud, row = individual.member.cloud, individual.member.row
    birth, index = cloud.about.series.removeprefix("cloud/").split(".")
    world = Individual(cloud.about.series, (int(birth), int(index)), None)
    course = take(everyone.course, world.row(everyone.world))
    strategy = replace(strategy, sigma=jnp.asarray(cloud.sigma, jnp.float32), sigma_decay=1.0)
    mean = jnp.asarray(cloud.genome)
    lived, states = once_more(walk, strategy, mean, cloud.key, cloud.noise, row, course, batch)
    said = (
        f"Candidate {individual.name} in world {birth}.{index}. Recorded: {words(cloud.fitness[row])} points, distance "
        f"and mean height {words(cloud.behaviour[row])} m. Again, the score is "
        f"{compared(cloud.fitness[row], lived.returned)}, the place {compared(cloud.behaviour[row], lived.place)}."
    )
    return [_filmed(run, individual.name, course, np.asarray(poses(states))[: int(lived.length) + 1], said)]


def _filmed(run: Run, name: str, course: Any, found: Any, said: str) -> Figure:
    folder = run.media / "replays"
    folder.mkdir(parents=True, exist_ok=True)
    return Figure("The walk again", said, walks.film(folder / f"{name}.gif", course, found))


def _only(some: Int[Any, "n 2"], others: Int[Any, "m 2"]) -> Int[Any, " k"]:
    """Rows of those that are not among others."""
    return np.flatnonzero(~(some[:, None] == others[None]).all(axis=2).any(axis=1))


def _born(operator: str, identity: Int[Any, "n 2"], parents: Int[Any, "n 2"], fitness: Float[Any, " n"]) -> Born:
    return Born(identity, parents[:, None], operator, np.full(len(identity), 2), fitness)


def _pair(identity: Int[Any, "2"]) -> tuple[int, int]:
    return int(identity[0]), int(identity[1])
