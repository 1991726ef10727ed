"""OMNI: practise what is being learned and is interesting.

Zhang, Lehman, Stanley and Clune (2023), "OMNI: Open-endedness via models of human notions of interestingness",
https://arxiv.org/abs/2306.01711:

    random <- success of a random policy at every task
    repeat:
        weight tasks by their learning progress, and boring ones a thousand times less
        practise tasks by their weights; examine the success at every task
        when other tasks succeed than before, ask the model of interestingness:
            walk the tasks that succeed, the best one first; a task not classified yet is interesting, and
            every task not classified yet that the model calls boring given it becomes boring
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, PyTree

from aiga.core.errors import UsageError, require
from aiga.core.protocols import Info, Key
from aiga.envs.branches import Branches
from aiga.envs.chains import Attempts, Chains
from aiga.envs.craftax import Craftax
from aiga.envs.errands import MEANS, REPEATED, SMALL, Errands, crafting, playing, workshop
from aiga.envs.playroom import Playroom
from aiga.fm.messages import FM
from aiga.fm.offline import Offline
from aiga.inspect.practice import learned, practised, spectrum, succeeded
from aiga.judges import interestingness
from aiga.judges.interestingness import OPEN, TASK, UNKNOWN, Ask, ByModel, SameWords, load, save, walk
from aiga.learners.commands import Apprentice, Commands
from aiga.learners.ppo import PPO
from aiga.runs.claims import Claim
from aiga.runs.events import Failed
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, Figure, style
from aiga.selection.learning_progress import Curriculum, Progress, grouped

ABOUT = {"papers": (6,), "pillar": "environments", "needs": ()}
LEARNED = 0.5
"""How far above a random policy the success at a learned task is, on the way to always."""


class Interest(NamedTuple):
    """What is known of how interesting `m` tasks are."""

    by: Int[np.ndarray, " m"]
    """The task because of which each is boring; itself: interesting; -1: not classified."""
    known: Int8[np.ndarray, "m m"]
    """What the model said: boring (1) or not (0) given the task of the row; -1: never asked, or no answer."""
    succeeding: Bool[np.ndarray, " m"]
    """The tasks that succeeded when the model was asked last."""
    age: Int[np.ndarray, ""]
    """Steps since then."""

    @property
    def boring(self) -> Bool[np.ndarray, " m"]:
        return (self.by != OPEN) & (self.by != np.arange(self.by.size))


class State(NamedTuple):
    """The state of `Omni`."""

    progress: Progress
    learner: PyTree
    interest: Interest


class Omni:
    """A learner whose tasks are commanded by learning progress and by a model of interestingness."""

    def __init__(self, learner: Any, teacher: "Teacher", errands: Errands, ask: Ask | None, every: int) -> None:
        self.learner, self.teacher, self.errands = learner, teacher, errands
        self.ask, self.every = ask, every

    def init(self, key: Key) -> State:
        learner, attempts = self.learner.begin(key)
        m = len(self.errands.texts)
        nothing = Interest(
            np.full(m, OPEN), np.full((m, m), UNKNOWN, np.int8), np.zeros(m, bool), np.zeros((), int)
        )  # fmt: skip
        return State(self.teacher.curriculum.start(*attempts), learner, nothing)

    async def step(self, key: Key, state: State) -> tuple[State, Info]:
        practise, consult = jax.random.split(key)
        probabilities = self.teacher.orders(state.progress, state.interest.boring)
        unpaid = jnp.zeros_like(probabilities)
        learner, attempts, score, about = self.learner.practise(practise, state.learner, probabilities, unpaid)
        progress, info = self.teacher.judge(state.progress, attempts, score, probabilities)
        interest, said = await self.consult(consult, state.interest, np.asarray(progress.fast))
        return State(progress, learner, interest), {**info, **about, **said}

    async def consult(
        self, key: Key, interest: Interest, success: Float[np.ndarray, " n"]
    ) -> tuple[Interest, dict[str, Any]]:
        """Ask the model, if other tasks succeed than when it was asked last, or if that was long ago."""
        success, questions, failures = success[: interest.by.size], 0, ()
        interest = interest._replace(age=interest.age + np.int64(1))
        if self.ask and (((success > 0) != interest.succeeding).any() or interest.age >= self.every):
            seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
            texts, parts = self.errands.texts, self.errands.parts
            by, known, questions, failures = await walk(self.ask, seed, texts, parts, success, interest.known)
            interest = Interest(by, known, success > 0, np.zeros((), int))
        events = {f"failed/{i}": Failed(TASK, failure) for i, failure in enumerate(failures)}
        counts = {"omni/questions": questions, "omni/failures": len(failures)}
        return interest, {**self.opinion(interest), **counts, **events}

    def opinion(self, interest: Interest) -> Info:
        """How the tasks are classified, and how often rightly."""
        known = interest.by != OPEN
        right = (interest.boring != self.errands.interesting)[known]
        return {
            "omni/interesting": (known & ~interest.boring).sum(),
            "omni/boring": interest.boring.sum(),
            "omni/right": right.mean() if right.size else np.nan,
        }


class Teacher(eqx.Module):
    """What is compiled beside the learner: weights of tasks from what is known of them."""

    curriculum: Curriculum
    interesting: Bool[Array, " m"]
    """What is worth learning: only reports look at it, and the oracle."""
    kinds: tuple[str, ...] = eqx.field(static=True)
    """Of all `n` tasks; those after the first `m` are impossible."""
    dull: float
    """What the weight of a boring task is multiplied with."""
    oracle: bool = eqx.field(static=True)

    @eqx.filter_jit
    def orders(self, progress: Progress, boring: Bool[Array | np.ndarray, " m"]) -> Float[Array, " n"]:
        """How probable the command of each task is."""
        boring = ~self.interesting if self.oracle else jnp.asarray(boring)
        weights = jnp.ones_like(progress.fast).at[: boring.size].set(jnp.where(boring, self.dull, 1.0))
        return self.curriculum.probabilities(progress, weights)

    @eqx.filter_jit
    def judge(
        self, progress: Progress, attempts: Attempts, score: Float[Array, " n"], probabilities: Float[Array, " n"]
    ) -> tuple[Progress, Info]:
        """What is known of the tasks now, and what to report."""
        score, m = progress.above_random(score), self.interesting.size
        worth = self.interesting / self.interesting.sum()
        info = {
            "omni/learned": ((score[:m] > LEARNED) & self.interesting).sum(),
            "omni/success": (score[:m] * worth).sum(),
            "omni/success_all": score[:m].mean(),
            "omni/practised": (probabilities[:m] * self.interesting).sum(),
            **grouped("probability", self.kinds, probabilities, jnp.sum),
            **grouped("success", self.kinds, score, jnp.mean),
        }
        return self.curriculum.update(progress, *attempts), info


def make(
    world: Literal["toy", "playroom", "craftax"] = "toy",
    setting: Literal["repeats", "compound", "synonyms"] = "repeats",
    curriculum: Literal["progress", "variance", "uniform"] = "progress",
    interesting: Literal["model", "answers", "oracle", "none"] = "model",
    answers: str = "",
    mistakes: float = 0.0,
    dull: float = 0.001,
    every: int = 10,
    theta: float = 0.1,
    impossible: int | None = None,
    tries: int = 20,
    share: float = 0.25,
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
    *,
    fm: FM | None = None,
) -> Omni:
    """A modelled learner of things that can each be asked for in eight ways, or a policy that learns.

    Args:
        world: `toy`: a modelled learner; `playroom`: PPO in a room of coloured things; `craftax`: PPO on fifteen
            achievements of Craftax-Classic (extra `craftax`).
        setting: In Craftax, besides the fifteen: their repetitions; also their pairs; or also their synonyms.
        curriculum: Practise what changes, what succeeds half the time, or everything alike.
        interesting: What says which tasks are boring: a foundation model, answers of a file, an oracle, or nothing.
        answers: JSON file of `--interesting answers`, from each task to those boring given it; Craftax brings one.
        mistakes: Share of answers that are turned round, of the rule that stands in for a model.
        dull: What the weight of a boring task is multiplied with.
        every: Steps after which the model is asked even if the same tasks succeed as before.
        theta: Below 0.5; the smaller, the more do changes of small success probabilities count.
        impossible: Tasks that nothing fulfils; by default 600 in the toy, else none.
        tries: At each task in an examination of the toy; elsewhere, how many attempts count as one.
        share: Of a policy's episodes that are examinations.
        worlds: Played at once.
        length: Steps of each world between two updates.
        timeout: Steps for a command.
        horizon: Steps after which an episode is cut off.
        hidden: Units of the policy's first layer.
        memory: Units of its recurrent layer; 0: none.
        learning_rate: Of Adam.
        entropy: Weight of the entropy in the objective.
        epochs: Passes over a rollout.
        minibatches: Of each pass.
        fm: What is asked; None: a rule that compares words, which is no model.
    """
    _check(theta, tries, dull, mistakes, every)
    errands = _tasks(world, setting)
    model = fm or Offline({TASK: SameWords(MEANS, SMALL, mistakes)})
    ask = _asked(interesting, model, world, setting, answers, errands)
    if world == "toy":
        nothing = 600 if impossible is None else impossible
        learner = Branches(Chains(impossible=nothing, tries=tries), variants=7)
    else:
        nothing = impossible or 0
        env = Playroom(horizon=horizon) if world == "playroom" else Craftax(horizon=horizon, survival=False)
        needs, codes = jnp.array(errands.needs(env.items)), jnp.array(errands.codes(nothing))
        env = Commands(env, nothing, timeout, share, needs=needs, codes=codes, examine_impossible=False)
        ppo = PPO(learning_rate, epochs=epochs, minibatches=minibatches, entropy=entropy, clip=0.2)
        learner = Apprentice(env, ppo, worlds, length, hidden, memory)
    kinds = (*errands.kinds, *("impossible",) * nothing)
    teacher = Teacher(
        Curriculum(curriculum, tries=tries, theta=theta), jnp.array(errands.interesting), kinds, dull,
        interesting == "oracle",
    )  # fmt: skip
    return Omni(learner, teacher, errands, ask, every)


def _tasks(world: str, setting: str) -> Errands:
    if world == "toy":
        return workshop(6, 10)
    return playing() if world == "playroom" else crafting(setting)


WORLDS = {
    "toy": "a workshop, where things are made of simpler things",
    "playroom": "a room with coloured balls, keys, boxes and doors",
    "craftax": "a survival game like Minecraft, where raw materials are collected and tools made of them",
}
"""What the model is told of them."""
ANSWERS = Path(interestingness.__file__).with_name("crafting.json")
"""Answers of ours about the fifteen achievements and their repetitions."""


def _asked(interesting: str, model: FM, world: str, setting: str, answers: str, errands: Errands) -> Ask | None:
    """What answers for the model of interestingness, if anything does."""
    if interesting == "model":
        return ByModel(model, WORLDS[world])
    if interesting == "answers":
        if not answers and (world != "craftax" or setting == "synonyms"):
            raise UsageError("--interesting answers needs --answers FILE here: none come with these tasks.")
        return load(Path(answers) if answers else ANSWERS, errands.texts)
    return None


def _check(theta: float, tries: int, dull: float, mistakes: float, every: int) -> None:
    if not 0 < theta < 0.5:
        raise UsageError(f"--theta is {theta}: give a number between 0 and 0.5.")
    if tries < 1 or every < 1:
        raise UsageError(f"--tries is {tries} and --every {every}: give numbers above zero.")
    if not (0 <= dull <= 1 and 0 <= mistakes <= 1):
        raise UsageError(f"--dull is {dull} and --mistakes {mistakes}: give numbers from 0 to 1.")


PAPER = {
    "world": "craftax", "setting": "repeats", "curriculum": "progress", "interesting": "model", "impossible": 1023,
    "worlds": 32, "length": 1024, "timeout": 300, "horizon": 1500, "hidden": 256, "memory": 256,
    "learning_rate": 1e-4, "entropy": 0.01, "minibatches": 16,
}  # fmt: skip
"""The settings of the authors' code, with Craftax-Classic for Crafter; 305 steps are 10⁷ of the environment."""

ALONE, UNIFORM, VARIANCE = (
    {"interesting": "none", "curriculum": curriculum} for curriculum in ("progress", "uniform", "variance")
)
PLAYROOM = {"world": "playroom", "timeout": 24, "horizon": 128, "learning_rate": 3e-3}
CLAIM = (
    Claim(
        statement="Practising what is being learned and is interesting, a modelled learner learns more interesting "
        "tasks than by learning progress alone.",
        source="Zhang et al. 2023; the toy is ours, and a rule that compares words stands in for the model",
        metric="omni/learned",
        treatment={},
        control=ALONE,
        steps=200,
        others={
            "uniform": UNIFORM,
            "p(1-p)": VARIANCE,
            "p(1-p) and interesting": {"curriculum": "variance"},
            "oracle": {"interesting": "oracle"},
            "1 % mistakes": {"mistakes": 0.01},
        },
        also=("omni/success", "omni/success_all", "omni/practised"),
    ),
    Claim(
        statement="In a playroom, a policy that practises what is being learned and is interesting succeeds more often "
        "at the interesting tasks than one that practises by learning progress alone.",
        source="Zhang et al. 2023, with a playroom of ours for BabyAI, and the rule for the model",
        metric="omni/success",
        treatment=PLAYROOM,
        control=PLAYROOM | ALONE,
        steps=300,
        others={
            "uniform": PLAYROOM | UNIFORM,
            "p(1-p)": PLAYROOM | VARIANCE,
            "p(1-p) and interesting": PLAYROOM | {"curriculum": "variance"},
        },
        also=("omni/learned", "omni/success_all", "omni/right"),
    ),
)


def export(run: Run, path: str | Path) -> None:
    """Write what the model said in a run, for `--interesting answers`."""
    save(Path(path), _told(run).texts, np.asarray(run.state.interest.known))


def _told(run: Run) -> Errands:
    return _tasks(run.options.get("world", "toy"), run.options.get("setting", "repeats"))


def figures(run: Run) -> Iterable[Figure]:
    """What was learned and practised, who made whom boring, and the success by kind of task."""
    names = [name.removeprefix("success/") for name in run.latest() if name.startswith("success/")]
    worthy = [name for name in names if name not in (*REPEATED, "impossible")]
    dull = [name for name in names if name not in worthy]
    colours = dict(zip(worthy, spectrum(len(worthy)), strict=True)) | {name: GREYS[name] for name in dull}
    caption = "The probability of each kind of task; in colour: interesting ones; grey: the same again, or impossible."
    return [
        learned(run, "omni/learned", "interesting tasks"),
        practised(run, colours, caption),
        *_opinions(run),
        succeeded(run, [*worthy, *dull]),
    ]


GREYS = {"repeat": "#9aa5b1", "colour": "#9aa5b1", "synonym": "#b8c0c8", "compound": "#7b8794", "impossible": "#e4e7eb"}


def _opinions(run: Run) -> list[Figure]:
    """For each task because of which others are boring, how many and which."""
    graph = require("plotly.graph_objects", "report")
    by = np.asarray(run.state.interest.by)
    texts = _told(run).texts
    rows = [task for task in np.unique(by) if task != OPEN and (by == task).sum() > 1]
    if not rows:
        return []
    columns = [task for row in rows for task in np.flatnonzero((by == row) & (np.arange(by.size) != row))]
    bored = [[float(by[column] == row) for column in columns] for row in rows]
    figure = graph.Figure(
        graph.Heatmap(
            x=[texts[column] for column in columns], y=[texts[row] for row in rows], z=bored, showscale=False,
            colorscale=[[0, "#f5f7fa"], [1, ACCENT]],
        )
    )  # fmt: skip
    style(figure, height=180 + 14 * len(rows), xaxis_title="boring", yaxis_title="given")
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(showticklabels=len(columns) <= 100, automargin=True)
    caption = f"{len(rows)} tasks made {len(columns)} boring, at the end of the run; point at a mark to read which."
    return [Figure("Who made whom boring", caption, figure)]


if __name__ == "__main__":
    import aiga

    aiga.run("omni", steps=200)
