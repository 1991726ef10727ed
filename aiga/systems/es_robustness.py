"""Evolution strategies look for what stays good when it is perturbed.

Lehman, Chen, Clune & Stanley (2018), "ES is more than just a traditional finite-difference approximator",
https://arxiv.org/abs/1712.06568:

    ES climbs the mean fitness of a cloud of weights, not the fitness of its middle

    train policies by ES, by a genetic algorithm (GA) and by policy gradients (here PPO), to the same return
    for each policy:
        repeat many times:  add fresh normal noise to all weights, as wide as ES's cloud, and play an episode
        compare these returns with those of the policy itself

`climb` shows the same on landscapes of two numbers (`envs/landscapes`).
"""

from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError, require
from aiga.core.lifts import Scanned
from aiga.core.protocols import Env, Evaluation, Info, Key
from aiga.core.trees import Layout
from aiga.envs.gymnax import Gymnax
from aiga.envs.landscapes import Landscape
from aiga.learners.episodes import play
from aiga.learners.ppo import PPO, Trained, Training
from aiga.nn.mlp import MLP
from aiga.nn.policy import Policy, make_policy
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, Figure, style
from aiga.strategies.genetic import Genetic, Mutation, Parents
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import ESState, OpenAIES

ABOUT = {"papers": (47,), "pillar": "learning", "needs": ("gymnax",)}


class World(NamedTuple):
    """What a policy is trained in."""

    worst: float
    """The return that counts as nothing."""
    goal: float
    """The return that all policies are trained to."""
    steps: int


WORLDS = {"CartPole-v1": World(0.0, 475.0, 500), "Acrobot-v1": World(-500.0, -100.0, 500)}


ANNEALED = 100
"""Rollouts over which PPO's learning rate falls; each is 16 minibatches."""


class Examined(NamedTuple):
    """How a policy plays, and how it plays with noise on its weights."""

    plain: Float[Array, ""]
    """Mean return."""
    noisy: Float[Array, " n"]
    """Returns, one for each noise."""


class Progress(NamedTuple):
    """The state: what is trained, and for how long."""

    trained: PyTree
    generations: Int[Array, ""]


class Players(eqx.Module):
    """A population of policies in a world; they take their best action."""

    env: Env
    params: PyTree
    rest: PyTree
    """A policy's network without its weights."""
    layout: Layout
    steps: int = eqx.field(static=True)

    def __call__(self, key: Key, genomes: PyTree) -> Evaluation:
        returned = play(key, self.env, self.params, self.act, genomes, self.steps).returned
        return Evaluation(returned, jnp.zeros((returned.size, 0)))

    def act(self, key: Key, genome: PyTree, observation: Array, memory: tuple[()]) -> tuple[Array, tuple[()]]:
        del key
        return jnp.argmax(eqx.combine(genome, self.rest)(observation)), memory


def robustness(key: Key, players: Players, genome: PyTree, sigma: float, n: int, episodes: int = 64) -> Examined:
    """The mean return of a policy, and its returns under `n` fresh noises of deviation `sigma` on all weights."""
    draw, games = jax.random.split(key)
    weights = players.layout.flat(genome)
    noise = sigma * jax.random.normal(draw, (n, weights.size))
    cloud = jnp.concatenate([jnp.zeros((episodes, weights.size)), noise])
    returned = players(games, players.layout.tree(weights + cloud)).fitness
    return Examined(returned[:episodes].mean(), returned[episodes:])


class ByES(eqx.Module):
    """Training by OpenAI's evolution strategy; the policy is the middle of the cloud."""

    strategy: OpenAIES
    players: Players

    def init(self, key: Key) -> ESState:
        return self.strategy.init(key)

    def step(self, key: Key, state: ESState) -> tuple[ESState, Info]:
        ask, games, tell = jax.random.split(key, 3)
        candidates = self.strategy.ask(ask, state)
        evaluation = self.players(games, candidates.genomes)
        after, _ = self.strategy.tell(tell, state, candidates, evaluation)
        return after, {"born": Born(operator="es", **self.strategy.births(state, candidates, evaluation))}

    def genome(self, state: ESState) -> PyTree:
        return self.strategy.genome(state)


class ByGA(eqx.Module):
    """Training by truncation selection; the policy is the elite.

    As in Such et al. (2017), https://arxiv.org/abs/1712.06567, the elite is the best in more episodes of a few that
    were good in one.
    """

    strategy: Genetic
    players: Players
    contenders: int = eqx.field(static=True, default=8)
    episodes: int = eqx.field(static=True, default=16)

    def init(self, key: Key) -> Parents:
        return self.strategy.init(key)

    def step(self, key: Key, state: Parents) -> tuple[Parents, Info]:
        ask, games, again = jax.random.split(key, 3)
        candidates = self.strategy.ask(ask, state)
        evaluation = self.players(games, candidates.genomes)
        best = jnp.argsort(-evaluation.fitness)[: self.contenders]
        few = jax.tree.map(lambda old, new: jnp.concatenate([old[:1], new[best]]), state.genomes, candidates.genomes)
        returns = self.players(again, jax.tree.map(lambda x: jnp.repeat(x, self.episodes, axis=0), few)).fitness
        means = returns.reshape(-1, self.episodes).mean(axis=1)
        means = means.at[0].set(jnp.where(state.generation == 0, -jnp.inf, means[0]))  # nobody yet
        first = jnp.argmax(means)  # of equals, the elite
        elite = jnp.where(first == 0, -1, best[first - 1])
        after, _ = self.strategy.succeed(state, candidates, evaluation.fitness, elite, means[first])
        return after, {"born": Born(operator="ga", **self.strategy.births(candidates, evaluation, after))}

    def genome(self, state: Parents) -> PyTree:
        return self.strategy.genome(state)


class ByPPO(eqx.Module):
    """Training by proximal policy optimisation; the policy is the actor."""

    training: Training

    def init(self, key: Key) -> Trained:
        return self.training.init(key)

    def step(self, key: Key, state: Trained) -> tuple[Trained, Info]:
        return self.training.step(key, state)[0], {}

    def genome(self, state: Trained) -> PyTree:
        return eqx.filter(actor(state.learner.policy), eqx.is_array)


def actor(policy: Policy) -> MLP:
    """The network that acts."""
    return policy.actor.network  # pyright: ignore[reportFunctionMemberAccess]  # it is `Discrete`


class EsRobustness(eqx.Module):
    """Train a policy until it plays well, and measure what of that noise on its weights leaves."""

    trainer: ByES | ByGA | ByPPO
    players: Players
    worst: float
    goal: float
    least: int = eqx.field(static=True)
    sigma: float
    noises: int = eqx.field(static=True)
    fuse: int = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Progress:
        return Progress(self.trainer.init(key), jnp.zeros((), jnp.int32))

    def step(self, key: Key, state: Progress) -> tuple[Progress, Info]:
        state, info = self.advance(key, state)
        over = float(info["policy/return"]) >= self.goal and int(state.generations) >= self.least
        return state, {**info, "run/finished": 1} if over else info

    @eqx.filter_jit
    def advance(self, key: Key, state: Progress) -> tuple[Progress, Info]:
        train, examine = jax.random.split(key)
        trained, info = Scanned(self.trainer, self.fuse).step(train, state.trained)
        examined = robustness(examine, self.players, self.trainer.genome(trained), self.sigma, self.noises)
        gained = examined.plain - self.worst
        kept = (examined.noisy - self.worst) / jnp.maximum(gained, 1e-6)
        state = Progress(trained, state.generations + self.fuse)
        return state, {
            **info,
            "policy/return": examined.plain,
            "robust/return": jnp.median(examined.noisy),
            "robust/kept": jnp.median(kept),
            "robust/kept_lowest_tenth": jnp.quantile(kept, 0.1),
            "robust/kept_mean": kept.mean(),
            "train/generations": state.generations,
        }


def make(
    by: Literal["es", "ga", "ppo"] = "es",
    world: Literal["CartPole-v1", "Acrobot-v1"] = "CartPole-v1",
    hidden: int = 16,
    sigma: float = 0.3,
    population: int = 128,
    learning_rate: float = 0.05,
    parents: int = 16,
    ppo_learning_rate: float = 2.5e-3,
    noises: int = 256,
    goal: float | None = None,
    least: int = 60,
    fuse: int = 2,
) -> EsRobustness:
    """Train a policy to a return, and see what of it is left under noise on the weights.

    Args:
        by: What trains it: an evolution strategy, a genetic algorithm, or proximal policy optimisation.
        world: What it plays.
        hidden: Units of its hidden layer.
        sigma: Standard deviation of ES's cloud, of the GA's mutations, and of the noise of the measurement.
        population: Candidates of a generation of ES and GA, an even number.
        learning_rate: Of ES.
        parents: Best of a generation of the GA that have children.
        ppo_learning_rate: Of PPO at the beginning; it falls to a twentieth over 100 rollouts.
        noises: Perturbed policies of a measurement.
        goal: Mean return at which training ends; None: the world's own, 475 or -100.
        least: Generations, or PPO's rollouts, before which training does not end.
        fuse: Generations, or PPO's rollouts, of a step of the run.
    """
    if population < 2 or population % 2:
        raise UsageError(f"--population is {population}: give an even number, mirrored pairs need one.")
    if min(hidden, noises, fuse) < 1 or not sigma > 0:
        raise UsageError(
            f"--hidden {hidden}, --noises {noises}, --fuse {fuse}, --sigma {sigma}: give numbers above zero."
        )
    place, env = WORLDS[world], Gymnax(world)
    build = partial(make_policy, features=env.shape[0], actions=env.actions, hidden=(hidden,))
    weights = Weights(env.shape[0], env.actions, hidden)
    example, rest = eqx.partition(actor(build(jax.random.key(0))), eqx.is_array)
    layout = Layout.of(example)
    players = Players(env, env.params, rest, layout, place.steps)
    if by == "es":
        trainer = ByES(
            OpenAIES(NoiseTable.make(), layout, weights, population // 2, sigma, learning_rate, l2=0.0), players
        )
    elif by == "ga":
        trainer = ByGA(Genetic(Mutation(NoiseTable.make(), layout, sigma), weights, population, parents), players)
    else:
        rate = optax.linear_schedule(ppo_learning_rate, ppo_learning_rate / 20, 16 * ANNEALED)
        ppo = PPO(learning_rate=rate, clip=0.2, epochs=4, value_clip=False)
        trainer = ByPPO(Training(env, env.params, ppo, build, worlds=16, length=128))
    return EsRobustness(trainer, players, place.worst, place.goal if goal is None else goal, least, sigma, noises, fuse)


class Weights(eqx.Module):
    """From a key to the weights of an actor, as PPO begins with them."""

    features: int = eqx.field(static=True)
    actions: int = eqx.field(static=True)
    hidden: int = eqx.field(static=True)

    def __call__(self, key: Key) -> PyTree:
        policy = make_policy(key, self.features, self.actions, hidden=(self.hidden,))
        return eqx.filter(actor(policy), eqx.is_array)


def climb(
    key: Key, landscape: Landscape, sigma: float, *, steps: int = 300, pairs: int = 200, rate: float = 0.05
) -> Float[Array, "t 2"]:
    """The path of an evolution strategy's middle, or with `sigma` 0 of ascent by central finite differences.

    The estimate is that of the gradient of the cloud's mean fitness; steps are at most `rate` long.
    """

    def direction(key: Key, x: Float[Array, "2"]) -> Float[Array, "2"]:
        noise = jax.random.normal(key, (pairs, 2)) if sigma else jnp.eye(2)
        width = sigma or 1e-3
        up, down = (jax.vmap(landscape.fitness)(x + sign * width * noise) for sign in (1, -1))
        return (up - down) @ noise / (2 * width * (pairs if sigma else 1))

    def move(x: Float[Array, "2"], key: Key) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        step = direction(key, x)
        x = x + rate * step / jnp.maximum(1, jnp.linalg.norm(step))
        return x, x

    return jax.lax.scan(move, jnp.array(landscape.start), jax.random.split(key, steps))[1]


PAPER = {"population": 10_000, "noises": 1000, "hidden": 256}
"""A large population and network for one GPU; the paper's humanoid is not among the worlds."""

CLAIM = Claim(
    statement="Trained on at the same return, an evolution strategy's policy keeps more of it under noise on its"
    " weights, as wide as the strategy's own, than the policy of policy gradients.",
    source="Lehman et al. 2018, abstract: networks from policy gradients are significantly less robust",
    metric="robust/kept",
    treatment={},
    control={"by": "ppo", "least": 10},
    steps=60,
    others={"ga": {"by": "ga"}, "es at once": {"least": 0}, "ppo trained on": {"by": "ppo"}},
    also=("policy/return", "robust/kept_lowest_tenth", "train/generations"),
)


def figures(run: Run) -> list[Figure]:
    """The return of the policy, and what of it noise leaves."""
    graph = require("plotly.graph_objects", "report")
    content = graph.Figure()
    for name, colour in (("policy/return", FAINT), ("robust/return", ACCENT)):
        steps, values = run.metric(name)
        content.add_scatter(x=steps, y=values, mode="lines", name=name, line={"color": colour})
    style(content, height=360, xaxis_title="step", yaxis_title="return")
    said = "Mean return of the policy, and the median return with noise on all its weights."
    return [Figure("Robustness", said, content)]


if __name__ == "__main__":
    import aiga

    aiga.run("es_robustness", steps=60)
