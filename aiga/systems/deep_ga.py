"""Deep GA: a simple genetic algorithm for deep networks, whose genomes are chains of seeds.

Such et al. (2017), "Deep neuroevolution: genetic algorithms are a competitive alternative for training deep neural
networks for reinforcement learning", https://arxiv.org/abs/1712.06567, with the details of the authors' code,
https://github.com/uber-research/deep-neuroevolution, `gpu_implementation/ga.py`:

    generation 1: N random networks, each a place in a table of noise
    repeat:
        evaluate all; score each by its return, or, GA-NS, by the novelty of what it did
        elite   <- of the last elite and the 9 best, the one with the best mean of 30 further episodes
        parents <- the elite and the best others, T in all
        each child: a random parent's chain and one more (place, power): weights + power * noise;  no crossover

T = 0 is random search.  The state has chains only; weights are decoded where they are needed.  In the maze, where an
episode has no chance in it, one episode decides on the elite.
"""

from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from aiga.archives.novelty import Novelty
from aiga.core.errors import UsageError
from aiga.core.lifts import maybe
from aiga.core.protocols import Candidates, Evaluation, Info, Key, Pool
from aiga.core.trees import Layout, grow, take
from aiga.envs.maze import HARD_MAZE
from aiga.inspect import chain_lives, mazes
from aiga.inspect.vine import Individual
from aiga.learners.arcade import Arcade, Console
from aiga.learners.drives import Drive, driven
from aiga.runs.claims import Claim
from aiga.runs.events import Born, Cloud
from aiga.runs.pools import Serial
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.strategies.genetic import Genetic, Parents
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import ESState, OpenAIES
from aiga.strategies.seed_chains import Chains, Extension, Start, compression, on_host, places, with_room

ABOUT = {"papers": (48,), "pillar": "learning", "needs": ()}

IDLE = 7
"""Steps without action before an Atari episode, at most: of four frames each, the usual 30 frames."""
REACHED = -10.0
"""The fitness in the maze, minus the final distance, above which the goal has been reached."""


@runtime_checkable
class World(Protocol):
    """Where chains are evaluated: `Drive` or `Arcade`."""

    numbers: int
    """Weights of a network."""

    def evaluate(self, key: Key, chains: Chains) -> Evaluation | Awaitable[Evaluation]:
        """An episode each; `aux` is how many steps each took."""
        ...


class Record(NamedTuple):
    """What has been evaluated so far."""

    ended: Float[np.ndarray, "rows d"]
    """The descriptor of every individual, in order; the first `evaluations` rows."""
    evaluations: Int[np.ndarray, ""]
    steps: Int[np.ndarray, ""]
    best: Float[np.ndarray, ""]
    solved: Int[np.ndarray, ""]
    """Evaluations up to the first that reached the goal; 0: none has."""

    @classmethod
    def none(cls, dimensions: int) -> "Record":
        """Nothing yet."""
        zero = np.zeros((), np.int64)
        return cls(np.zeros((4096, dimensions), np.float32), zero, zero, np.array(-np.inf), zero)

    def after(self, evaluation: Evaluation) -> "Record":
        """With another generation, of which `aux` is the steps."""
        fitness = np.asarray(evaluation.fitness, float)
        size, end, capacity = int(self.evaluations), int(self.evaluations) + len(fitness), len(self.ended)
        while capacity < end:
            capacity *= 2
        ended = grow(self.ended, capacity)
        ended[size:end] = evaluation.descriptor
        reached = fitness > REACHED
        solved = self.solved if self.solved or not reached.any() else np.array(size + 1 + int(reached.argmax()))
        best = np.fmax(self.best, np.fmax.reduce(fitness))
        return Record(ended, np.array(end), self.steps + int(np.sum(evaluation.aux)), best, solved)

    def metrics(self) -> Info:
        info = {
            "search/evaluations": int(self.evaluations),
            "search/steps": int(self.steps),
            "search/best": float(self.best),
        }
        if self.ended.shape[1]:
            info |= {"maze/solved": int(self.solved > 0), "maze/solved_after": int(self.solved)}
        return info


class Searched(NamedTuple):
    """The state of `DeepGA`."""

    population: Parents
    elite: Float[Array, "1 d"]
    """What the elite did; NaN: there is none."""
    archive: Novelty
    record: Record


class DeepGA:
    """The genetic algorithm, over chains."""

    def __init__(
        self, strategy: Genetic, world: World, archive: Novelty, *, novelty: bool, proven: int = 0, episodes: int = 30
    ) -> None:
        """`archive`: the empty one; `proven`: how many are tried for `episodes` to find the elite, 0: one will do."""
        self.strategy, self.world, self.archive = strategy, world, archive
        self.novelty, self.proven, self.episodes = novelty, proven, episodes

    def init(self, key: Key) -> Searched:
        dimensions = self.archive.descriptor.shape[1]
        nothing = jnp.full((1, dimensions), jnp.nan, float)
        return Searched(self.strategy.init(key), nothing, self.archive, Record.none(dimensions))

    async def step(self, key: Key, state: Searched) -> tuple[Searched, Info]:
        ask, evaluate, prove, tell = jax.random.split(key, 4)
        words = np.concatenate([jax.random.key_data(ask), jax.random.key_data(evaluate)])
        population = state.population._replace(genomes=with_room(state.population.genomes))
        candidates = _ask(self.with_room_of(population), ask, population)
        evaluation = await maybe(self.world.evaluate(evaluate, candidates.genomes))
        record = state.record.after(evaluation)
        archive, population, scored = self.score(state, population, evaluation)
        if self.proven:
            after, info, proof = await self.prove(prove, population, candidates, scored)
            record = record.after(proof)
        else:
            after, info = _tell(self.strategy, tell, population, candidates, scored)
        born = Born(operator="mutation", **self.strategy.births(candidates, evaluation, after))
        elite = took_over(after, evaluation.descriptor, state.elite)
        info = {**info, **record.metrics(), **self.compactness(after), "born": born}
        if evaluation.descriptor.shape[1]:
            info["cloud"] = self.cloud(words, state, candidates, evaluation)
        return Searched(after, elite, archive, record), info

    def cloud(
        self, words: UInt32[np.ndarray, " k"], state: Searched, candidates: Candidates, evaluation: Evaluation
    ) -> Cloud:
        """The generation as its pseudo-offspring: each has a parent of its own, and the elite stands for all."""
        assert candidates.noise is not None
        assert candidates.parents is not None
        fitness = jnp.nan if self.novelty else state.population.fitness[0]
        fields = {
            "parent": state.population.identity[0],
            "generation": state.population.generation,
            "behaviour": evaluation.descriptor,
            "fitness": evaluation.fitness,
            "noise": candidates.noise,
            "sign": jnp.ones_like(candidates.noise),
            "key": words,
            "parent_behaviour": state.elite[0],
            "parent_fitness": jnp.asarray(fitness),
            "parents": candidates.parents[:, 0],
        }
        return Cloud(**{name: np.asarray(value)[None] for name, value in fields.items()}, names=("x", "y"))

    def with_room_of(self, population: Parents) -> Genetic:
        """The strategy, whose random chains have as much room as those of the population."""
        start = self.strategy.build
        assert isinstance(start, Start)
        return replace(self.strategy, build=replace(start, room=population.genomes.places.shape[-1]))

    def score(
        self, state: Searched, population: Parents, evaluation: Evaluation
    ) -> tuple[Novelty, Parents, Evaluation]:
        """What selection looks at: the fitness, or how novel each is now, the elite included."""
        if not self.novelty:
            return state.archive, population, evaluation
        archive = state.archive.with_room(len(evaluation.fitness))
        return novel(archive, state.elite, population, evaluation)

    async def prove(
        self, key: Key, population: Parents, candidates: Candidates, evaluation: Evaluation
    ) -> tuple[Parents, Info, Evaluation]:
        """The next parents where the elite is who has the best mean of further episodes; and those episodes."""
        known = int(not np.isnan(np.asarray(population.fitness)[0]))
        best = np.argsort(-np.asarray(evaluation.fitness), kind="stable")[: self.proven - known]
        rows = np.concatenate([np.full(known, -1), best])
        pool = jax.tree.map(lambda new, old: jnp.concatenate([new, old[:1]]), candidates.genomes, population.genomes)
        chains = take(pool, rows)
        tried = jax.tree.map(lambda x: jnp.repeat(x, self.episodes, axis=0), chains)
        proof = await maybe(self.world.evaluate(key, tried))
        means = np.asarray(proof.fitness).reshape(len(rows), -1).mean(axis=1)
        first = np.argsort(-means, kind="stable")[0]
        elite = jnp.asarray(-1 if np.isnan(means[first]) else rows[first], jnp.int32)
        merit = jnp.asarray(means[first])
        after, info = _succeed(self.strategy, population, candidates, evaluation.fitness, elite, merit)
        return after, info, proof

    def compactness(self, population: Parents) -> Info:
        """The size of the elite's chain, and how many times larger its weights are."""
        [chain] = on_host(take(population.genomes, slice(0, 1)))
        return {"chain/bytes": len(chain.packed()), "chain/compression": compression(self.world.numbers, chain)}


@eqx.filter_jit
def novel(
    archive: Novelty, elite: Float[Array, "1 d"], population: Parents, evaluation: Evaluation
) -> tuple[Novelty, Parents, Evaluation]:
    """The generation scored by its novelty among itself, the elite and the archive, to which a few are then added."""
    values = archive.novelty(jnp.concatenate([evaluation.descriptor, elite]), with_batch=True)
    archive, _ = archive.add(None, evaluation)
    last = jnp.where(jnp.isnan(population.fitness[0]), jnp.nan, values[-1])
    scores = jnp.where(jnp.isnan(evaluation.fitness), jnp.nan, values[:-1])
    return archive, population._replace(fitness=population.fitness.at[0].set(last)), evaluation._replace(fitness=scores)


@jax.jit
def took_over(after: Parents, ended: Float[Array, "n d"], last: Float[Array, "1 d"]) -> Float[Array, "1 d"]:
    """What the elite did: one of the generation's, or the elite of before."""
    birth, row = after.identity[0]
    return jnp.where(birth == after.generation - 1, ended[row], last)


_ask = eqx.filter_jit(lambda strategy, key, state: strategy.ask(key, state))
_tell = eqx.filter_jit(lambda strategy, *told: strategy.tell(*told))
_succeed = eqx.filter_jit(lambda strategy, *told: strategy.succeed(*told))


class Clouds(NamedTuple):
    """The state of `Following`."""

    cloud: ESState
    record: Record


class Following:
    """The control: OpenAI's evolution strategy in the same maze, with as many evaluations."""

    def __init__(self, strategy: OpenAIES, layout: Layout) -> None:
        self.strategy, self.layout = strategy, layout

    def init(self, key: Key) -> Clouds:
        return Clouds(self.strategy.init(key), Record.none(2))

    def step(self, key: Key, state: Clouds) -> tuple[Clouds, Info]:
        after, candidates, evaluation, info = _follow(self.strategy, self.layout, key, state.cloud)
        record = state.record.after(evaluation)
        cloud = self.strategy.cloud(key, state.cloud, candidates, evaluation)
        info = {**info, "cloud": Cloud(**cloud, names=("x", "y"))}
        born = Born(operator="openai_es", **self.strategy.births(state.cloud, candidates, evaluation))
        return Clouds(after, record), {**info, **record.metrics(), "born": born}


@eqx.filter_jit
def _follow(strategy: OpenAIES, layout: Layout, key: Key, state: ESState) -> Any:
    return strategy.generation(key, state, lambda key, weights: driven(key, layout, weights))


def make(
    world: Literal["maze", "atari"] = "maze",
    search: Literal["ga", "es"] = "ga",
    reward: Literal["fitness", "novelty"] = "novelty",
    population: int = 256,
    parents: int = 20,
    sigma: float = 0.3,
    proven: int = 0,
    episodes: int = 30,
    neighbours: int = 10,
    archived: float = 0.02,
    learning_rate: float = 0.01,
    hidden: int = 16,
    game: str = "frostbite",
    network: Literal["small", "large"] = "small",
    limit: int = 5000,
    table: int = 2**23,
    pool: Pool | None = None,
) -> DeepGA | Following:
    """Evolve networks that leave a deceptive maze, or play Atari.

    Args:
        world: A robot in the hard maze, rewarded for being near the goal in a straight line; or an Atari game.
        search: The genetic algorithm, or, as a control in the maze, OpenAI's evolution strategy.
        reward: What the genetic algorithm selects for: the return, or, in the maze, the novelty of the final place.
        population: Individuals of a generation.
        parents: The T best of them have children; 0 is random search.
        sigma: The power of a mutation; of the evolution strategy, the deviation of its noise.
        proven: So many, the last elite among them, compete in further episodes to be the elite; 0: one episode decides.
        episodes: How many further episodes.
        neighbours: By which novelty is measured, among the archive and the generation.
        archived: Probability that an individual's final place is kept in the archive.
        learning_rate: Of the evolution strategy.
        hidden: Units of the network in the maze.
        game: An Atari game as ale-py names it.
        network: For Atari: the network of the authors' configuration, or that of the paper with 4 million weights.
        limit: Steps of an Atari episode, of four frames each.
        table: Numbers in the noise table; tens of times the weights of a network.
        pool: Where Atari episodes run.
    """
    checked(world, search, reward, population, proven)
    if min(hidden, limit, episodes) < 1:
        raise UsageError(f"--hidden is {hidden}, --limit {limit}, --episodes {episodes}: each must be 1 or more.")
    if not sigma > 0:
        raise UsageError(f"--sigma is {sigma}: give a number above zero.")
    if world == "maze":
        noise = NoiseTable.make(table)
        drive = Drive(hidden, noise, 2 * parents)
        if search == "es":
            return Following(follower(drive, noise, population, sigma, learning_rate), drive.layout)
        place, dimensions = drive, 2
    else:
        console = Console(game, network, table, limit, IDLE, 2 * parents)
        place, dimensions = Arcade(console, pool or Serial()), 0
    starts = places(table, place.numbers)
    strategy = Genetic(Extension(starts, sigma), Start(starts), population, parents)
    archive = Novelty.empty(None, dimensions, k=neighbours, probability=archived)
    return DeepGA(strategy, place, archive, novelty=reward == "novelty", proven=proven, episodes=episodes)


def checked(world: str, search: str, reward: str, population: int, proven: int) -> None:
    """Raises: `UsageError` for options that do not go together."""
    if search == "es" and (world != "maze" or reward != "fitness" or proven or population < 2 or population % 2):
        needed = "--world maze, --reward fitness, --proven 0 and an even --population of 2 or more"
        raise UsageError(f"--search es needs {needed}.")
    if reward == "novelty" and (world != "maze" or proven):
        raise UsageError("--reward novelty needs --world maze and --proven 0; elsewhere give --reward fitness.")
    if proven and not 2 <= proven <= population:
        raise UsageError(f"--proven is {proven}, --population {population}: give 0, or 2 and up to the population.")


def follower(drive: Drive, noise: NoiseTable, population: int, sigma: float, learning_rate: float) -> OpenAIES:
    """The evolution strategy for the maze's network, beginning as the genetic algorithm does."""
    layout = Layout.of(jnp.zeros(drive.numbers))

    def build(key: Key) -> Float[Array, " w"]:
        return jax.random.normal(key, (drive.numbers,)) * drive.scale

    return OpenAIES(noise, layout, build, population // 2, sigma, learning_rate)


PAPER = {
    "world": "atari", "reward": "fitness", "population": 1000, "parents": 20, "sigma": 0.002, "proven": 10,
    "episodes": 30, "network": "large", "limit": 5000, "table": 250_000_000,
}  # fmt: skip
"""As in the authors' `ga_atari_config.json`, which ends after 1.5e9 steps, with the paper's network."""

MAZE = {"reward": "fitness"}
CLAIM = Claim(
    statement="Selected for novelty, the genetic algorithm reaches the goal of the deceptive maze in most runs;"
    " selected for coming near it, it comes no nearer than the nearest dead end, and neither does an evolution strategy"
    " or random search with as many evaluations.",
    source="Such et al. 2017, abstract",
    metric="search/best",
    treatment={},
    control=MAZE,
    steps=100,
    others={"es": {**MAZE, "search": "es"}, "random": {**MAZE, "parents": 0}},
    also=("maze/solved", "maze/solved_after", "search/evaluations"),
)


def figures(run: Run) -> Iterable[Figure]:
    """The maze, with the place where every individual's episode ended."""
    record: Record = run.state.record
    if not record.ended.shape[1]:
        return []
    end, solved = int(record.evaluations), int(record.solved)
    said = f"the first to reach the goal was number {solved:,}" if solved else "none reached the goal"
    drawn = mazes.draw(HARD_MAZE, ends=record.ended[:end])
    return [Figure("Where they ended", f"{end:,} individuals; {said}.", drawn)]


def replay(run: Run, individual: Individual) -> Iterable[Figure]:
    """The way of an individual through the maze again."""
    return chain_lives.again(make(**run.options), run, individual)


if __name__ == "__main__":
    import aiga

    aiga.run("deep_ga", steps=100)
