"""Safe mutations: noise that is scaled by how much each weight matters, so that deep networks can be evolved.

Lehman, Chen, Clune & Stanley (2018), "Safe mutations for deep and recurrent neural networks through output
gradients", https://arxiv.org/abs/1712.06563:

    population <- random networks
    repeat:
        parent <- the best of some random members
        child  <- parent + noise, scaled by what the parent observed in its own life   (SM-R, SM-G-SUM, -ABS, -SO)
        add the child; remove the worst of some random members

A step breeds a batch of children and adds one after the other.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.errors import UsageError
from aiga.core.lifts import Scanned
from aiga.core.protocols import Info, Key
from aiga.core.trees import NOBODY, identities, take
from aiga.envs.maze import FEATURES, HARD_MAZE, Distances, Maze, geodesic
from aiga.inspect import mazes
from aiga.nn.mlp import MLP, mlp, relu, tanh
from aiga.nn.recurrent import Kind, reader
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.variation.safe import Operator, mutate

ABOUT = {"papers": (50,), "pillar": "learning", "needs": ()}


class Lives(NamedTuple):
    """How the lives of `n` networks went."""

    fitness: Float[Array, " n"]
    solved: Bool[Array, " n"]
    experiences: Float[Array, "n x ..."]
    """What each observed."""


@runtime_checkable
class World(Protocol):
    """Where networks live."""

    def build(self, key: Key) -> PyTree: ...

    def apply(self, genome: PyTree, experiences: Array) -> Float[Array, "x k"]: ...

    def live(self, key: Key, genomes: PyTree) -> Lives: ...


class Population(NamedTuple):
    """The state: `p` networks, and what each observed."""

    genomes: PyTree
    lives: Lives
    identity: Int[Array, "p 2"]
    """The first population is nobody's."""
    birth: Int[Array, ""]
    evaluations: Int[Array, ""]
    solved_after: Int[Array, ""]
    """Evaluations until the first solution; until now, if there is none."""
    solved: Bool[Array, ""]


class SafeMutations(eqx.Module):
    """A steady-state genetic algorithm without crossover."""

    world: World
    operator: Operator = eqx.field(static=True)
    magnitude: float
    clip: float
    population: int = eqx.field(static=True)
    tournament: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Population:
        build, live = jax.random.split(key)
        genomes = jax.vmap(self.world.build)(jax.random.split(build, self.population))
        lives, size = self.world.live(live, genomes), jnp.array(self.population, jnp.int32)
        nobody = jnp.full((self.population, 2), NOBODY[0], jnp.int32)
        return Population(genomes, lives, nobody, jnp.zeros((), jnp.int32), size, size, lives.solved.any())

    def step(self, key: Key, state: Population) -> tuple[Population, Info]:
        choose, vary, live, leave = jax.random.split(key, 4)
        drawn = self._draw(choose, self.population)
        parents = jnp.argmax(jnp.where(drawn, _merit(state.lives.fitness), -jnp.inf), axis=1)
        children = self._children(vary, state, parents)
        lives = self.world.live(live, children)
        rows = self._survivors(leave, state.lives.fitness, lives.fitness)

        def kept(old: Array, new: Array) -> Array:
            return jnp.concatenate([old, new])[rows]

        born, ancestors = identities(state.birth, self.batch), state.identity[parents][:, None]
        alive = jnp.isin(jnp.arange(self.batch) + self.population, rows).astype(jnp.int32)
        first = jnp.argmax(lives.solved)
        evaluations = state.evaluations + self.batch
        now = jnp.where(lives.solved.any(), state.evaluations + first + 1, evaluations).astype(jnp.int32)
        state = Population(
            jax.tree.map(kept, state.genomes, children),
            jax.tree.map(kept, state.lives, lives),
            jnp.concatenate([state.identity, born])[rows],
            state.birth + 1,
            evaluations,
            jnp.where(state.solved, state.solved_after, now),
            state.solved | lives.solved.any(),
        )
        event = Born(born, ancestors, self.operator, alive, lives.fitness)
        return state, {**self._metrics(state), "mutation/kept": alive.mean(), "born": event}

    def _children(self, key: Key, state: Population, parents: Int[Array, " n"]) -> PyTree:
        def child(key: Key, genome: PyTree, experiences: Array) -> PyTree:
            return mutate(key, genome, experiences, self.world.apply, self.operator, self.magnitude, self.clip)

        keys = jax.random.split(key, self.batch)
        return jax.vmap(child)(keys, take(state.genomes, parents), state.lives.experiences[parents])

    def _survivors(self, key: Key, old: Float[Array, " p"], new: Float[Array, " n"]) -> Int[Array, " p"]:
        """Who is left, numbered from the oldest member to the last child, after each child came and somebody went."""
        drawn = self._draw(key, self.population + 1)

        def add(now: tuple[Array, Array], child: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
            (fitness, rows), (number, merit, drawn) = now, child
            merits = jnp.where(drawn, jnp.append(fitness, merit), jnp.inf)
            worst = self.population - jnp.argmin(merits[::-1])  # of equals the youngest, which may be the child
            return (fitness.at[worst].set(merit, mode="drop"), rows.at[worst].set(number, mode="drop")), None

        members, numbers = jnp.arange(self.population), self.population + jnp.arange(self.batch)
        children = (numbers, _merit(new), drawn)
        return jax.lax.scan(add, (_merit(old), members), children)[0][1]

    def _draw(self, key: Key, size: int) -> Bool[Array, "n size"]:
        """For each child, who of `size` members takes part in a tournament."""
        lots = -jax.random.uniform(key, (self.batch, size))
        return lots >= jax.lax.top_k(lots, min(self.tournament, size))[0][:, -1:]

    def _metrics(self, state: Population) -> Info:
        return {
            "population/best": jnp.nanmax(state.lives.fitness),
            "population/mean": jnp.nanmean(state.lives.fitness),
            "search/evaluations": state.evaluations,
            "search/solved": state.solved.astype(jnp.int32),
            "search/solved_after": state.solved_after,
        }


class UntilSolved(eqx.Module):
    """End the run with the first solution."""

    system: Scanned

    def init(self, key: Key) -> Population:
        return self.system.init(key)

    def step(self, key: Key, state: Population) -> tuple[Population, Info]:
        state, info = self.system.step(key, state)
        return state, {**info, "run/finished": 1} if bool(state.solved) else info


def _merit(fitness: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)


class Toy(eqx.Module):
    """Two weights, one of them a thousand times as strong as the other: y = (100 w0 x0, w1 x1 / 10)."""

    inputs: Float[Array, "x 2"]
    """Also what the outputs shall be."""

    def build(self, key: Key) -> Float[Array, " 2"]:
        return jax.random.uniform(key, (2,), minval=-1, maxval=1)

    def apply(self, genome: Float[Array, " 2"], experiences: Float[Array, "x 2"]) -> Float[Array, "x 2"]:
        return jnp.array([100.0, 0.1]) * genome * experiences

    def live(self, key: Key, genomes: Float[Array, "n 2"]) -> Lives:
        del key
        error = ((jax.vmap(self.apply, (0, None))(genomes, self.inputs) - self.inputs) ** 2).sum(axis=(1, 2))
        return Lives(-error, error < 1e-3, jnp.broadcast_to(self.inputs, (len(genomes), *self.inputs.shape)))


TOYS = {
    "easy": ((0.0, 1.0), (0.0, 1.0)),
    "medium": ((1.0, 0.0), (0.0, 1.0)),
    "washout": ((1.0, 1.0), (-1.0, -1.0)),
}
"""Only the weak weight matters; both do; both do, and the gradients of the two inputs cancel."""


class Parity(eqx.Module):
    """Read four bits, one after the other; say whether the number of ones is odd."""

    cell: Kind = eqx.field(static=True)
    hidden: int = eqx.field(static=True)

    def build(self, key: Key) -> PyTree:
        return reader(key, 1, self.hidden, 2, self.cell)

    def apply(self, genome: PyTree, experiences: Float[Array, "x 4 1"]) -> Float[Array, "x 2"]:
        return jax.nn.softmax(jax.vmap(genome)(experiences))

    def live(self, key: Key, genomes: PyTree) -> Lives:
        del key
        numbers = jnp.arange(16)[:, None]
        strings = ((numbers >> jnp.arange(3, -1, -1)) & 1).astype(float)[..., None]
        odd = strings.sum(axis=(1, 2)).astype(int) % 2
        says = jax.vmap(lambda genome: jax.vmap(genome)(strings))(genomes)
        likelihood = jnp.take_along_axis(jax.nn.log_softmax(says), odd[None, :, None], axis=2).mean(axis=(1, 2))
        right = (says.argmax(axis=2) == odd).all(axis=1)
        return Lives(likelihood, right, jnp.broadcast_to(strings, (len(right), *strings.shape)))


class Breadcrumbs(eqx.Module):
    """Drive to the goal of the hard maze; fitness is minus the way that is left, around the walls, at the end."""

    distances: Distances
    layers: int = eqx.field(static=True)
    hidden: int = eqx.field(static=True)
    activation: Literal["relu", "tanh"] = eqx.field(static=True)
    experiences: int = eqx.field(static=True)
    env: Maze = eqx.field(static=True, default=Maze())

    def build(self, key: Key) -> MLP:
        sizes = (FEATURES, *[self.hidden] * self.layers, 2)
        return mlp(key, sizes, {"relu": relu, "tanh": tanh}[self.activation], last=jax.nn.sigmoid, last_gain=1.0)

    def apply(self, genome: MLP, experiences: Float[Array, "x f"]) -> Float[Array, "x 2"]:
        return jax.vmap(genome)(experiences)

    def live(self, key: Key, genomes: MLP) -> Lives:
        sample, rest = jax.random.split(key)
        n = genomes.layers[0].weight.shape[0]
        start = jax.vmap(self.env.reset, (0, None))(jax.random.split(rest, n), HARD_MAZE)

        def step(now: tuple[Any, Array], _: None) -> tuple[tuple[Any, Array], Array]:
            state, observation = now
            action = jax.vmap(lambda genome, x: genome(x))(genomes, observation)
            after = jax.vmap(self.env.step, (None, 0, 0, None))(key, state, action, HARD_MAZE)
            return (after.state, after.observation), observation

        (state, _), seen = jax.lax.scan(step, start, length=self.env.steps)
        rows = jax.random.choice(sample, self.env.steps, (self.experiences,), replace=False)
        left = jax.vmap(self.distances.at)(state.position)
        sane = jnp.isfinite(state.position).all(axis=1)
        return Lives(jnp.where(sane, -left, jnp.nan), state.reached, seen[rows].swapaxes(0, 1))


def make(
    world: Literal["parity", "maze", "easy", "medium", "washout"] = "parity",
    mutation: Operator = "sm-g-abs",
    magnitude: float = 0.01,
    clip: float = 10.0,
    hidden: int = 20,
    cell: Kind = "rnn",
    layers: int = 6,
    activation: Literal["relu", "tanh"] = "relu",
    experiences: int = 100,
    population: int = 250,
    tournament: int = 5,
    batch: int = 50,
    fuse: int = 5,
) -> UntilSolved:
    """Evolve a recurrent or deep network with mutations that respect what it does already.

    Args:
        world: The parity of four bits, the hard maze with breadcrumbs, or two weights, of which one matters, or both,
            or both in such a way that their gradients cancel.
        mutation: How noise is scaled; `plain`: not at all.
        magnitude: Standard deviation of the noise; for `sm-r`, the mean squared change of an output.
        clip: The most that a safe mutation changes a weight.
        hidden: Units of each hidden layer, of both recurrent layers too.
        cell: The recurrent layers of the network that reads bits.
        layers: Hidden layers of the network in the maze.
        activation: Between the layers of the network in the maze.
        experiences: Observations of a life in the maze that a mutation looks at.
        population: Networks alive; 1 is a hill climber.
        tournament: Members that compete to become a parent, and not to leave.
        batch: Children of a generation, which do not yet compete to be parents.
        fuse: Generations in a step of the run.
    """
    if min(population, tournament, batch, fuse, hidden, layers) < 1:
        raise UsageError(
            f"--population {population}, --tournament {tournament}, --batch {batch}, --fuse {fuse}, --hidden {hidden}, "
            f"--layers {layers}: give numbers above zero."
        )
    if not magnitude > 0 or not clip > 0:
        raise UsageError(f"--magnitude is {magnitude} and --clip is {clip}: give numbers above zero.")
    if not 1 <= experiences <= Maze().steps:
        raise UsageError(f"--experiences is {experiences}: a life in the maze has 1 to {Maze().steps} observations.")
    if world == "maze":
        place: World = Breadcrumbs(geodesic(HARD_MAZE), layers, hidden, activation, experiences)
    else:
        place = Parity(cell, hidden) if world == "parity" else Toy(jnp.array(TOYS[world]))
    search = SafeMutations(place, mutation, magnitude, clip, population, tournament, batch)
    return UntilSolved(Scanned(search, fuse))


PAPER = {"world": "maze", "clip": 0.2, "hidden": 15, "population": 250, "batch": 1, "fuse": 250}
"""The settings of the authors' code for the maze; 400 steps are its 100,000 evaluations."""

_CLIMBER = {"world": "washout", "magnitude": 0.3, "population": 1, "batch": 1, "fuse": 200}

CLAIM = (
    Claim(
        statement="Safe mutations teach a recurrent network parity while plain mutation hardly does more than guess.",
        source="Lehman et al. 2018, recurrent parity",
        metric="population/best",
        treatment={},
        control={"mutation": "plain", "magnitude": 0.1},
        steps=50,
        others={"summed": {"mutation": "sm-g-sum", "magnitude": 0.1}},
        also=("population/mean", "search/evaluations"),
        margin=0.01,
    ),
    Claim(
        statement="Where the gradients of experiences cancel, second-order mutations are safe, summed ones are not.",
        source="Lehman et al. 2018, the gradient-washout model",
        metric="search/solved_after",
        better="lower",
        treatment={**_CLIMBER, "mutation": "sm-g-so"},
        control={**_CLIMBER, "mutation": "sm-g-sum"},
        steps=10,
        others={"absolute": {**_CLIMBER, "mutation": "sm-g-abs"}, "plain": {**_CLIMBER, "mutation": "plain"}},
        also=("search/solved",),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """In the maze: the way of the best, and where the others end."""
    if run.options.get("world") != "maze":
        return []
    state: Population = run.state
    fitness = np.nan_to_num(np.asarray(state.lives.fitness), nan=-np.inf)
    paths = mazes.follow(jax.random.key(0), Maze(), HARD_MAZE, _drive, state.genomes)
    best = int(np.argmax(fitness))
    picture = mazes.draw(HARD_MAZE, paths[best][None], ends=np.asarray(paths[:, -1]))
    caption = f"The way of the best, with {-fitness[best]:.0f} left to go at its end; dots: where all others end."
    return [Figure("The population in the maze", caption, picture)]


def _drive(key: Key, genome: MLP, observation: Array, carry: PyTree) -> tuple[Array, PyTree]:
    del key
    return genome(observation), carry


if __name__ == "__main__":
    import aiga

    aiga.run("safe_mutations", steps=50)
