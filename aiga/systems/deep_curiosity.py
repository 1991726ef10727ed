"""Deep Curiosity Search: a reward for every place that is new in this life.

Stanton & Clune (2018), "Deep Curiosity Search: intra-life exploration can improve performance on challenging deep
reinforcement learning problems", https://arxiv.org/abs/1806.00553:

    divide the world into tiles
    in every life:
        begin with an empty grid of tiles
        on entering a tile that the grid does not show yet:  mark it, and give a reward besides the world's own
        show the grid to the agent, as one more channel of its input
    train by advantage actor-critic (A2C)

The controls: no such reward, and one that fades with all visits of a tile in all of training.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8

from aiga.archives.visits import Visits
from aiga.core.errors import require
from aiga.core.lifts import Scanned
from aiga.core.protocols import Env, Info, Key, Pool, System, Transition
from aiga.envs import rooms
from aiga.envs.atari import PlayableAtari
from aiga.envs.playable import Outcome
from aiga.envs.restorable import World
from aiga.envs.tiles import GAMES, SCREEN
from aiga.learners.host import collect, seat
from aiga.learners.ppo import PPO, Learner, a2c
from aiga.learners.rollout import Trajectory, Worlds, begin, rollout
from aiga.nn.mlp import nature_cnn
from aiga.nn.policy import Policy, make_policy
from aiga.runs.claims import Claim
from aiga.runs.pools import Serial
from aiga.runs.record import Run
from aiga.runs.report import Figure, style

ABOUT = {"papers": (43,), "pillar": "learning", "needs": ()}

Novelty = Literal["life", "training", "none"]


class Entered(NamedTuple):
    """What a step is remembered for."""

    tile: Int[Array | np.ndarray, "*b"]
    first: Bool[Array | np.ndarray, "*b"]
    """The tile is new in this life."""
    tiles: Int[Array | np.ndarray, "*b"]
    """Visited in this life so far."""


class Trained(NamedTuple):
    """The state of training."""

    learner: Learner
    worlds: Worlds
    visits: Visits
    """Of every tile, in all of training."""
    steps: Int[Array, ""]
    """Taken so far, over all worlds."""


class Curiosity(eqx.Module):
    """What the agent is rewarded for, and how it learns."""

    ppo: PPO
    tiles: int = eqx.field(static=True)
    novelty: Novelty = eqx.field(static=True)
    weight: float = eqx.field(static=True)

    def begin(self, policy: Policy, worlds: Worlds) -> Trained:
        return Trained(self.ppo.init(policy), worlds, Visits.none(self.tiles), jnp.zeros((), int))

    @eqx.filter_jit
    def learn(self, key: Key, state: Trained, worlds: Worlds, trajectory: Trajectory) -> tuple[Trained, Info]:
        """Reward what was new, and improve the policy."""
        entered: Entered = trajectory.watched
        visits, _ = state.visits.visit(entered.tile.ravel())
        reward = jnp.clip(trajectory.reward, -1, 1) + self.weight * self.bonus(entered, visits)
        learner, info = self.ppo.update(key, state.learner, trajectory._replace(reward=reward, watched=None))
        steps = state.steps + reward.size
        ended = trajectory.terminated | trajectory.truncated
        metrics = {
            "episode/tiles": jnp.where(ended, entered.tiles, 0).sum() / ended.sum(),
            "training/tiles": (visits.counts > 0).sum(),
            "learner/steps": steps,
        }
        return Trained(learner, worlds, visits, steps), {**info, **worlds.episodes.metrics(), **metrics}

    def bonus(self, entered: Entered, visits: Visits) -> Float[Array, "t b"]:
        """1 for a tile that is new in this life; or 1 / sqrt(n) for one that was visited n times in training."""
        if self.novelty == "life":
            return jnp.asarray(entered.first, float)
        if self.novelty == "training":
            return 1 / jnp.sqrt(visits.counts[entered.tile])
        return jnp.zeros(entered.tile.shape)


class Life(NamedTuple):
    """A moment of a life in a world of tiles."""

    state: PyTree
    """The world's."""
    visits: Visits
    """Of every tile in this life: the curiosity grid."""
    entered: Entered


class Tiled(eqx.Module):
    """A world that keeps the curiosity grid of a life, and shows it beside what the world shows."""

    world: Env
    tile: Callable[[PyTree, PyTree], Array] = eqx.field(static=True)
    """From the world's state and genome to the number of a tile."""
    tiles: int = eqx.field(static=True)
    channel: bool = eqx.field(static=True)
    """The agent sees the grid; otherwise, an empty one."""

    def reset(self, key: Key, params: PyTree) -> tuple[Life, PyTree]:
        state, observation = self.world.reset(key, params)
        life = self.enter(state, Visits.none(self.tiles), params)
        return life, self.observe(observation, life.visits)

    def step(self, key: Key, state: Life, action: PyTree, params: PyTree) -> Transition:
        after = self.world.step(key, state.state, action, params)
        life = self.enter(after.state, state.visits, params)
        return after._replace(state=life, observation=self.observe(after.observation, life.visits))

    def enter(self, state: PyTree, visits: Visits, params: PyTree) -> Life:
        tile = self.tile(state, params)
        visits, first = visits.visit(tile)
        return Life(state, visits, Entered(tile, first, (visits.counts > 0).sum()))

    def observe(self, observation: PyTree, visits: Visits) -> tuple[PyTree, Float[Array, " tiles"]]:
        return observation, jnp.asarray((visits.counts > 0) & self.channel, float)


def entered(after: Transition) -> Entered:
    """Where the step led."""
    return after.state.entered


class DeepCuriosity(eqx.Module):
    """Train in a world of pure functions."""

    env: Tiled
    params: PyTree
    curiosity: Curiosity
    build: Callable[[Key], Policy]
    worlds: int = eqx.field(static=True)
    length: int = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Trained:
        weights, fresh = jax.random.split(key)
        policy = self.build(weights)
        return self.curiosity.begin(policy, begin(fresh, self.env, self.params, policy, self.worlds))

    def step(self, key: Key, state: Trained) -> tuple[Trained, Info]:
        play, learn = jax.random.split(key)
        policy = state.learner.policy
        worlds, trajectory = rollout(play, self.env, self.params, policy, state.worlds, self.length, watch=entered)
        return self.curiosity.learn(learn, state, worlds, trajectory)


class TiledAtari:
    """A game that keeps the curiosity grid of a life, and shows the room's part of it as a fifth picture."""

    def __init__(self, game: str, channel: bool, sticky: float) -> None:
        self.env, self.tiles, self.channel = PlayableAtari(game, "pixels", sticky), GAMES[game], channel
        self.actions = self.env.actions
        rows, columns = (np.arange(84) * pixels // (84 * self.tiles.side) for pixels in SCREEN)
        self._pixels = rows[:, None] * self.tiles.shape[2] + columns
        self._begin()

    def reset(self, rng: np.random.Generator, params: object) -> UInt8[np.ndarray, "5 84 84"]:
        pictures = self.env.reset(rng, params)
        self._begin()
        return self._seen(pictures)

    def step(self, rng: np.random.Generator, action: int) -> Outcome:
        lives = self.env.game.ale.lives()
        after = self.env.step(rng, action)
        if self.env.game.ale.lives() < lives:
            self._begin()
        else:
            self._enter()
        return after._replace(observation=self._seen(after.observation))

    def save(self) -> bytes:
        return np.packbits(self.visits.counts > 0).tobytes() + self.env.save()

    def restore(self, snapshot: bytes) -> None:
        size = -(-len(self.visits.counts) // 8)
        seen = np.unpackbits(np.frombuffer(snapshot[:size], np.uint8), count=len(self.visits.counts))
        self.visits = Visits(seen.astype(np.int32))
        self.env.restore(snapshot[size:])

    def _begin(self) -> None:
        """Begin a life."""
        self.visits = Visits.none(int(np.prod(self.tiles.shape)), np=np)
        self._enter()

    def _enter(self) -> None:
        tile = np.ravel_multi_index(self.tiles.locate(self.env.game.ram()), self.tiles.shape)
        self.visits, first = self.visits.visit(np.asarray(tile))
        self.entered = Entered(np.asarray(tile), first, np.asarray((self.visits.counts > 0).sum()))

    def _seen(self, pictures: UInt8[np.ndarray, "4 84 84"]) -> UInt8[np.ndarray, "5 84 84"]:
        room = self.visits.counts.reshape(self.tiles.shape[0], -1)[self.tiles.locate(self.env.game.ram())[0]]
        grid = np.where((room[self._pixels] > 0) & self.channel, 255, 0).astype(np.uint8)
        return np.concatenate([pictures, grid[None]])


def entered_on_host(env: Any, outcome: Outcome) -> Entered:
    """Where the step led."""
    del outcome
    return env.entered


class DeepCuriosityOnHost(eqx.Module):
    """Train in an emulated game."""

    world: World
    curiosity: Curiosity
    build: Callable[[Key], Policy]
    pool: Pool
    worlds: int
    length: int

    def init(self, key: Key) -> Trained:
        weights, fresh = jax.random.split(key)
        policy = self.build(weights)
        return self.curiosity.begin(policy, seat(fresh, self.world, None, policy, self.worlds))

    async def step(self, key: Key, state: Trained) -> tuple[Trained, Info]:
        play, learn = jax.random.split(key)
        policy = state.learner.policy
        worlds, trajectory = await collect(
            play, self.world, None, policy, state.worlds, self.length, pool=self.pool, watch=entered_on_host
        )
        return self.curiosity.learn(learn, state, worlds, trajectory)


class Perceptrons(eqx.Module):
    """From a key to a policy of perceptrons."""

    features: int = eqx.field(static=True)
    actions: int = eqx.field(static=True)
    hidden: int = eqx.field(static=True)

    def __call__(self, key: Key) -> Policy:
        return make_policy(key, self.features, self.actions, hidden=(self.hidden, self.hidden))


class Convolutions(eqx.Module):
    """From a key to a policy that sees five pictures."""

    actions: int = eqx.field(static=True)

    def __call__(self, key: Key) -> Policy:
        encoder, heads = jax.random.split(key)
        return make_policy(heads, 512, self.actions, hidden=(), encoder=nature_cnn(encoder, (5, 84, 84)))


def make(
    world: Literal["rooms", "maze", "montezuma_revenge", "seaquest"] = "rooms",
    novelty: Novelty = "life",
    channel: bool = True,
    weight: float = 0.3,
    corridors: int = 6,
    worlds: int = 64,
    length: int = 20,
    learning_rate: float = 2e-3,
    entropy: float = 0.001,
    discount: float = 0.99,
    trace: float = 1.0,
    hidden: int = 64,
    sticky: float = 0.25,
    fuse: int = 50,
    pool: Pool | None = None,
) -> System:
    """Learn to explore rooms of keys and doors, or an Atari game.

    Args:
        world: Rooms along corridors, a maze of sixteen rooms, or a game.
        novelty: What is rewarded: tiles that are new in this life, tiles that were rarely visited in all of training,
            or, besides the world's own rewards, nothing.
        channel: Show the agent which tiles it has visited in this life.
        weight: Reward of a new tile; the world's own are clipped to 1.
        corridors: Corridors of three rooms, each but the first behind a door.
        worlds: Lives that are lived at the same time.
        length: Steps between updates.
        learning_rate: Of RMSprop.
        entropy: Weight of the policy's entropy.
        discount: What a reward one step later is worth.
        trace: Lambda of generalised advantage estimation; 1: returns as in A2C.
        hidden: Units of both layers; games have convolutions instead.
        sticky: Probability, at each frame of a game, that the action of the frame before goes on.
        fuse: Updates in a step of the run; games have one.
        pool: Where games are played.
    """
    ppo = a2c(learning_rate=learning_rate, entropy=entropy, discount=discount, trace=trace)
    if world in GAMES:
        curiosity = Curiosity(ppo, int(np.prod(GAMES[world].shape)), novelty, weight)
        game = World(TiledAtari, (world, channel, sticky))
        build = Convolutions(PlayableAtari(world).actions)
        return DeepCuriosityOnHost(game, curiosity, build, pool or Serial(), worlds, length)
    layout = built(world, corridors)
    env, tiles = rooms.Rooms("vector"), layout.walls.size
    curiosity, tiled = Curiosity(ppo, tiles, novelty, weight), Tiled(env, rooms.place, tiles, channel)
    _, observation = jax.eval_shape(tiled.reset, jax.random.key(0), layout)
    build = Perceptrons(sum(leaf.size for leaf in observation), env.actions, hidden)
    means = {"episode/return": jnp.nanmean, "episode/length": jnp.nanmean, "episode/tiles": jnp.nanmean}
    return Scanned(DeepCuriosity(tiled, layout, curiosity, build, worlds, length), fuse, means)


def built(world: str, corridors: int) -> rooms.Layout:
    """The rooms, or the maze."""
    return rooms.key_rooms(corridors, limit=100 * corridors) if world == "rooms" else rooms.key_maze()


PAPER = {
    "world": "montezuma_revenge", "weight": 1.0, "worlds": 16, "length": 5, "learning_rate": 7e-4, "entropy": 0.01,
}  # fmt: skip
"""With the settings of A2C in OpenAI's Baselines; 1,000,000 steps are 80 M actions of 4 frames."""

CLAIM = Claim(
    statement="Rewarded for what is new in this life, agents reach the goal behind keys and doors in more lives than"
    " rewarded for what was rare in all of training.",
    source="Stanton & Clune 2018, abstract",
    metric="episode/return",
    treatment={},
    control={"novelty": "training", "weight": 1.0, "learning_rate": 4e-3, "entropy": 3e-4},
    steps=30,
    others={
        "control as treatment": {"novelty": "training", "weight": 1.0},
        "no channel": {"channel": False},
        "none": {"novelty": "none"},
    },
    also=("episode/tiles", "training/tiles"),
)
"""1.92 M steps.  The control's settings are the best that were found for it; `control as treatment` has the others."""


def figures(run: Run) -> list[Figure]:
    """Where the agents went, in all of training."""
    graph = require("plotly.graph_objects", "report")
    counts = np.asarray(run.state.visits.counts, float)
    world = run.options.get("world", "rooms")
    if world in GAMES:
        grids = counts.reshape(GAMES[world].shape)
        grids = np.pad(grids[grids.any(axis=(1, 2))], ((0, 0), (0, 0), (0, 1)))  # an empty column between rooms
        counts = np.concatenate(grids, axis=1)
    else:
        layout = built(world, run.options.get("corridors", 6))
        counts = counts.reshape(layout.walls.shape)
    shares = np.where(counts > 0, np.log10(np.maximum(counts, 1) / counts.sum()), np.nan)
    bar = {"title": "of all steps", "tickvals": [-4, -3, -2, -1], "ticktext": ["0.01 %", "0.1 %", "1 %", "10 %"]}
    content = graph.Figure(graph.Heatmap(z=shares, zmin=-4, zmax=-1, colorscale="Viridis", colorbar=bar))
    content.update_yaxes(autorange="reversed", scaleanchor="x", visible=False)
    content.update_xaxes(visible=False)
    style(content, height=520, width=640)
    said = f"Share of all steps on each tile; {int((counts > 0).sum())} tiles were entered at least once."
    return [Figure("Where the agents went", said, content)]


if __name__ == "__main__":
    import aiga

    aiga.run("deep_curiosity", steps=50)
