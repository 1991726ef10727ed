"""Simon Says: practise what is being learned.

Kanitscheider et al. (2021), "Multi-task curriculum learning in a complex, visual, hard-exploration domain: Minecraft",
https://arxiv.org/abs/2106.14876:

    random <- success of a random policy at every task
    repeat:
        weight tasks by their learning progress: how fast success changes, up or down
        command tasks by their weights, the next one when one is done or its time is up
        reward the commanded item, and for exploration each first item of the episode:
            none, all (fixed bonus), or those that do not succeed reliably yet (dynamic bonus)
        improve the policy; estimate the success of every task
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Info, Key
from aiga.envs.chains import Attempts, Chains
from aiga.envs.craftax import Craftax
from aiga.inspect.practice import learned, practised, spectrum, succeeded
from aiga.learners.commands import Apprentice, Commands
from aiga.learners.ppo import PPO
from aiga.runs.claims import Claim
from aiga.runs.record import Run
from aiga.runs.report import FAINT, Figure
from aiga.selection.learning_progress import Curriculum, Progress, grouped

ABOUT = {"papers": (24,), "pillar": "environments", "needs": ()}
LEARNED = 0.5
"""How far above a random policy the success at a learned task is, on the way to always."""


class State(NamedTuple):
    """The state of `SimonSays`, of `n` tasks."""

    progress: Progress
    learner: PyTree


class SimonSays(eqx.Module):
    """A learner whose tasks are commanded by a curriculum."""

    learner: Chains | Apprentice
    curriculum: Curriculum
    bonus: Literal["none", "fixed", "dynamic"] = eqx.field(static=True)
    worth: float
    """Of the bonus for an item; the commanded item is worth 1."""
    reliable: float
    """From this success on, an item no longer pays a dynamic bonus."""

    def init(self, key: Key) -> State:
        learner, attempts = self.learner.begin(key)
        return State(self.curriculum.start(*attempts), learner)

    def step(self, key: Key, state: State) -> tuple[State, Info]:
        probabilities, bonus = self.orders(state.progress)
        learner, attempts, score, about = self.learner.practise(key, state.learner, probabilities, bonus)
        progress, info = self.judge(state.progress, attempts, score)
        return State(progress, learner), {**info, **about}

    @eqx.filter_jit
    def orders(self, progress: Progress) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """How probable the command of each task is, and what its item pays besides."""
        paid = jnp.full(progress.fast.shape, self.bonus == "fixed")
        if self.bonus == "dynamic":
            paid = progress.fast < self.reliable
        return self.curriculum.probabilities(progress), paid.astype(float) * self.worth

    @eqx.filter_jit
    def judge(self, progress: Progress, attempts: Attempts, score: Float[Array, " n"]) -> tuple[Progress, Info]:
        """What is known of the tasks now, and what to report."""
        probabilities, bonus = self.orders(progress)
        score = progress.above_random(score)
        info = {
            "simon_says/learned": (score > LEARNED).sum(),
            "simon_says/success": score.mean(),
            "simon_says/paid": (bonus > 0).sum(),
            **grouped("probability", self.learner.groups, probabilities, jnp.sum),
            **grouped("success", self.learner.groups, score, jnp.mean),
        }
        return self.curriculum.update(progress, *attempts), info


def make(
    world: Literal["toy", "craftax"] = "toy",
    curriculum: Literal["progress", "variance", "uniform"] = "progress",
    sigmoid: Literal["plain", "quantile"] = "plain",
    bonus: Literal["none", "fixed", "dynamic"] = "none",
    worth: float = 0.05,
    reliable: float = 0.1,
    theta: float = 0.1,
    impossible: int | None = None,
    tries: int = 20,
    share: float | None = None,
    worlds: int = 64,
    length: int = 64,
    timeout: int = 100,
    horizon: int = 1000,
    hidden: int = 128,
    memory: int = 0,
    learning_rate: float = 1e-3,
    entropy: float = 0.005,
    epochs: int = 4,
    minibatches: int = 8,
) -> SimonSays:
    """A modelled learner on chains of items, or a policy in Craftax-Classic (extra `craftax`).

    Args:
        world: `toy`: a modelled learner; `craftax`: PPO on the achievements of Craftax-Classic.
        curriculum: Practise what changes, what succeeds half the time, or everything alike.
        sigmoid: Of the learning progress: centred at the mean or at the 90 % quantile.
        bonus: Also reward first items of an episode: none, all, or those that do not succeed reliably yet.
        worth: Of a bonus; the commanded item is worth 1.
        reliable: From this success on, an item pays no dynamic bonus.
        theta: Below 0.5; the smaller, the more do changes of small success probabilities count.
        impossible: Tasks that nothing fulfils; by default 600 in the toy, none in Craftax.
        tries: At each task in an examination of the toy, 0: none; in Craftax, how many attempts count as one.
        share: Of commands for which all tasks are equally probable; by default none in the toy, a quarter in Craftax,
            where they make up whole episodes.
        worlds: Played at once, in Craftax.
        length: Steps of each world between two updates.
        timeout: Steps for a command.
        horizon: Steps after which an episode is cut off.
        hidden: Units of the policy's first layer.
        memory: Units of its recurrent layer; 0: none.
        learning_rate: Of Adam.
        entropy: Weight of the entropy in the objective.
        epochs: Passes over a rollout.
        minibatches: Of each pass.
    """
    if not 0 < theta < 0.5:
        raise UsageError(f"--theta is {theta}: give a number between 0 and 0.5.")
    if world == "craftax" and tries < 1:
        raise UsageError(f"--tries is {tries}: in Craftax give a number above zero, there are no examinations apart.")
    if world == "toy":
        nothing = 600 if impossible is None else impossible
        learner = Chains(impossible=nothing, tries=tries)
        teacher = Curriculum(curriculum, sigmoid, tries=tries or 20, theta=theta, share=share or 0.0)
    else:
        env = Commands(Craftax(horizon=horizon), impossible or 0, timeout, 0.25 if share is None else share)
        ppo = PPO(learning_rate, epochs=epochs, minibatches=minibatches, entropy=entropy, clip=0.2)
        learner = Apprentice(env, ppo, worlds, length, hidden, memory)
        teacher = Curriculum(curriculum, sigmoid, tries=tries, theta=theta)
    return SimonSays(learner, teacher, bonus, worth, reliable)


PAPER = {
    "world": "craftax", "curriculum": "progress", "sigmoid": "quantile", "bonus": "dynamic", "impossible": 1023,
    "worlds": 32, "length": 1024, "timeout": 300, "horizon": 1500, "hidden": 256, "memory": 256,
    "learning_rate": 1e-4, "entropy": 0.01, "minibatches": 16,
}  # fmt: skip
"""The curriculum is the paper's; Craftax-Classic stands in for Minecraft.  Tasks without solution, times and PPO are
those of OMNI's code (Zhang et al. 2023, https://arxiv.org/abs/2306.01711); 3,000 steps are 10⁸ of the environment."""

CRAFTAX = {"world": "craftax", "bonus": "dynamic", "worth": 0.2, "share": 0.25}
CLAIM = (
    Claim(
        statement="Practising by learning progress, a modelled learner learns at least three times as many tasks as by "
        "practising all tasks alike.",
        source="Kanitscheider et al. 2021; the toy is ours",
        metric="simon_says/learned",
        treatment={},
        control={"curriculum": "uniform"},
        steps=200,
        margin=24.0,
        others={
            "bonus": {"curriculum": "uniform", "bonus": "fixed"},
            "dynamic bonus": {"curriculum": "uniform", "bonus": "dynamic"},
            "p(1-p)": {"curriculum": "variance"},
            "quantile sigmoid": {"sigmoid": "quantile"},
            "progress and dynamic bonus": {"bonus": "dynamic"},
        },
        also=("simon_says/success",),
    ),
    Claim(
        statement="In Craftax-Classic, practising by learning progress makes more commands succeed than practising all "
        "tasks alike, both with a dynamic exploration bonus.",
        source="Kanitscheider et al. 2021, with Craftax-Classic for Minecraft",
        metric="simon_says/success",
        treatment=CRAFTAX,
        control=CRAFTAX | {"curriculum": "uniform"},
        steps=200,
        also=("simon_says/learned",),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """What was learned when, and what was practised meanwhile."""
    names = [name.removeprefix("success/") for name in run.latest() if name.startswith("success/")]
    success = {name: float(run.metric(f"success/{name}").values.mean()) for name in names}
    names.sort(key=lambda name: (-success[name], name == "impossible"))  # what was learned early comes first
    learnable = sum(value > 0 for value in success.values())
    colours = dict(zip(names, [*spectrum(learnable), *[FAINT] * (len(names) - learnable)], strict=True))
    order = "The probability of each kind of task, in the order they were learned; grey: without any success."
    return [learned(run, "simon_says/learned"), practised(run, colours, order), succeeded(run, names)]


if __name__ == "__main__":
    import aiga

    aiga.run("simon_says", steps=200)
