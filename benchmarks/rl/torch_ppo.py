"""PPO in PyTorch over Gymnasium's vector environments, with CleanRL's documented hyperparameters and bookkeeping.

Huang et al. (2022), https://docs.cleanrl.dev/rl-algorithms/ppo/: its list of implementation details, written anew.
Runs by itself (`python torch_ppo.py '{"env": ...}'`) and prints one JSON object.
"""

# pyright: reportMissingImports=false
# torch is installed apart

import json
import sys
import time
from functools import partial
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from torch import nn
from torch.distributions import Categorical


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Train as the task says; the curve has a row per update: steps, CPU-seconds, mean return of the last episodes."""
    torch.set_num_threads(1)  # more threads cost more CPU time for networks of this size
    torch.manual_seed(task["seed"])
    rng = np.random.default_rng(task["seed"])
    worlds = vector(task)
    agent = Agent(worlds.single_observation_space.shape, int(worlds.single_action_space.n), task)
    optimiser = torch.optim.Adam(agent.parameters(), lr=task["learning_rate"], eps=1e-5)
    batch, began, curve = task["worlds"] * task["length"], time.process_time(), []
    updates = task["steps"] // batch
    tally = np.stack([np.zeros(task["worlds"]), np.full(task["worlds"], np.nan)])  # this episode, the last one
    observation, done = tensor(worlds.reset(seed=task["seed"])[0]), torch.zeros(task["worlds"])
    for update in range(updates):
        if task["anneal"]:
            optimiser.param_groups[0]["lr"] = task["learning_rate"] * (1 - update / updates)
        observation, done, data = play(worlds, agent, observation, done, tally, task)
        learn(agent, optimiser, data, rng, task)
        curve.append((batch * (update + 1), time.process_time() - began, mean(tally[1])))
    worlds.close()
    return {"curve": curve}


def vector(task: dict[str, Any]) -> Any:
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    if task["env"].startswith("atari-"):
        return gymnasium.vector.SyncVectorEnv(
            [partial(atari, *task["env"].split("-")[1:])] * task["worlds"], autoreset_mode=mode
        )
    if task["env"].endswith("-MinAtar"):
        minatar = __import__("minatar.gym").gym
        minatar.register_envs()
        name = f"MinAtar/{task['env'].removesuffix('-MinAtar')}-v1"
        inner: dict[str, Any] = {"sticky_action_prob": 0.0}
    else:
        name, inner = task["env"], {}
    build = [lambda: gymnasium.make(name, disable_env_checker=True, **inner)] * task["worlds"]
    return gymnasium.vector.SyncVectorEnv(build, autoreset_mode=mode)


def atari(game: str, seen: str) -> Any:
    """A game with sticky actions, four frames a step, seen as memory or as four pictures of 84 x 84."""
    gymnasium.register_envs(__import__("ale_py"))
    name = f"ALE/{game.title()}-v5"
    if seen == "ram":
        return gymnasium.make(name, obs_type="ram", frameskip=4, disable_env_checker=True)
    env = gymnasium.make(name, frameskip=1, disable_env_checker=True)
    return FrameStackObservation(AtariPreprocessing(env, noop_max=0), 4)


class Agent(nn.Module):
    """Actor and critic, two perceptrons of their own."""

    def __init__(self, shape: tuple[int, ...], actions: int, task: dict[str, Any]) -> None:
        super().__init__()
        activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[task["activation"]]
        pixels, self.scale = task["env"].endswith("-pixels"), 1 / 255 if task["env"].startswith("atari-") else 1.0
        sizes = (512,) if pixels else (int(np.prod(shape)), *task["hidden"])
        self.encoder = nature() if pixels else nn.Flatten()
        self.critic = perceptron((*sizes, 1), activation, 1.0)
        self.actor = perceptron((*sizes, actions), activation, 0.01)

    def forward(self, x: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        features = self.encoder(x * self.scale)
        return Categorical(logits=self.actor(features)), self.critic(features).squeeze(-1)


def nature() -> nn.Sequential:
    """The convolutions of Mnih et al. (2015)."""
    layers: list[nn.Module] = []
    for layer in (nn.Conv2d(4, 32, 8, 4), nn.Conv2d(32, 64, 4, 2), nn.Conv2d(64, 64, 3), nn.Linear(3136, 512)):
        nn.init.orthogonal_(layer.weight, 2**0.5)
        nn.init.zeros_(layer.bias)
        layers += [*([nn.Flatten()] if isinstance(layer, nn.Linear) else []), layer, nn.ReLU()]
    return nn.Sequential(*layers)


def perceptron(sizes: tuple[int, ...], activation: Any, last_gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        linear = nn.Linear(before, after)
        nn.init.orthogonal_(linear.weight, last_gain if i == len(sizes) - 2 else 2**0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def tensor(observation: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(observation, dtype=torch.float32)


@torch.no_grad()
def play(
    worlds: Any, agent: Agent, observation: torch.Tensor, done: torch.Tensor, tally: np.ndarray, task: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """A rollout: observations, actions, their log-probabilities, values, advantages."""
    length, n = task["length"], task["worlds"]
    observations = torch.zeros(length, *observation.shape)
    actions, logs, values, rewards, dones = (torch.zeros(length, n) for _ in range(5))
    for t in range(length):
        observations[t], dones[t] = observation, done
        policy, values[t] = agent(observation)
        actions[t] = action = policy.sample()
        logs[t] = policy.log_prob(action)
        seen, reward, terminated, truncated, _ = worlds.step(action.numpy())
        ended = terminated | truncated
        tally[0] += reward
        tally[1, ended], tally[0, ended] = tally[0, ended], 0
        rewards[t] = torch.as_tensor(reward)
        observation, done = tensor(seen), torch.as_tensor(ended, dtype=torch.float32)
    following = agent(observation)[1]
    advantages, gain = torch.zeros(length, n), torch.zeros(n)
    for t in reversed(range(length)):
        going_on = 1 - (done if t == length - 1 else dones[t + 1])
        error = rewards[t] + task["discount"] * going_on * following - values[t]
        advantages[t] = gain = error + task["discount"] * task["trace"] * going_on * gain
        following = values[t]
    data = [observations, actions, logs, values, advantages]
    return observation, done, [x.reshape(length * n, *x.shape[2:]) for x in data]


def learn(
    agent: Agent, optimiser: torch.optim.Optimizer, data: list[torch.Tensor], rng: np.random.Generator,
    task: dict[str, Any],
) -> None:  # fmt: skip
    """The clipped objective over a few epochs of shuffled minibatches."""
    clip, size = task["clip"], len(data[0]) // task["minibatches"]
    for _ in range(task["epochs"]):
        for rows in np.split(rng.permutation(len(data[0])), len(data[0]) // size):
            observation, action, log, value, advantage = (x[rows] for x in data)
            policy, now = agent(observation)
            ratio = (policy.log_prob(action) - log).exp()
            target = advantage + value
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            surrogate = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
            near = value + (now - value).clamp(-clip, clip)
            error = 0.5 * torch.max((now - target) ** 2, (near - target) ** 2).mean()
            loss = task["value_weight"] * error - surrogate - task["entropy"] * policy.entropy().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), task["gradient_norm"])
            optimiser.step()


def mean(last: np.ndarray) -> float | None:
    return None if np.isnan(last).all() else float(np.nanmean(last))


if __name__ == "__main__":
    json.dump(train(json.loads(sys.argv[1])), sys.stdout)
