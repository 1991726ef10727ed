"""A walker learns to cross flat ground, from nothing, by an evolution strategy; then it is filmed.

    python examples/learn_to_walk.py walker.gif

Salimans et al. (2017), https://arxiv.org/abs/1703.03864, with POET's network.  Four minutes on two cores.
"""

import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from aiga.core.protocols import Evaluation, Key
from aiga.envs.hills import Hills, poses
from aiga.envs.terrain import flat
from aiga.inspect import walks
from aiga.learners.episodes import play
from aiga.learners.walkers import Walk, beginner, layout, recorded
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import ESState, OpenAIES

SIZES, ENV = (24, 40, 40, 4), Hills()


def strategy(pairs: int) -> OpenAIES:
    """POET's evolution strategy, with twice its learning rate and no decay."""
    genome = layout(SIZES)
    build = beginner(genome.size, "scratch")
    return OpenAIES(
        NoiseTable.make(2**22), genome, lambda key: genome.tree(build(key)),
        pairs=pairs, sigma=0.1, learning_rate=0.02, l2=0.005, divide=True,
    )  # fmt: skip


def act(key: Key, genome: PyTree, observation: Array, memory: PyTree) -> tuple[Array, PyTree]:
    """What a policy does, it always does."""
    return genome(observation), memory


def generation(es: OpenAIES, key: Key, state: ESState, steps: int) -> tuple[ESState, Float[Array, " n"]]:
    """Episodes of a whole cloud on flat ground, and the cloud moved."""
    ask, walk, tell = jax.random.split(key, 3)
    candidates = es.ask(ask, state)
    returned = play(walk, ENV, flat(), act, candidates.genomes, steps).returned
    state, _ = es.tell(tell, state, candidates, Evaluation(returned, jnp.zeros((returned.size, 0))))
    return state, returned


def learn(pairs: int = 64, steps: int = 500, enough: float = 250.0, most: int = 1000, seed: int = 0) -> np.ndarray:
    """Generations until the mean policy scores `enough` in a whole episode: its weights."""
    es, key, begun = strategy(pairs), jax.random.key(seed), time.monotonic()
    step, state = eqx.filter_jit(generation), es.init(jax.random.key(seed + 1))
    for turn in range(most):
        state, returned = step(es, jax.random.fold_in(key, turn), state, steps)
        if turn % 20 == 19 or turn == most - 1:
            mean = np.asarray(state.mean)
            _, length, score = recorded(Walk(ENV, SIZES, 2000), key, mean, flat())
            seconds = time.monotonic() - begun
            print(f"{turn + 1} generations, {seconds:.0f} s: cloud {returned.mean():.1f}, mean {score:.1f} in {length}")
            if score >= enough:
                break
    return np.asarray(state.mean)


def film(path: Path, mean: np.ndarray) -> float:
    """The first ten seconds of an episode as a GIF, and its return."""
    states, length, score = recorded(Walk(ENV, SIZES, 2000), jax.random.key(0), mean, flat())
    seen = np.asarray(poses(states))[: min(length, 500)]
    walks.film(path, flat(), seen)
    return score


if __name__ == "__main__":
    print(f"{film(Path(sys.argv[1]), learn()):.1f}")
