"""Craftax-Classic: Crafter in JAX, through the library `craftax` (MIT).

Matthews et al. (2024), https://arxiv.org/abs/2402.16801; Hafner (2022), https://arxiv.org/abs/2109.06780.
"""

from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.errors import require
from aiga.core.protocols import Key, Transition

ITEMS = (
    "collect_wood", "place_table", "eat_cow", "collect_sapling", "collect_drink", "make_wood_pickaxe",
    "make_wood_sword", "place_plant", "defeat_zombie", "collect_stone", "place_stone", "eat_plant", "defeat_skeleton",
    "make_stone_pickaxe", "make_stone_sword", "wake_up", "place_furnace", "collect_coal", "collect_iron",
    "collect_diamond", "make_iron_pickaxe", "make_iron_sword",
)  # fmt: skip
"""The achievements, in the library's order."""


ACTIONS = 17
ACTIVE = tuple(action for action in range(ACTIONS) if action not in (6, 10))
"""All actions but to sleep and to place a plant."""
NEEDS, FULL = ("player_health", "player_food", "player_drink", "player_energy"), 9


class CraftaxState(NamedTuple):
    """A game, and what was achieved in it."""

    game: PyTree
    """The library's state."""
    obtained: Bool[Array, " items"]
    """In this very step, whether or not for the first time."""
    unlocked: Bool[Array, " items"]
    """In this episode so far."""


class Craftax(eqx.Module):
    """Survival and crafting; observed is the surrounding map, block by block, and the inventory.

    The reward is the library's: 1 for the first of each achievement, and 0.1 for each point of health.  The library
    uses some random keys twice, so it is given their bare numbers, which JAX does not watch.
    """

    horizon: int = eqx.field(static=True, default=10_000)
    """Steps after which an episode is cut off."""
    survival: bool = eqx.field(static=True, default=True)
    """False: health, food, drink and energy are full at every step, and nobody can sleep or plant; lava still kills."""
    features: int = eqx.field(static=True, default=1345)
    """Numbers in an observation."""

    def __check_init__(self):
        _game()  # say early if it is not installed

    @property
    def actions(self) -> int:
        return ACTIONS if self.survival else len(ACTIVE)

    @property
    def items(self) -> tuple[str, ...]:
        return ITEMS

    def reset(self, key: Key, params: None = None) -> tuple[CraftaxState, Float[Array, " f"]]:
        del params
        observation, game = _game().reset_env(jax.random.key_data(key), _rules())
        game = jax.tree.map(lambda x: jnp.array(x, jnp.result_type(x)), game.replace(state_rng=None))
        none = jnp.zeros(len(ITEMS), bool)
        return CraftaxState(game, none, none), observation

    def step(self, key: Key, state: CraftaxState, action: Int[Array, ""], params: None = None) -> Transition:
        del params
        before = state.game.replace(achievements=jnp.zeros_like(state.unlocked))  # to see the second of a kind too
        if not self.survival:
            full = {name: jnp.full_like(getattr(before, name), FULL) for name in NEEDS}
            before, action = before.replace(**full), jnp.array(ACTIVE)[action]
        observation, game, _, dead, _ = _game().step_env(jax.random.key_data(key), before, action, _rules())
        unlocked = state.unlocked | game.achievements
        reward = (unlocked & ~state.unlocked).sum() + 0.1 * (game.player_health - before.player_health)
        after = CraftaxState(game.replace(state_rng=None), game.achievements, unlocked)
        return Transition(after, observation, reward, dead, game.timestep >= self.horizon)

    def obtained(self, state: CraftaxState) -> Bool[Array, " items"]:
        """Which items the step that led here brought."""
        return state.obtained


def _rules() -> Any:
    """The library's rules without its limit of time, so that an episode's end means death."""
    return _game().default_params.replace(max_timesteps=2**30)


@cache
def _game() -> Any:
    """The library's world; its symbolic observations need no textures."""
    library = require("craftax.craftax_classic.envs.craftax_symbolic_env", "craftax")
    return library.CraftaxClassicSymbolicEnvNoAutoReset()
