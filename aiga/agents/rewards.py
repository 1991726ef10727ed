"""Reward design as a domain: an agent writes a reward, policies are trained with it, and they are measured by ours.

After the robotics domain of Zhang et al. (2026), Hyperagents, where agents write reward functions for a walking robot
in Genesis, with 3 repetitions, and the final agent is tested on another objective (the height of the torso) than the
search had.  Here a pendulum (`aiga.envs.swing`) is to swing up and stand, and in the report it is to lean.  The world
and the learner are other ones, and a reward is an arithmetic expression, not a program.

    expression <- the agent's response, parsed (`aiga.agents.expressions`); nothing that it wrote is executed
    policies   <- trained with the expression as the reward of each step, outside of the sandbox
    score      <- how much of the time they meet the objective, as a share of `BEST`

Repetitions are tasks: each has a motor, and a seed of its training that is the same for all agents.

Mean scores over the three tasks of `search`, or of `report`, with `aiga.learners.rewarded.Training()` and three seeds:

    stand  0.62 (0.56 to 0.70)  -(angle**2 + 0.1*speed**2 + 0.001*torque**2)
           0.61 (0.61 to 0.61)  height
           0.14 (0.10 to 0.22)  (height > 0.9) * (abs(speed) < 1), which is the objective itself
           0.00                 -abs(speed)
    lean   0.82 (0.74 to 0.87)  cos(angle - 0.3) + 2*exp(-20*(angle - 0.3)**2 - 0.3*speed**2)
           0.02 (0.01 to 0.03)  height
           0.16 (0.10 to 0.20)  (angle > 0.2) * (angle < 0.4) * (abs(speed) < 1), the objective

An evaluation is three trainings of 0.4 million steps: 7 seconds of one core of a busy machine.
"""

import asyncio
import json
from collections.abc import Callable, Sequence

from jaxtyping import Array

from aiga.agents.domain import Files, Outcome, Splits
from aiga.agents.expressions import FUNCTIONS, Expression, Unreadable, parsed
from aiga.agents.program import derived
from aiga.agents.responses import Asking, Response
from aiga.core.texts import Finished, Recent
from aiga.data.puzzles import Sealed, Sizes
from aiga.envs.swing import OBJECTIVES, OBSERVABLES, Learned, Observed, Wanted

LABEL = "agents/reward"
USUAL = Sizes(3, 3, 3)
BEST = 0.75
"""The share of the time that is scored 1: more is hardly possible, since to swing up takes a quarter of it."""
MOTORS = {
    "search": ("stand", (2.0, 1.4, 1.0)),
    "select": ("stand", (1.7, 1.2, 1.0)),
    "report": ("lean", (2.0, 1.8, 1.6)),
}
"""The objective of each split, and the torques of its tasks in turn."""
INSTRUCTION = """\
Design the reward by which a controller of a pendulum learns to {objective}, for as much of the time as it can.

The pendulum has a mass of 1 kg and a length of 1 m, in gravity of 10 m/s2, and hangs at first. Its motor gives at most
{torque:g} N m, too little to lift it at once: it must swing up. An episode has 200 steps of 0.05 s. A small network
that sees height, side and speed is trained for a while, by proximal policy optimisation with a discount of 0.97, to
have much of your reward. Then it is judged by how much of the time it does what is asked for, and by nothing else.

The response is one arithmetic expression, the reward of a step. It may use
{names}
numbers, + - * / **, parentheses, comparisons (1 if true, else 0), and the functions {functions}; where(c, a, b) is a
where c is not 0, else b. Nothing else is allowed. It must be a number from -1e6 to 1e6 in every step."""

Train = Callable[[Callable[[Observed], Array], Wanted, int], Learned]
"""Trains policies with a reward: from reward, task and seed."""


class Rewards:
    """A `Domain` of rewards for a pendulum.

    Args:
        asking: Where agents are asked; by custom its label is `LABEL`.
        train: What trains policies, `aiga.learners.rewarded.Training()` for one; takes a core for seconds.
        sizes: Tasks of each split.
        seed: Of trainings.
        finished: Where what came of trainings is kept, and found again.
    """

    def __init__(
        self,
        asking: Asking,
        train: Train,
        *,
        sizes: Sizes = USUAL,
        seed: int = 0,
        finished: Finished | None = None,
    ) -> None:
        self.asking, self.train, self.seed = asking, train, seed
        self.finished = finished or Recent()
        self._tasks = {
            f"{split}-{n + 1}": Wanted(MOTORS[split][0], MOTORS[split][1][n % len(MOTORS[split][1])])
            for split, size in sizes._asdict().items()
            for n in range(size)
        }
        names, chosen = tuple(self._tasks), sizes.search + sizes.select
        self._splits = Splits(names[: sizes.search], names[sizes.search : chosen], Sealed(names[chosen:]))
        self._turn, self._training = asyncio.Lock(), dict[str, asyncio.Task[Learned]]()

    @property
    def name(self) -> str:
        return "rewards"

    @property
    def splits(self) -> Splits:
        return self._splits

    def statement(self, task: str) -> str:
        wanted = self._tasks[task]
        return INSTRUCTION.format(
            objective=OBJECTIVES[wanted.objective].text,
            torque=wanted.torque,
            names="\n".join(f"- {name}: {text}" for name, text in OBSERVABLES.items()),
            functions=", ".join(FUNCTIONS),
        )

    async def evaluate(self, agent: Files, tasks: Sequence[str], *, seed: int) -> list[Outcome]:
        """How much policies meet the objective, task by task; trainings follow each other."""
        shown = {task: {"instruction": self.statement(task)} for task in tasks}
        responses = await self.asking.responses(agent, shown, seed=seed)
        return list(await asyncio.gather(*map(self.outcome, tasks, responses)))

    async def outcome(self, task: str, response: Response) -> Outcome:
        """A response, trained with and scored; only for `search` is there a verdict."""
        told = task in self._splits.search
        if response.failure:
            return response.outcome(task, verdict=f"{response.failure}: {response.why}" if told else "")
        try:
            reward = parsed(response.text, OBSERVABLES)
        except Unreadable as error:
            return response.outcome(task, verdict=f"format: {error}" if told else "", failure="format")
        learned = await self.learned(reward, task)
        if learned.trouble:
            return response.outcome(task, verdict=f"format: {learned.trouble}" if told else "", failure="format")
        return response.outcome(task, score(learned), verdict=verdict(learned) if told else "")

    async def learned(self, reward: Expression, task: str) -> Learned:
        """What policies learn from a reward: trained once, for all who come to the same one."""
        wanted, key = self._tasks[task], f"rewards {self.seed} {task} {reward.text}"
        if (text := self.finished.get(key)) is not None:
            return Learned(**json.loads(text))
        if key not in self._training:
            number = derived(self.seed, "reward", task)
            self._training[key] = asyncio.create_task(self._in_turn(reward, wanted, number))
        found = await asyncio.shield(self._training[key])
        self.finished.put(key, json.dumps(found._asdict()))
        self._training.pop(key, None)
        return found

    async def _in_turn(self, reward: Expression, wanted: Wanted, number: int) -> Learned:
        """One training at a time, in a thread: agents go on meanwhile, and their clocks are right."""
        async with self._turn:
            return await asyncio.to_thread(self.train, reward, wanted, number)


def score(learned: Learned) -> float:
    """From 0 to 1: the mean over policies."""
    return min(1.0, sum(learned.shares) / len(learned.shares) / BEST)


def verdict(learned: Learned) -> str:
    """What came of a training, in words."""
    shares = ", ".join(f"{share:.2f}" for share in learned.shares)
    means = ", ".join(f"{name} {mean:.2f}" for name, mean in learned.means.items() if name != "time")
    return (
        f"{len(learned.shares)} controllers were trained. The shares of the time in which they did what was asked for: "
        f"{shares}. Mean magnitudes while they were judged: {means}."
    )
