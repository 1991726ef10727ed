"""The lives of robots again: where they went, and whether they did what the run recorded of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from aiga.archives.grid import Grid
from aiga.core.errors import require
from aiga.core.protocols import Key
from aiga.inspect.clouds import Member
from aiga.inspect.vine import Individual, compared, words
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, INK, Figure, style
from aiga.strategies.openai_es import OpenAIES


class Life(NamedTuple):
    """Episodes of one individual."""

    paths: Float[np.ndarray, "e t 2"]
    """Where it was, at first and after every step."""
    fitness: Any
    """Their mean."""
    behaviour: Float[np.ndarray, " d"]


def again(system: Any, run: Run, individual: Individual) -> list[Figure]:
    """The episode of a candidate of a `MEES`, or those by which an elite was judged, and what became of them."""
    walls = getattr(system.evaluate.env, "walls", ())
    if individual.member is not None:
        context = individual.member.cloud.context
        seen = system.normaliser.of_numbers(jnp.asarray(context)) if system.normaliser else None
        trace = partial(system.evaluate.trace, normaliser=seen)
        return [candidate(individual.member, system.strategy, system.block, trace, walls)]
    grid: Grid = run.state.map
    row, life = individual.row(grid.identity), judged(system, run, individual)
    others = np.asarray(grid.descriptor)[np.asarray(grid.occupied)] if system.names == ("x", "y") else None
    return [figure(individual.name, life, (grid.fitness[row], grid.descriptor[row]), others, walls)]


def candidate(
    member: Member, strategy: OpenAIES, block: int | None, trace: Callable[..., Any], walls: Any = ()
) -> Figure:
    """The episode of a pseudo-offspring of an evolution strategy; `trace` as of a `Robot`."""
    cloud, row = member.cloud, member.row
    others = cloud.behaviour if cloud.names == ("x", "y") else None
    return figure(
        member.name, live(member, strategy, block, trace), (cloud.fitness[row], cloud.behaviour[row]), others, walls
    )


def alone(name: str, genome: Any, trace: Callable[..., Any], walls: Any = ()) -> Figure:
    """An episode of who has none on record, such as the mean of a cloud."""
    evaluation, path = trace(jax.random.key(0), jax.tree.map(lambda x: x[None], genome), jnp.zeros(1, jnp.int32))
    life = Life(
        np.asarray(path).swapaxes(0, 1), np.asarray(evaluation.fitness)[0], np.asarray(evaluation.descriptor)[0]
    )
    drawn = figure(name, life, (life.fitness, life.behaviour), None, walls)
    caption = f"Individual {name}, an episode: fitness {words(life.fitness)}, behaviour {words(life.behaviour)}."
    return drawn._replace(title="An episode", caption=caption)


def live(member: Member, strategy: OpenAIES, block: int | None, trace: Callable[..., Any]) -> Life:
    """The episode of a candidate, in the batch in which it was evaluated."""
    cloud = member.cloud
    assert cloud.genome is not None
    strategy = replace(strategy, sigma=jnp.asarray(cloud.sigma, jnp.float32), sigma_decay=1.0)
    key, noise = jax.random.wrap_key_data(jnp.asarray(cloud.key)), jnp.asarray(cloud.noise, jnp.int32)
    key, genomes, row = strategy.again(key, jnp.asarray(cloud.genome), noise, jnp.asarray(member.row), block)
    evaluation, path = trace(key, genomes, row[None])
    fitness, behaviour = np.asarray(evaluation.fitness)[row], np.asarray(evaluation.descriptor)[row]
    return Life(np.asarray(path).swapaxes(0, 1), fitness, behaviour)


def judged(system: Any, run: Run, individual: Individual) -> Life:
    """The episodes by which an elite of the map was judged.

    With a normaliser they are others: what it had seen by then is not kept.
    """
    assert individual.identity is not None
    grid: Grid = run.state.map
    key, offered = judgement(system, run, individual.identity[0])
    mean = grid.genomes[individual.row(grid.identity)]
    genomes = system.strategy.layout.tree(jnp.tile(mean, (offered * system.repeats, 1)))
    first, seen = individual.identity[1] * system.repeats, run.state.normaliser
    rows = jnp.arange(first, first + system.repeats)
    episodes, paths = system.evaluate.trace(key, genomes, rows, seen)
    fitness, behaviour = _means(episodes.fitness, episodes.descriptor, system.repeats)
    place = individual.identity[1]
    return Life(np.asarray(paths).swapaxes(0, 1), np.asarray(fitness)[place], np.asarray(behaviour)[place])


def judgement(system: Any, run: Run, birth: int) -> tuple[Key, int]:
    """With which key the map was given candidates the time number `birth`, and how many."""
    seed = jax.random.key(run.manifest["seed"])
    if birth == 0:
        return jax.random.split(jax.random.fold_in(seed, 0))[0], system.population
    step, generation = divmod(birth - 1, system.visit)
    key = jax.random.split(jax.random.fold_in(seed, step + 1), 2 + system.visit)[2 + generation]
    if system.algorithm == "me_ga":
        return jax.random.split(key, 3)[2], system.children
    return jax.random.split(key, 3)[0], 1


@partial(jax.jit, static_argnums=2)
def _means(
    fitness: Float[Array, " m"], behaviour: Float[Array, "m d"], repeats: int
) -> tuple[Float[Array, " n"], Float[Array, "n d"]]:
    """Of so many episodes each."""
    count = len(fitness) // repeats
    return fitness.reshape(count, repeats).mean(axis=1), behaviour.reshape(count, repeats, -1).mean(axis=1)


def figure(
    name: str, life: Life, recorded: tuple[Any, Any], others: Any, walls: Any, title: str = "The episode again"
) -> Figure:
    """A way from above; `others`: where others ended."""
    graph = require("plotly.graph_objects", "report")
    drawn = graph.Figure()
    if others is not None:
        dot = {"color": FAINT, "size": 5, "opacity": 0.6}
        drawn.add_scatter(x=others[:, 0], y=others[:, 1], mode="markers", marker=dot, name="where others ended")
    for x1, y1, x2, y2 in walls:
        drawn.add_scatter(x=[x1, x2], y=[y1, y2], mode="lines", line={"color": INK, "width": 3}, showlegend=False)
    for i, path in enumerate(life.paths):
        known = {"name": "the way", "showlegend": i == 0, "line": {"color": ACCENT, "width": 2}}
        drawn.add_scatter(x=path[:, 0], y=path[:, 1], mode="lines", **known)
    ends = {
        "color": [INK] + [ACCENT] * len(life.paths),
        "size": 10,
        "symbol": ["circle-open"] + ["circle"] * len(life.paths),
    }
    places = np.concatenate([life.paths[:1, 0], life.paths[:, -1]])
    drawn.add_scatter(x=places[:, 0], y=places[:, 1], mode="markers", marker=ends, name="start and end")
    drawn.update_yaxes(scaleanchor="x")
    style(drawn, height=520, xaxis_title="x", yaxis_title="y")
    return Figure(title, said(name, life, recorded), drawn)


def said(name: str, life: Life, recorded: tuple[Any, Any]) -> str:
    """What was recorded of an individual, and how well its life agrees."""
    fitness, behaviour = (np.asarray(x) for x in recorded)
    times = "an episode" if len(life.paths) == 1 else f"the mean of {len(life.paths)} episodes"
    return (
        f"Individual {name}, {times}. Recorded: fitness {words(fitness)}, behaviour {words(behaviour)}. Run again, the "
        f"fitness is {compared(fitness, life.fitness)}, the behaviour {compared(behaviour, life.behaviour)}."
    )


def elites(grid: Grid) -> Figure:
    """The elites of a map by their behaviour, in two of its dimensions."""
    graph = require("plotly.graph_objects", "report")
    kept = np.asarray(grid.occupied)
    x, y = np.asarray(grid.descriptor)[kept].T[:2]
    marker = {"color": np.asarray(grid.fitness)[kept], "colorscale": "Viridis", "colorbar": {"title": "fitness"}}
    content = graph.Figure(graph.Scatter(x=x, y=y, mode="markers", marker=marker))
    style(content, height=560, width=640, xaxis_title="behaviour 1", yaxis_title="behaviour 2")
    return Figure("Map of elites", f"{kept.sum():,} elites by their behaviour; colour is fitness.", content)
