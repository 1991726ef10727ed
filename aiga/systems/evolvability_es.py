"""Evolvability ES: parameters whose random perturbations behave in diverse ways.

Gajewski, Clune, Stanley & Lehman (2019), "Evolvability ES: scalable and direct optimization of evolvability",
https://arxiv.org/abs/1907.06077:

    repeat:
        e_i   <- N(0, I), in mirrored pairs
        b_i   <- behaviour of mean + sigma e_i
        u_i   <- |b_i - mean b|^2                        (MaxVar: the variance of the behaviour grows)
              or - log p_i - mean_j k(b_i, b_j) / p_j    (MaxEnt: its entropy grows; p_i = mean_j k(b_i, b_j))
        mean  <- Adam(mean, mean_i u_i e_i / sigma)

No behaviour is asked for, so what is learned is to be adapted: the wanted behaviour is a perturbation, or a few steps
of an ordinary evolution strategy, away.  The control follows a fitness, with everything else the same.

A relative, Katona, Franks & Walker (2021), "Quality Evolvability ES", https://arxiv.org/abs/2103.10790: u_i is the rank
of the front in non-dominated sorting by fitness and |b_i - mean b|^2.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError, require
from aiga.core.lifts import Scanned
from aiga.core.protocols import Env, Evaluation, Info, Key, Transition
from aiga.core.trees import Layout, take
from aiga.envs.brax import Brax, BraxState
from aiga.envs.stepper import Stepper, Stepping
from aiga.inspect import robot_lives
from aiga.inspect.vine import Individual
from aiga.learners.episodes import Played, play, trace
from aiga.nn.mlp import MLP, mlp, tanh
from aiga.nn.normaliser import Normaliser
from aiga.runs.claims import Claim
from aiga.runs.events import Born, Cloud
from aiga.runs.record import Run
from aiga.runs.report import Figure, style
from aiga.selection import nsga2
from aiga.strategies.evolvability import Diversity, Unit
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import ESState, OpenAIES, by_fitness, centred_ranks

ABOUT = {"papers": (35,), "pillar": "stepping stones", "needs": ()}


class Seen(NamedTuple):
    """Of one episode's observations: how many, their sum and their sum of squares."""

    steps: Float[Array, "*n"]
    total: Float[Array, "*n o"]
    square: Float[Array, "*n o"]


class Evolving(NamedTuple):
    """The state: where the cloud is, and what its observations have been."""

    es: ESState
    seen: Normaliser


class Interference(eqx.Module):
    """The paper's toy: a number x behaves as 5 sin(x / 5) sin(20 x), which varies most around x = 5 pi / 2."""

    features: int = eqx.field(static=True, default=0)

    def build(self, key: Key) -> Float[Array, "1"]:
        del key
        return jnp.ones(1)

    def __call__(self, key: Key, genomes: Float[Array, "n 1"], seen: Normaliser) -> Evaluation:
        del key, seen
        behaviour = 5 * jnp.sin(genomes / 5) * jnp.sin(20 * genomes)
        nothing = jnp.zeros((len(genomes), 0))
        return Evaluation(behaviour[:, 0], behaviour, Seen(nothing.sum(1), nothing, nothing))


class Locomotion(eqx.Module):
    """A body whose behaviour is where its episode ends; fitness is how far from the start that is.

    The genome is a perceptron from normalised observations to actions between -1 and 1.
    """

    env: Env
    params: PyTree
    place: Callable[[PyTree], Float[Array, " d"]] = eqx.field(static=True)
    """From the world's state to where the body is."""
    features: int = eqx.field(static=True)
    actions: int = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def build(self, key: Key) -> MLP:
        return mlp(key, (self.features, *self.hidden, self.actions), tanh, last=tanh)

    def __call__(self, key: Key, genomes: MLP, seen: Normaliser) -> Evaluation:
        act = partial(acted, seen)
        return self._judged(play(key, self.env, self.params, act, genomes, self.steps, watch=observed))

    @eqx.filter_jit
    def trace(
        self, key: Key, genomes: MLP, rows: Int[Array, " m"], seen: Normaliser
    ) -> tuple[Evaluation, Float[Array, "t m d"]]:
        """What a call gives, and where some of the bodies were, at first and after every step."""

        def look(state: PyTree) -> Float[Array, "m d"]:
            return jax.vmap(self.place)(take(state, rows))

        act = partial(acted, seen)
        played, path = trace(key, self.env, self.params, act, genomes, self.steps, look=look, watch=observed)
        return self._judged(played), path

    def _judged(self, played: Played) -> Evaluation:
        behaviour = jax.vmap(self.place)(played.state)
        return Evaluation(jnp.linalg.norm(behaviour, axis=1), behaviour, played.watched)


def acted(
    seen: Normaliser, key: Key, network: MLP, observation: Array, memory: PyTree
) -> tuple[Float[Array, " a"], PyTree]:
    """The network's answer to what is observed, normalised."""
    del key
    return network(seen.apply(observation)), memory


def observed(after: Transition) -> Seen:
    """What a step adds to the normaliser."""
    return Seen(jnp.ones(()), after.observation, after.observation**2)


class Quality(eqx.Module):
    """Utilities of Quality Evolvability ES: the front by fitness and by distance from the mean behaviour."""

    diversity: Diversity

    def __call__(self, evaluation: Evaluation) -> Float[Array, " n"]:
        apart = self.diversity(evaluation)
        front = nsga2.fronts(jnp.stack([evaluation.fitness, apart], axis=1))
        return centred_ranks(jnp.where(jnp.isnan(apart), jnp.nan, -front))


class Towards(eqx.Module):
    """Utilities of a task: how far a behaviour goes in the wanted direction."""

    direction: Float[Array, " d"]

    def __call__(self, evaluation: Evaluation) -> Float[Array, " n"]:
        return centred_ranks(evaluation.descriptor @ self.direction)


class EvolvabilityES(eqx.Module):
    """A generation: perturb, see how the perturbations behave, and move to where they differ more."""

    es: OpenAIES
    world: Interference | Locomotion
    operator: str = eqx.field(static=True)
    block: int | None = eqx.field(static=True)
    """Pairs whose genomes are in memory together; None: as many as fit in a core's cache."""
    clouds: int = eqx.field(static=True, default=1)
    """Generations from one recorded cloud to the next; 0: none is recorded."""

    def init(self, key: Key) -> Evolving:
        return Evolving(self.es.init(key), Normaliser.none((self.world.features,)))

    def step(self, key: Key, state: Evolving) -> tuple[Evolving, Info]:
        evaluate = partial(self.world, seen=state.seen)
        es, candidates, evaluation, info = self.es.generation(key, state.es, evaluate, self.block)
        fields = self.es.births(state.es, candidates, evaluation)
        seen = state.seen.after(*(x.sum(0) for x in evaluation.aux))
        behaviour = evaluation.descriptor
        spread = jnp.sqrt(jnp.nanvar(behaviour, axis=0).sum())
        best = jnp.nanmax(behaviour @ jnp.asarray(directions(behaviour.shape[1])).T, axis=0)
        metrics = {"evolvability/spread": spread, "evolvability/best_offspring": best.mean()}
        info = {**info, **metrics, "born": Born(operator=self.operator, **fields)}
        if self.clouds:
            cloud = self.es.cloud(key, state.es, candidates, evaluation)
            cloud |= {"context": state.seen.numbers[None], "kept": state.es.generation[None] % self.clouds == 0}
            info["cloud"] = Cloud(**cloud, names=("x", "y") if behaviour.shape[1] == 2 else ())
        return Evolving(es, seen), info

    @eqx.filter_jit
    def cloud(self, key: Key, state: Evolving, generations: int = 4) -> Float[Array, "n d"]:
        """How fresh perturbations of the mean behave: as many as in so many generations."""

        def behaviour(key: Key) -> Float[Array, "b d"]:
            draw, evaluate = jax.random.split(key)
            return self.world(evaluate, self.es.ask(draw, state.es).genomes, state.seen).descriptor

        clouds = jax.lax.map(behaviour, jax.random.split(key, generations))
        return clouds.reshape(-1, clouds.shape[-1])


def directions(dimensions: int, count: int = 8) -> Float[np.ndarray, "k d"]:
    """The tasks: along a line, both ways; in a plane, `count` ways all round."""
    if dimensions == 1:
        return np.array([[1.0], [-1.0]], np.float32)
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class Examined(eqx.Module):
    """Generations, and then an examination that the search does not see: how far the mean can be taken.

    From the mean, some steps of an ordinary evolution strategy for every direction; then how far in that direction the
    episode of the mean that came of it ends.
    """

    generations: Scanned
    search: EvolvabilityES
    adapting: OpenAIES
    steps: int = eqx.field(static=True)
    tasks: Float[Array, "k d"]

    def init(self, key: Key) -> Evolving:
        return self.generations.init(key)

    @eqx.filter_jit
    def step(self, key: Key, state: Evolving) -> tuple[Evolving, Info]:
        search, examine = jax.random.split(key)
        state, info = self.generations.step(search, state)
        keys = jax.random.split(examine, len(self.tasks))
        adapted = jax.lax.map(lambda turn: self.adapted(turn[0], turn[1], state), (keys, self.tasks))
        metrics = {"evolvability/adapted": adapted.mean(), "evolvability/worst_adapted": adapted.min()}
        return state, {**info, **metrics}

    def adapted(self, key: Key, task: Float[Array, " d"], state: Evolving) -> Float[Array, ""]:
        """How far the mean comes in one direction."""
        adapt, look = jax.random.split(key)
        evaluate = partial(self.search.world, seen=state.seen)
        es = eqx.tree_at(lambda x: x.shape, self.adapting, Towards(task))

        def step(mean: ESState, key: Key) -> tuple[ESState, None]:
            return es.generation(key, mean, evaluate, self.search.block)[0], None

        after, _ = jax.lax.scan(step, es.begin(state.es.mean), jax.random.split(adapt, self.steps))
        alone = jax.tree.map(lambda x: x[None], es.genome(after))
        return (evaluate(look, alone).descriptor @ task)[0]


def make(
    world: Literal["stepper", "interference", "halfcheetah", "ant"] = "stepper",
    objective: Literal["max_ent", "max_var", "quality", "fitness"] = "max_ent",
    estimator: Literal["direct", "graph"] = "direct",
    unit: Unit = "ranks",
    bandwidth: float = 1.0,
    pairs: int = 64,
    sigma: float = 0.05,
    learning_rate: float = 0.02,
    l2: float = 0.1,
    optimiser: Literal["adam", "sgd"] = "adam",
    hidden: int = 16,
    horizon: int = 64,
    adaptation: int = 1,
    adaptation_pairs: int = 32,
    adaptation_rate: float = 0.05,
    block: int = 0,
    fuse: int = 50,
    clouds: int = 1,
) -> Examined:
    """Evolve parameters whose perturbations behave in diverse ways.

    Args:
        world: A stepper with two feet on a plane, the interference toy of one number, or a robot of brax.
        objective: Entropy or variance of the behaviour; fitness and variance, as in Quality Evolvability ES; or, as a
            control, fitness alone: how far from the start an episode ends.
        estimator: How the utilities of entropy and variance are derived: by hand, or by differentiating the statistic.
        unit: In which behaviours are compared: ranks, standard deviations, or as they are.
        bandwidth: Of the kernel of the entropy, in that unit.
        pairs: Pairs of perturbations of a generation.
        sigma: Standard deviation of a perturbation.
        learning_rate: Of the mean.
        l2: Weight decay, against an estimate that is twice the gradient of the mean utility.
        optimiser: Adam, or plain gradient ascent.
        hidden: Units of both layers of the network.
        horizon: Steps of an episode.
        adaptation: Steps of an evolution strategy with which the mean is examined in each direction.
        adaptation_pairs: Pairs of perturbations of such a step.
        adaptation_rate: Learning rate of such a step.
        block: Pairs evaluated at once, a divisor of both numbers of pairs; 0: as many as fit in a core's cache.
        fuse: Generations in a step of the run.
        clouds: Record the perturbations of every so many generations; 0: of none.
    """
    if block and (pairs % block or adaptation_pairs % block):
        raise UsageError(f"--block is {block}: give a divisor of {pairs} and of {adaptation_pairs} pairs, or 0.")
    if min(hidden, horizon) < 1 or adaptation < 0 or not bandwidth > 0:
        given = f"--hidden {hidden}, --horizon {horizon}, --bandwidth {bandwidth}, --adaptation {adaptation}"
        raise UsageError(f"{given}: give numbers above zero, or 0 for --adaptation.")
    body = embodied(world, hidden, horizon)
    diversity = Diversity("entropy" if objective == "max_ent" else "variance", estimator, unit, bandwidth)
    shape = {"quality": Quality(diversity), "fitness": by_fitness}.get(objective, diversity)
    parts = NoiseTable.make(), Layout.of(body.build(jax.random.key(0))), body.build
    es = OpenAIES(*parts, pairs, sigma, learning_rate, l2, divide=True, optimiser=optimiser, shape=shape)
    adapting = OpenAIES(*parts, adaptation_pairs, sigma, adaptation_rate, 0.0)
    search = EvolvabilityES(es, body, objective, block or None, clouds)
    tasks = directions(1 if world in ("interference", "halfcheetah") else 2)
    return Examined(Scanned(search, fuse), search, adapting, adaptation, jnp.asarray(tasks))


def embodied(world: str, hidden: int, horizon: int) -> Interference | Locomotion:
    """The world of that name."""
    if world == "interference":
        return Interference()
    if world == "stepper":
        env, params, place = Stepper(horizon), jnp.zeros(2), stepped
    else:
        env = Brax(world, horizon=horizon)
        params, place = env.params, walked if world == "ant" else walked_forward
    return Locomotion(env, params, place, env.features, env.actions, (hidden, hidden), horizon)


def stepped(state: Stepping) -> Float[Array, "2"]:
    """Where the stepper is."""
    return state.position


def walked(state: BraxState) -> Float[Array, "2"]:
    """Where the robot is."""
    return state.place


def walked_forward(state: BraxState) -> Float[Array, "1"]:
    """Where a robot is that can only walk to and fro."""
    return state.place[:1]


PAPER = {
    "world": "ant", "pairs": 5000, "sigma": 0.02, "learning_rate": 0.01, "l2": 0.01, "hidden": 256, "horizon": 1000,
    "adaptation_pairs": 500, "block": 500, "fuse": 10,
}  # fmt: skip
"""10 steps are the 100 generations; the other robot is `halfcheetah`.  The examination is ours, and half as large as
the search.  `l2` is twice the authors' weight decay, as is our estimate of the gradient theirs."""

ORDINARY = {"objective": "fitness", "learning_rate": 0.0003, "adaptation_rate": 0.1}
UNTRAINED = {"learning_rate": 0.0, "adaptation_rate": 0.1}
VARIANCE = {"objective": "max_var", "learning_rate": 0.01}
"""Settings were chosen for each arm, on seeds from 100."""

CLAIM = (
    Claim(
        statement="Perturbations of what Evolvability ES finds end their episodes farther apart than those of what an"
        " ordinary evolution strategy finds with as many evaluations.",
        source="Gajewski et al. 2019, abstract",
        metric="evolvability/spread",
        treatment={},
        control=ORDINARY,
        steps=12,
        others={"MaxVar": VARIANCE, "untrained": UNTRAINED},
        also=("evolvability/best_offspring", "es/fitness"),
    ),
    Claim(
        statement="One step of an ordinary evolution strategy takes what Evolvability ES finds farther in a wanted"
        " direction than it takes what an ordinary evolution strategy finds with as many evaluations.",
        source="Gajewski et al. 2019, abstract",
        metric="evolvability/adapted",
        treatment={},
        control=ORDINARY,
        steps=12,
        others={"MaxVar": VARIANCE, "untrained": UNTRAINED},
        also=("evolvability/worst_adapted",),
    ),
)


def figures(run: Run) -> list[Figure]:
    """Where perturbations of the mean end."""
    graph = require("plotly.graph_objects", "report")
    search = make(**run.options).search
    cloud = np.asarray(search.cloud(jax.random.key(0), run.state))
    x, y = cloud[:, 0], cloud[:, 1] if cloud.shape[1] > 1 else np.zeros(len(cloud))
    content = graph.Figure(graph.Scatter(x=x, y=y, mode="markers", marker={"size": 4}))
    content.update_yaxes(scaleanchor="x")
    spread = np.nanvar(cloud, axis=0).sum() ** 0.5
    style(content, height=560, width=640, xaxis_title="behaviour 1", yaxis_title="behaviour 2")
    said = f"Where {len(cloud)} fresh perturbations of the mean end; spread {spread:.3g}."
    return [Figure("Perturbations", said, content)]


def replay(run: Run, individual: Individual) -> Iterable[Figure]:
    """The episode of a perturbation, or of the mean."""
    search = make(**run.options).search
    body, seen = search.world, run.state.seen
    if isinstance(body, Interference):
        raise UsageError("a number of the toy `interference` has no life that could be run again.")
    if individual.member is None:
        individual.row(run.state.es.identity[None])
        return [robot_lives.alone(individual.name, search.es.genome(run.state.es), partial(body.trace, seen=seen))]
    trace = partial(body.trace, seen=seen.of_numbers(jnp.asarray(individual.member.cloud.context)))
    return [robot_lives.candidate(individual.member, search.es, search.block, trace)]


if __name__ == "__main__":
    import aiga

    aiga.run("evolvability_es", steps=12)
