"""The real emulator: exact restoring, rewards, and the cells of two games."""

import asyncio

import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.envs.atari import Atari, MontezumaCell, PitfallCell, PlayableAtari, montezuma_place, picture, pitfall_place
from aiga.envs.pixels import Pixels, shrink
from aiga.envs.restorable import World, random_actions, replay
from aiga.runs.local_pool import LocalPool

MONTEZUMA = World(Atari, ("montezuma_revenge", False))


def trace(build: tuple, snapshot: bytes, actions: list[int]) -> list[bytes]:
    """The memory after each action."""
    env = Atari(*build)
    env.restore(snapshot)
    memory = []
    for action in actions:
        env.act(action)
        memory.append(env.ram().tobytes() + Pixels()(env))
    return memory


@pytest.mark.parametrize("game", ["montezuma_revenge", "pitfall"])
def test_a_restored_game_goes_on_byte_for_byte_in_other_processes(game):
    env = Atari(game, False)
    rng = np.random.default_rng(3)
    for action in random_actions(rng, env.actions, 60, 5.0).tolist():
        env.act(action)
    saved, actions = env.save(), random_actions(rng, env.actions, 250, 5.0).tolist()
    here = []
    for action in actions:
        env.act(action)
        here.append(env.ram().tobytes() + Pixels()(env))

    async def elsewhere():
        with LocalPool(2) as pool:
            return await asyncio.gather(*(pool.submit(trace, (game, False), saved, actions) for _ in range(2)))

    assert asyncio.run(elsewhere()) == [here, here]


def test_all_18_actions_of_both_games_are_legal_and_needed():
    assert [Atari(game).actions for game in ("montezuma_revenge", "pitfall")] == [18, 18]


def test_an_unknown_game_is_one_sentence():
    with pytest.raises(UsageError, match="`montezuma` is unknown"):
        Atari("montezuma")


def test_the_episode_ends_at_a_life_loss_only_if_asked():
    walk_off = [3] * 60  # to the right, off the platform
    ends = {}
    for life_loss_ends in (True, False):
        env = Atari("montezuma_revenge", life_loss_ends)
        ends[life_loss_ends] = [env.act(action)[1] for action in walk_off]
    assert any(ends[True])
    assert not any(ends[False])


def test_a_restored_game_counts_lives_from_its_snapshot():
    env = Atari("montezuma_revenge", False)
    while env.ale.lives() == 6:
        env.act(3)
    saved = env.save()
    env = Atari("montezuma_revenge", True)
    env.restore(saved)
    assert env.act(0)[1] is False


def test_montezuma_starts_in_the_middle_of_room_1_with_nothing():
    env = Atari("montezuma_revenge")
    ram = env.ram()
    assert (ram[57], ram[3], ram[65]) == (0, 1, 0)
    assert MontezumaCell()(env) == bytes([0, 1, 2 * int(ram[42]) // 16, int(ram[43]) // 16, 0])
    assert montezuma_place(env) == 1


def test_montezumas_cell_follows_the_man():
    env = Atari("montezuma_revenge")
    before = env.ram()[42]
    for _ in range(4):
        env.act(3)
    assert env.ram()[42] > before
    env.reset()
    for _ in range(10):
        env.act(5)
    assert MontezumaCell()(env)[:2] == b"\0\1"


def test_pitfalls_cell_follows_the_man_into_the_next_room():
    """The game numbers its rooms by a shift register; to the left it shifts right."""
    env = Atari("pitfall")
    room, x = pitfall_place(env), int(env.ram()[97])
    for _ in range(8):
        env.act(3)  # right
    assert PitfallCell()(env) == bytes([0, room, 2 * int(env.ram()[97]) // 16, 2])
    assert env.ram()[97] > x
    for _ in range(16):
        env.act(4)  # left, over the edge
    bit = (room >> 4 ^ room >> 5 ^ room >> 6 ^ room) & 1
    assert pitfall_place(env) == room >> 1 | bit << 7


def test_replays_from_the_reset_agree_with_each_other():
    actions = random_actions(np.random.default_rng(1), 18, 300, 8.0)
    first, second = replay(MONTEZUMA, MontezumaCell(), actions), replay(MONTEZUMA, MontezumaCell(), actions)
    assert first == second
    assert first.length > 100


@pytest.mark.parametrize(("observation", "shape"), [("ram", (128,)), ("pixels", (4, 84, 84))])
def test_a_game_goes_on_from_its_snapshot_with_sticky_actions_as_it_would_have(observation, shape):
    one, two = PlayableAtari("montezuma_revenge", observation), PlayableAtari("montezuma_revenge", observation)
    actions = random_actions(np.random.default_rng(1), 18, 80, 5.0).tolist()
    rng = np.random.default_rng(2)
    assert one.reset(rng, None).shape == shape
    for action in actions[:30]:
        one.step(rng, action)
        two.step(rng, 17 - action)
    two.restore(one.save())
    for action in actions[30:]:
        here, there = one.step(np.random.default_rng(action), action), two.step(np.random.default_rng(action), action)
        assert here[1:] == there[1:]
        assert np.array_equal(here.observation, there.observation)
    assert np.array_equal(one.reset(rng, None), two.reset(rng, None))
    assert one.save() == two.save(), "an episode does not depend on those before it"


def test_without_sticky_actions_a_step_is_four_frames_of_its_action_and_with_them_some_frames_are_late():
    actions = random_actions(np.random.default_rng(1), 18, 60, 3.0).tolist()
    calm, sticky = PlayableAtari("montezuma_revenge", sticky=0.0), PlayableAtari("montezuma_revenge", sticky=0.25)
    game, rng = Atari("montezuma_revenge", False), np.random.default_rng(0)
    for action in actions:
        calm.step(rng, action)
        sticky.step(rng, action)
        game.act(action)
    assert np.array_equal(calm.seen(), game.ram())
    assert not np.array_equal(sticky.seen(), game.ram())
    stuck = PlayableAtari("montezuma_revenge", sticky=1.0)
    for action in actions:
        stuck.step(rng, action)
    idle = PlayableAtari("montezuma_revenge", sticky=0.0)
    for _ in actions:
        idle.step(rng, 0)
    assert np.array_equal(stuck.seen(), idle.seen()), "the first action of a game goes on"


def test_pictures_are_those_of_the_last_four_steps():
    env, rng = PlayableAtari("montezuma_revenge", "pixels"), np.random.default_rng(0)
    first = env.reset(rng, None)
    assert not first[:3].any()
    assert first[3].any()
    second = env.step(rng, 3).observation
    assert np.array_equal(second[2], first[3])
    assert second.max() > 100


def test_a_picture_is_the_frame_averaged_over_areas():
    frame = np.random.default_rng(0).integers(0, 256, (210, 160), np.uint8)
    assert np.array_equal(picture(frame), shrink(frame, 84, 84, 255))
    assert (picture(np.full((210, 160), 255, np.uint8)) == 255).all()
