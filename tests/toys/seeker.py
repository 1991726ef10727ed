"""A search in which a model changes texts: the smallest system with many calls in flight.

repeat, many at a time:
    parent <- one of the eight best texts
    child  <- what the model says to the parent and a number
    the worst of the best gives way to the child, if it is better
"""

import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np

from aiga.core.lifts import SteadyState
from aiga.core.protocols import Candidates, Evaluation
from aiga.core.texts import Memory, hexadecimal
from aiga.fm.messages import Message, ModelFailed
from aiga.fm.offline import Offline
from aiga.runs.events import Born, Failed

ABOUT = {"papers": (), "pillar": "", "needs": ()}
KEPT = 8


class Best(NamedTuple):
    """The best texts, by name."""

    texts: Any
    fitness: Any
    identities: Any
    births: Any


class Seeker:
    """Asks for a text that is made from one of the best; keeps what has the greatest hash."""

    def __init__(self, fm, texts):
        self.fm, self.texts = fm, texts

    def init(self, key):
        first = np.tile(self.texts.put("begin"), (KEPT, 1))
        return Best(first, np.full(KEPT, -1.0), np.full((KEPT, 2), -1), np.zeros((), int))

    def ask(self, key, state):
        parent, number = (int(x) for x in jax.random.randint(key, (2,), 0, np.array([KEPT, 10**6])))
        prompt = f"{number} {self.texts.get(state.texts[parent])}"
        return Candidates(self.texts.put(prompt)[None], state.identities[None, [parent]])

    async def evaluate(self, key, genomes):
        seed = int(jax.random.randint(key, (), 0, 2**30))
        try:
            message = Message("user", self.texts.get(genomes[0]))
            reply = await self.fm.generate([message], seed=seed, task="toy/change", max_tokens=50)
        except ModelFailed as error:
            return Evaluation(np.full(1, np.nan), np.zeros((1, 0)), Failed(error.kind, str(error)))
        fitness = int(hashlib.sha256(reply.text.encode()).hexdigest()[:4], 16)
        return Evaluation(np.full(1, float(fitness)), np.zeros((1, 0)), self.texts.put(reply.text))

    def tell(self, key, state, candidates, evaluation):
        birth = int(state.births)
        identity, fitness = np.array([birth, 0]), evaluation.fitness[0]
        info = {"toy/best": max(fitness, state.fitness.max()), "toy/worst": state.fitness.min()}
        state = state._replace(births=state.births + 1)
        if isinstance(evaluation.aux, Failed):
            return state, info | {"failed": evaluation.aux}
        worst = state.fitness.argmin()
        better = bool(fitness > state.fitness[worst])
        event = Born(identity[None], candidates.parents, "model", np.array([2 * better]), evaluation.fitness)
        info["born"] = event._replace(blob=[hexadecimal(evaluation.aux)])
        if not better:
            return state, info
        row = np.arange(KEPT) == worst
        texts = np.where(row[:, None], evaluation.aux, state.texts)
        identities = np.where(row[:, None], identity, state.identities)
        return Best(texts, np.where(row, fitness, state.fitness), identities, state.births), info


def make(calls: int = 8, hurry: bool = False, *, fm=None, texts=None, journal=None):
    """Seek.

    Args:
        calls: In flight.
        hurry: Wait for no reply longer than five seconds, and ask again at once.
    """
    if hurry:
        fm.attempts.timeout, fm.attempts.backoff = 5.0, 0.001
    seeker = Seeker(fm or Offline({"toy/change": lambda random, facts: f"{random.random()}"}), texts or Memory())
    return SteadyState(seeker, seeker.evaluate, calls, journal)


PAPER: dict[str, Any] = {}
