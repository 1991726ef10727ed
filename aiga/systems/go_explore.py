"""Go-Explore.

Ecoffet, Huizinga, Lehman, Stanley & Clune (2019), "Go-Explore: a new approach for hard-exploration problems",
https://arxiv.org/abs/1901.10995, and (2021), "First return, then explore", https://arxiv.org/abs/2004.12919:

    archive <- {cell of the reset: the reset}
    repeat:
        choose a batch of cells, rarely seen ones more often
        for each:  first return  -- restore the state that is kept there
                   then explore  -- act at random, repeating actions
        for every cell on the way:  keep it if it is new, or reached with a higher score, or as high in fewer steps
    then robustify:  learn to reach the best score where actions are sticky, beginning ever earlier on the way to it

The phases are stages.  A batch is merged at its end and every rollout has its own random numbers, so a run does not
depend on the number of workers.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from aiga.archives.cells import (
    Blobs,
    Cells,
    Found,
    Starts,
    nature_weights,
    often_seen,
    pack,
    rebin,
    rooted,
    unpack,
    v1_weights,
)
from aiga.core.errors import UsageError
from aiga.core.lifts import Stage, Stages
from aiga.core.protocols import Info, Key, Pool
from aiga.envs import restorable
from aiga.envs.atari import Atari, MontezumaCell, PitfallCell, montezuma_place, pitfall_place
from aiga.envs.downscale import Dynamic, View, search
from aiga.envs.pixels import Pixels, shrink
from aiga.envs.restorable import Explore, Replayed, Rollout, Start, World, explore_many, opened
from aiga.inspect import expedition
from aiga.inspect.vine import Individual
from aiga.learners.atari import school
from aiga.learners.backward import Rehearsed
from aiga.learners.examination import Examination, Examined, examined
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.pools import Serial, present
from aiga.runs.record import Run
from aiga.runs.report import Figure

ABOUT = {"papers": (27, 38), "pillar": "environments", "needs": ("atari",)}

TASK = 4
"""Rollouts per task of the pool: about 0.1 s."""
AUDIT = 50
"""Every so many steps an elite at random is replayed, besides every best."""
KNOWN = 2000
"""Elites that workers are told of, so that they need not save what cannot win."""
PLACES = 2048
DOMAINS = {"montezuma_revenge": (MontezumaCell(), montezuma_place), "pitfall": (PitfallCell(), pitfall_place)}


class Exploration(NamedTuple):
    """The state of the exploration."""

    archive: Cells
    clock: Int[np.ndarray, ""]
    actions: Int[np.ndarray, ""]
    """Actions taken so far."""
    best: Float[np.ndarray, ""]
    """The highest score; its trajectory has been replayed."""
    entered: Int[np.ndarray, " places"]
    """Actions taken when each room was first entered, to the end of the batch; -1: never."""
    view: Int[np.ndarray, " 3"]
    """Width, height and depth of dynamic cells."""
    samples: Blobs
    """A ring of sampled frames."""
    sampled: Int[np.ndarray, ""]


class GoExplore:
    """First return, then explore: keep the best way to every cell, and explore from there."""

    def __init__(
        self,
        world: World,
        explore: Explore,
        *,
        batch: int = 100,
        weights: Callable[[Cells], Float[np.ndarray, " n"]] = nature_weights,
        reset_counts: bool = True,
        returns: bool = True,
        dynamic: Dynamic | None = None,
        frames_per_action: int = 4,
        pool: Pool | None = None,
    ) -> None:
        """`returns=False`: nothing is returned to; `dynamic`: `explore.cell` are the first cells, in its `frame`."""
        self.world, self.how, self.batch, self.weights = world, explore, batch, weights
        self.reset_counts, self.returns, self.dynamic = reset_counts, returns, dynamic
        self.frames_per_action, self.pool = frames_per_action, pool or Serial()

    def init(self, key: Key) -> Exploration:
        del key
        env, how = self.world.fresh(), self.how
        place = how.place(env) if how.place else -1
        archive = rooted(env.save(), how.cell(env), place, how.frame(env).tobytes() if how.frame else b"")
        entered = np.full(PLACES, -1)
        entered[place : place + 1] = 0
        zero, ring = np.zeros((), np.int64), Blobs.empty(self.dynamic.frames if self.dynamic else 0)
        return Exploration(archive, zero, zero, np.zeros(()), entered, np.zeros(3, np.int64), ring, zero)

    async def step(self, key: Key, state: Exploration) -> tuple[Exploration, Info]:
        seed = tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())
        rng = np.random.default_rng((*seed, 0))
        how = self.how_in(state)
        rows = self.choose(rng, state.archive)
        starts = state.archive.at(rows)
        rollouts = await self.explore(how, state.archive, starts, [(*seed, 1 + i) for i in range(self.batch)])
        found, clock = gather(rollouts, state.archive.keys.shape[1]), int(state.clock) + 1
        taken = [rollout.actions for rollout in rollouts]
        archive, added = state.archive.add(found, starts, taken, clock, reset_counts=self.reset_counts)
        best = await self.verify(rng, how, archive, clock, float(state.best))
        births = Born(operator="explore", **archive.births(added))
        actions = state.actions + sum(map(len, taken))
        entered = note_first(state.entered, found.places, int(actions))
        after = state._replace(archive=archive, clock=np.array(clock), actions=actions, best=best, entered=entered)
        after = self.look_again(rng, state, after, rollouts)
        return after, {**self.metrics(after), "archive/new": int((added.status == 2).sum()), "born": births}

    def choose(self, rng: np.random.Generator, archive: Cells) -> Int[np.ndarray, " b"]:
        """The cells to return to; without returning, the reset."""
        if not self.returns:
            return np.zeros(self.batch, int)
        weights = self.weights(archive)
        return rng.choice(len(weights), size=self.batch, p=weights / weights.sum())

    async def explore(
        self, how: Explore, archive: Cells, chosen: Starts, seeds: list[tuple[int, ...]]
    ) -> list[Rollout]:
        """Explore from each chosen elite; results in order of submission."""
        columns = (chosen.row.tolist(), chosen.score.tolist(), chosen.length.tolist())
        starts = [Start(archive.snapshot(row), *had) for row, *had in zip(*columns, strict=True)]
        known = often_seen(archive, KNOWN)
        tasks = [
            self.pool.submit(explore_many, self.world, how, known, starts[i : i + TASK], seeds[i : i + TASK])
            for i in range(0, len(starts), TASK)
        ]
        return [rollout for answer in await asyncio.gather(*tasks) for rollout in present(answer)]

    async def verify(
        self, rng: np.random.Generator, how: Explore, archive: Cells, clock: int, best: float
    ) -> Float[np.ndarray, ""]:
        """Replay a new best from the reset, and now and then any elite; the highest score.

        Raises:
            RuntimeError: the replay ends elsewhere than the archive says, so the record is wrong.
        """
        scores, lengths = archive.score[: archive.size], archive.length[: archive.size]
        rows = [int(rng.integers(len(scores)))] if clock % AUDIT == 0 else []
        if scores.max() > best:
            rows.append(archive.foremost)
        for row in rows:
            told = Replayed(float(scores[row]), int(lengths[row]), archive.keys[row].tobytes())
            seen = present(await self.pool.submit(restorable.replay, self.world, how.cell, archive.actions(row)))
            if seen != told:
                raise RuntimeError(f"replaying the elite of row {row} from the reset gives {seen}, not {told}.")
        return np.maximum(best, scores.max())

    def how_in(self, state: Exploration) -> Explore:
        """How to explore at present: with the cells that were found last."""
        return self.how._replace(cell=Pixels(*state.view.tolist())) if state.view.any() else self.how

    def look_again(
        self, rng: np.random.Generator, before: Exploration, state: Exploration, rollouts: Sequence[Rollout]
    ) -> Exploration:
        """Dynamic cells: sample frames; when due, look for better cells and sort the archive into them.

        The authors sort all former archives' frames; here it is the current elites alone.
        """
        dynamic = self.dynamic
        if dynamic is None:
            return state
        fresh = [pack(frame, b"") for rollout in rollouts for frame in rollout.samples][-dynamic.frames :]
        places = (int(state.sampled) + np.arange(len(fresh))) % dynamic.frames
        samples, sampled = state.samples.put(places, fresh, dynamic.frames), state.sampled + len(fresh)
        state = state._replace(samples=samples, sampled=sampled)
        if sampled == 0 or dynamic.looks(int(before.actions)) == dynamic.looks(int(state.actions)):
            return state
        shape = opened(self.world).frame().shape  # pyright: ignore[reportAttributeAccessIssue]  # `how.frame` is given

        def picture(frame: bytes) -> np.ndarray:
            return np.frombuffer(frame, np.uint8).reshape(shape)

        stored = range(min(int(sampled), dynamic.frames))
        frames = np.stack([picture(unpack(samples.get(i), b"")) for i in stored])
        view = search(rng, frames, View(*state.view.tolist()) if state.view.any() else None, dynamic.iterations)
        archive = rebin(state.archive, lambda frame: shrink(picture(frame), *view).tobytes())
        return state._replace(archive=archive, view=np.array(view))

    def metrics(self, state: Exploration) -> Info:
        archive = state.archive
        scores, lengths = archive.score[: archive.size], archive.length[: archive.size]
        info = {
            "go_explore/frames": int(state.actions) * self.frames_per_action,
            "score/best": float(state.best),
            "score/length": int(lengths[scores == scores.max()].min()),
            "archive/cells": int(archive.size),
        }
        if self.how.place:
            info["go_explore/rooms"] = int((state.entered >= 0).sum())
        if self.dynamic:
            info |= {f"cells/{name}": int(n) for name, n in zip(View._fields, state.view, strict=True)}
        return info


def gather(rollouts: Sequence[Rollout], width: int) -> Found:
    """The candidates of all rollouts, in order of submission."""
    counts = [len(r.steps) for r in rollouts]
    framed = any(frame for r in rollouts for frame in r.frames)
    return Found(
        np.repeat(np.arange(len(rollouts)), counts),
        np.concatenate([r.keys.reshape(-1, width) for r in rollouts]),
        np.concatenate([r.gains for r in rollouts]),
        np.concatenate([r.steps for r in rollouts]),
        np.concatenate([r.places for r in rollouts]),
        [snapshot for r in rollouts for snapshot in r.snapshots],
        [frame for r in rollouts for frame in r.frames] if framed else [],
    )


def note_first(entered: Int[np.ndarray, " p"], places: Int[np.ndarray, " m"], now: int) -> Int[np.ndarray, " p"]:
    """A copy in which rooms entered for the first time have the present as their time."""
    fresh = np.isin(np.arange(len(entered)), places) & (entered < 0)
    return np.where(fresh, now, entered)


def make(
    game: str = "montezuma_revenge",
    cells: Literal["pixels", "dynamic", "domain"] = "pixels",
    width: int = 11,
    height: int = 8,
    depth: int = 8,
    batch: int = 100,
    explore_steps: int = 100,
    repeat: float = 10.0,
    weight: Literal["nature", "v1"] = "nature",
    life_loss_ends: bool | None = None,
    reset_on_update: bool = True,
    archive: bool = True,
    robustify: Literal["no", "policy", "blind"] = "no",
    target: float = 100.0,
    observation: Literal["ram", "pixels"] = "ram",
    sticky: float = 0.25,
    practice: int = 600_000,
    pool: Pool | None = None,
) -> Stages:
    """Explore an Atari game from the states that exploration has reached, starting with Montezuma's Revenge.

    Args:
        game: A game as ale-py names it.
        cells: What counts as the same place: a small picture, one whose size adapts to what was seen, or the room,
            position and things carried, read from the memory of Montezuma's Revenge or Pitfall.
        width: Pixels of the small picture across; also where dynamic cells begin.
        height: Pixels of the small picture down.
        depth: Levels of grey.
        batch: Rollouts before the archive is updated.
        explore_steps: Actions per rollout, of 4 frames each.
        repeat: Mean number of times a random action is repeated.
        weight: Which cells to return to: the rule of the 2021 paper, or that of 2019.
        life_loss_ends: A rollout ends when a life is lost, not only when the game is over; None: with domain cells.
        reset_on_update: The counts of a cell begin again when a better way to it is found.
        archive: Return to what was found.  Without, as a control, rollouts start from the reset and last ten times
            as long.
        robustify: When the target is reached, learn a policy that reaches it in spite of sticky actions, and examine
            it; or, as a control, examine what becomes of the same actions when they are repeated blindly.
        target: The score at which exploration ends, if anything comes after it.
        observation: What the policy sees: the console's memory, or pictures.
        sticky: Probability, at each frame, that the action of the frame before goes on.
        practice: Actions after which learning ends if it has not succeeded.
        pool: Where rollouts run.
    """
    domain, place = DOMAINS.get(game, (None, None))
    if cells == "domain" and domain is None:
        raise UsageError(f"--cells domain knows {', '.join(DOMAINS)}; for `{game}` use pixels or dynamic.")
    if robustify != "no" and target <= 0:
        raise UsageError(f"--target is {target:g}: give a score above zero, so that there is something to learn.")
    dynamic = Dynamic() if cells == "dynamic" else None
    mortal = cells == "domain" if life_loss_ends is None else life_loss_ends
    how = Explore(
        domain if cells == "domain" and domain else Pixels(width, height, depth),
        place,
        Atari.frame if dynamic else None,
        explore_steps if archive else 10 * explore_steps,
        repeat,
        dynamic.sample if dynamic else 0.0,
    )
    rule = {"nature": nature_weights, "v1": v1_weights}[weight]
    system = GoExplore(
        World(Atari, (game, mortal)),
        how,
        batch=batch,
        weights=lambda cells_: rule(cells_, domain=cells == "domain"),
        reset_counts=reset_on_update,
        returns=archive,
        dynamic=dynamic,
        pool=pool,
    )
    explore = Stage("explore", system, lambda state: robustify != "no" and float(state.best) >= target)
    if robustify == "no":
        return Stages([explore])
    teaching = school(game, observation, sticky, mortal, pool or Serial())
    examine = Stage("examine", Examination(teaching, blind=robustify == "blind"), examined, demonstrated)
    if robustify == "blind":
        return Stages([explore, examine])
    learn = Stage("robustify", teaching, lambda state: state.done or state.steps >= practice, demonstrated)
    return Stages([explore, learn, examine._replace(inherit=learnt)])


def demonstrated(own: Any, before: Exploration) -> Any:
    """The state of a phase that begins with what exploration found."""
    return own._replace(actions=before.archive.actions(before.archive.foremost))


def learnt(own: Examined, before: Rehearsed) -> Examined:
    """The state of the examination of what was learnt."""
    return own._replace(policy=before.learner.policy, actions=before.actions)


PAPER = {
    "cells": "dynamic", "repeat": 20.0, "life_loss_ends": False, "robustify": "policy", "target": 2500.0,
    "observation": "pixels", "practice": 2_500_000_000,
}  # fmt: skip
"""The 2021 paper without domain knowledge.  It explored for 2 G frames, whatever the score, and practised with several
demonstrations."""

EXPLORATION = Claim(
    statement="Returning to what was reached before exploring on scores where exploring from the start does not.",
    source="Ecoffet et al. 2019 and 2021, abstracts",
    metric="score/best",
    treatment={"cells": "domain"},
    control={"cells": "domain", "archive": False},
    steps=60,
    margin=100.0,
    others={"pixels": {"batch": 40}},
    also=("go_explore/rooms", "archive/cells", "go_explore/frames"),
)
"""Montezuma's Revenge, about 0.8 M frames in every arm: a rollout of pixel cells is longer, so it has fewer of them."""

ROBUSTIFICATION = Claim(
    statement="A policy that learnt from the explored trajectory reaches its score with sticky actions more often than"
    " the trajectory repeated blindly.",
    source="Ecoffet et al. 2019 and 2021; Salimans & Chen 2018",
    metric="robustified/success",
    treatment={"cells": "domain", "robustify": "policy"},
    control={"cells": "domain", "robustify": "blind"},
    also=("robustified/score", "robustified/demonstration", "go_explore/frames"),
)
"""The first key of Montezuma's Revenge, 100 points; both arms of a seed have the same demonstration, for whose
exploration the frames are counted."""

CLAIM = (EXPLORATION, ROBUSTIFICATION)


def figures(run: Run) -> list[Figure]:
    """The course of the exploration, a map of the rooms, a film of the best trajectory."""
    explored: Exploration = run.state.states[0]
    return expedition.figures(run, explored_world(run), explored.archive, explored.entered)


def replay(run: Run, individual: Individual) -> list[Figure]:
    """The way to an elite, from the reset on."""
    return [expedition.again(run, explored_world(run), run.state.states[0].archive, individual)]


def explored_world(run: Run) -> World:
    """Where a run explores."""
    stage = make(**run.options).stages[0].system
    assert isinstance(stage, GoExplore)
    return stage.world


if __name__ == "__main__":
    import aiga

    aiga.run("go_explore", cells="domain", minutes=1.0)
