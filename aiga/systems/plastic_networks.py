"""Networks whose connections change while they run, as gradient descent has taught them to.

Miconi, Stanley & Clune (2018), "Differentiable plasticity: training plastic neural networks with backpropagation",
https://arxiv.org/abs/1804.02464, and Miconi, Rawal, Clune & Stanley (2019), "Backpropamine: training self-modifying
neural networks with differentiable neuromodulated plasticity", https://arxiv.org/abs/2002.10585:

    repeat:
        for each of some episodes:
            trace of every connection <- 0
            at every step:
                output <- network(input), a connection being w + alpha * trace
                trace  <- what the rule makes of it and of the activities on both sides;
                          with neuromodulation, the network says how much and with which sign
            loss <- how badly it did once it could have learned
        w, alpha, the rates and the modulator <- Adam along the gradient through all steps

The control has fixed connections and more units, so that it has no fewer parameters.
"""

from bisect import bisect_left
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError, require
from aiga.core.protocols import Info, Key
from aiga.data.fewshot import flat
from aiga.data.images import objects
from aiga.data.omniglot import characters
from aiga.data.text import corpus, windows
from aiga.envs.cue_reward import CueReward
from aiga.envs.hidden_goal import HiddenGoal
from aiga.learners.completion import Completion, greys
from aiga.learners.lifetime import Lifetime
from aiga.learners.meta_gradient import Memory, Unroll
from aiga.learners.reading import Reading
from aiga.learners.recognition import Recognition
from aiga.learners.rollout import strong
from aiga.nn.plastic import MODULATED, Per, Rule, bounded
from aiga.runs.claims import Claim
from aiga.runs.record import Run
from aiga.runs.report import Figure, style

ABOUT = {"papers": (45, 31), "pillar": "learning", "needs": ()}

Name = Literal["patterns", "images", "omniglot", "cue_reward", "maze", "text"]


@runtime_checkable
class Task(Protocol):
    """Something to learn to learn: `learners/completion`, `recognition`, `lifetime`, `reading`."""

    @property
    def source(self) -> str: ...

    @property
    def unroll(self) -> Unroll: ...

    def build(self, key: Key, units: int, rule: Rule, alpha: Per) -> Any: ...

    def begin(self, network: Any) -> Any: ...

    def loss(self, key: Key, network: Any, memory: Any) -> tuple[Float[Array, ""], tuple[Any, Info]]: ...

    def examine(self, key: Key, network: Any) -> Info: ...


class Learner(NamedTuple):
    """The state: a network that learns to learn."""

    network: PyTree
    optimiser: PyTree
    memory: PyTree
    """What the task carries from one update to the next: of a text, where reading has come to; else nothing."""
    updates: Int[Array, ""]


class PlasticNetworks(eqx.Module):
    """Learn a task, `fuse` updates a step, and examine what was learned."""

    task: Task
    units: int = eqx.field(static=True)
    rule: Rule = eqx.field(static=True)
    alpha: Per = eqx.field(static=True)
    learning_rate: float
    half_life: int
    """Updates after which the learning rate is halved."""
    gradient_norm: float
    fuse: int = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Learner:
        network = self.task.build(key, self.units, self.rule, self.alpha)
        zero = jnp.zeros((), jnp.int32)
        return jax.tree.map(strong, Learner(network, self._descent().init(network), self.task.begin(network), zero))

    @eqx.filter_jit
    def step(self, key: Key, state: Learner) -> tuple[Learner, Info]:
        learn, examine = jax.random.split(key)
        keys = jax.random.split(learn, self.fuse)
        state, (losses, infos) = jax.lax.scan(lambda state, key: self.update(state, key), state, keys)
        return state, {
            **self.task.unroll.describe(state.network),
            "data/source": self.task.source,
            "network/units": self.units,
            "network/parameters": size(state.network),
            "train/loss": losses.mean(),
            "train/updates": state.updates,
            **jax.tree.map(jnp.mean, infos),
            **self.task.examine(examine, state.network),
        }

    def update(self, state: Learner, key: Key) -> tuple[Learner, tuple[Float[Array, ""], Info]]:
        """One step down the gradient of a batch of episodes."""
        descend = jax.value_and_grad(lambda network: self.task.loss(key, network, state.memory), has_aux=True)
        (loss, (memory, info)), gradient = descend(state.network)
        change, optimiser = self._descent().update(gradient, state.optimiser, state.network)
        network = bounded(eqx.apply_updates(state.network, change))
        return Learner(network, optimiser, memory, state.updates + 1), (loss, dict(info))

    def _descent(self) -> optax.GradientTransformation:
        rate = optax.exponential_decay(self.learning_rate, self.half_life, 0.5)
        return optax.chain(optax.clip_by_global_norm(self.gradient_norm), optax.adam(rate, eps=1e-6))


def size(network: PyTree) -> int:
    """How many numbers the network learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(network))


class Size(NamedTuple):
    """How large a task is, and how its network learns."""

    units: int
    batch: int
    learning_rate: float
    fuse: int
    about: dict[str, Any]
    """Of the task and of its networks."""
    rule: Rule = "clip"
    """Of the traces, without neuromodulation."""
    gradient_norm: float = 1e9
    half_life: int = 10**9
    """Updates after which the learning rate is halved."""


LAPTOP: dict[str, Size] = {
    "patterns": Size(0, 1, 3e-4, 10, {"bits": 1000, "patterns": 3, "rounds": 1, "shown": 6, "blank": 1, "recall": 3}),
    "images": Size(0, 4, 1e-3, 25, {"side": 16, "patterns": 3, "rounds": 1, "shown": 6, "blank": 1, "recall": 3}),
    "omniglot": Size(
        32, 16, 4e-3, 300, {"side": 15, "layers": 3, "asked": 15, "rate": 0.5, "normed": True}, "oja", half_life=1500
    ),
    "cue_reward": Size(32, 64, 1e-3, 100, {"cues": 3, "bits": 8, "length": 36, "pause": 0.0}, gradient_norm=2.0),
    "maze": Size(32, 32, 3e-3, 100, {"side": 7, "length": 80, "scale": 0.05, "rate": 0.1}, gradient_norm=4.0),
    "text": Size(32, 16, 3e-3, 50, {"time": 25}, gradient_norm=5.0),
}
"""By task; units of zero are as many as the task needs."""

PAPERS: dict[str, Size] = {
    "patterns": Size(
        0, 1, 3e-4, 10, {"bits": 1000, "patterns": 5, "rounds": 2, "shown": 6, "blank": 4, "recall": 6}, "decay"
    ),
    "images": Size(
        0, 1, 1e-4, 100, {"side": 32, "patterns": 3, "rounds": 3, "shown": 20, "blank": 2, "recall": 3}, "decay"
    ),
    "omniglot": Size(64, 1, 3e-5, 1000, {"side": 31, "layers": 4, "asked": 1}, "oja", half_life=1_710_000),
    "cue_reward": Size(200, 30, 1e-4, 100, {"cues": 4, "bits": 20, "length": 120, "pause": 0.2}, gradient_norm=2.0),
    "maze": Size(100, 30, 1e-4, 100, {"side": 9, "length": 200}, gradient_norm=4.0),
    "text": Size(200, 20, 1e-3, 100, {"time": 20}, gradient_norm=5.0),
}
CERTAINTY = {"cue_reward": 0.1, "maze": 0.03}


def make(
    task: Name = "patterns",
    plasticity: Literal["none", "shared", "per_weight"] = "per_weight",
    rule: Literal["auto", "hebb", "oja", "clip"] = "auto",
    modulation: Literal["none", "simple", "retroactive"] = "none",
    scale: Literal["laptop", "paper"] = "laptop",
    data: Literal["auto", "ours"] = "auto",
    units: int = 0,
    batch: int = 0,
    learning_rate: float = 0.0,
    fuse: int = 0,
    memory: Memory = "scan",
) -> PlasticNetworks:
    """Teach a network with plastic connections to learn within an episode.

    Args:
        task: Complete patterns of bits, or halves of pictures; recognise characters after one look; find out which cue
            reward belongs to; find a hidden goal again and again; predict a text.
        plasticity: `none` has fixed connections and more units instead; `shared` weighs all traces alike, `per_weight`
            each by a number of its own.
        rule: How traces change without neuromodulation: `hebb` forgets, `oja` and `clip` bound them; `auto` is the
            task's own.
        modulation: What the network says is the rate, or says what is written of that which was eligible.
        scale: Of the task and of its training: a laptop's, or the papers'.
        data: Characters, pictures and texts: those that are found, else ours; or ours.
        units: Units, or channels of a convolution, of the plastic network; 0: the task's own.
        batch: Episodes of an update, or rows of the text; 0: the task's own.
        learning_rate: Of Adam; 0: the task's own.
        fuse: Updates in a step of the run; 0: the task's own.
        memory: What the gradient keeps of an episode.
    """
    if min(units, batch, learning_rate, fuse) < 0:
        raise UsageError("--units, --batch, --learning-rate and --fuse must be 0, for the task's own, or above it.")
    own = (LAPTOP if scale == "laptop" else PAPERS)[task]
    chosen = _rule(task, plasticity, rule, modulation, own.rule)
    place = _task(task, own, batch or own.batch, data == "auto", Unroll(memory=memory))
    least = place.bits + 1 if isinstance(place, Completion) else 1
    units = units or own.units or least
    if units < least:
        raise UsageError(f"--units is {units}, but every bit and a constant need one: give {least} or more.")
    alpha: Per = "layer" if plasticity == "shared" else "connection"
    return PlasticNetworks(
        place, equalled(place, units) if chosen == "none" else units, chosen, alpha, learning_rate or own.learning_rate,
        own.half_life, own.gradient_norm, fuse or own.fuse,
    )  # fmt: skip


def _rule(task: Name, plasticity: str, rule: str, modulation: str, own: Rule) -> Rule:
    """The rule that the options name."""
    if modulation != "none" and (plasticity == "none" or rule != "auto" or task == "omniglot"):
        raise UsageError(
            f"--modulation is {modulation}: it is a rule itself, of plastic connections, and not for omniglot; leave "
            "--rule at auto and give --plasticity shared or per_weight."
        )
    if plasticity == "none":
        return "none"
    named: dict[str, Rule] = {"hebb": "decay", "oja": "oja", "clip": "clip"}
    modulated: dict[str, Rule] = {"simple": "simple", "retroactive": "retroactive"}
    return modulated.get(modulation) or named.get(rule) or own


def equalled(task: Task, units: int) -> int:
    """The fewest units with which fixed connections have no fewer parameters than any plastic network of `units`."""
    rules = ("oja",) if isinstance(task, Recognition) else ("oja", *MODULATED)

    def count(units: int, rule: Rule) -> int:
        return size(eqx.filter_eval_shape(task.build, jax.random.key(0), units, rule, "connection"))

    least = max(count(units, rule) for rule in rules)
    return units + bisect_left(range(units, 4 * units), least, key=lambda units: count(units, "none"))


def _task(name: Name, own: Size, batch: int, found: bool, unroll: Unroll) -> Task:
    """The task of this name and size."""
    about = dict(own.about)
    if name in CERTAINTY:
        how = {part: about.pop(part) for part in ("scale", "rate") if part in about}
        world = CueReward(**about) if name == "cue_reward" else HiddenGoal(**about)
        return Lifetime(world, batch, certainty_weight=CERTAINTY[name], unroll=unroll, **how)
    if name == "patterns":
        return Completion(pictures=None, tests=None, batch=batch, unroll=unroll, **about)
    if name == "images":
        side = about.pop("side")
        images = objects("auto" if found else "textures")
        train, test = (jnp.asarray(greys(x, side)) for x in (images.train_x, images.test_x))
        return Completion(side**2, train, test, images.source, batch=batch, unroll=unroll, **about)
    if name == "omniglot":
        classes = characters("auto" if found else "drawn", about.pop("side"))
        counts = len(classes.train), len(classes.test)
        train, test = flat(classes.train), flat(classes.test)
        return Recognition(train, test, classes.source, counts, batch=batch, unroll=unroll, **about)
    text = corpus("auto" if found else "generated", "characters")
    train, test = (windows(part, batch, about["time"]) for part in (text.train, text.valid))
    inputs, targets, test_inputs, test_targets = (jnp.asarray(part) for part in (*train, *test))
    return Reading(inputs, targets, test_inputs, test_targets, len(text.vocabulary), text.source, unroll)


PAPER = {"scale": "paper"}
"""The first paper's display of pattern completion; with `--task`, the papers' sizes of the others."""

_CUES = {"task": "cue_reward"}
_MAZE = {"task": "maze"}

CLAIM = (
    Claim(
        statement="A plastic network completes patterns of 1,000 bits that it has seen once; one with fixed connections"
        " and as many parameters does not.",
        source="Miconi, Stanley & Clune 2018, section 4.1",
        metric="completion/error",
        better="lower",
        treatment={},
        control={"plasticity": "none"},
        steps=10,
        margin=0.3,
        others={"shared": {"plasticity": "shared"}},
        also=("train/loss", "network/parameters"),
    ),
    Claim(
        statement="A network whose last layer is plastic recognises one of five characters that it has never seen"
        " before, after one look at each.",
        source="Miconi, Stanley & Clune 2018, section 4.3",
        metric="recognition/accuracy",
        treatment={"task": "omniglot"},
        control={"task": "omniglot", "plasticity": "none"},
        steps=20,
        margin=0.5,
        also=("train/loss", "network/parameters"),
    ),
    Claim(
        statement="Where only reward tells which cue is worth remembering, a network that says itself when to change"
        " does better than one whose connections always change.",
        source="Miconi et al. 2019, task 1",
        metric="life/reward",
        treatment={**_CUES, "modulation": "simple"},
        control=_CUES,
        steps=30,
        others={"retroactive": {**_CUES, "modulation": "retroactive"}, "fixed": {**_CUES, "plasticity": "none"}},
        also=("life/late", "network/parameters"),
    ),
    Claim(
        statement="A plastic network finds a hidden goal again more often than one with fixed connections.",
        source="Miconi, Stanley & Clune 2018, section 4.4",
        metric="life/reward",
        treatment=_MAZE,
        control={**_MAZE, "plasticity": "none"},
        steps=30,
        others={"simple": {**_MAZE, "modulation": "simple"}},
        also=("life/late", "network/parameters"),
    ),
)


def figures(run: Run) -> list[Figure]:
    """Where patterns are completed: what was stored, what was given, and what came back."""
    system = make(**run.options)
    if not isinstance(system.task, Completion):
        return []
    subplots = require("plotly.subplots", "report")
    titles = ("stored", "given", "retrieved")
    target, given, answer = retrieved(system.task, jax.random.key(0), run.state.network, 3)
    content = subplots.make_subplots(3, 3, subplot_titles=titles, vertical_spacing=0.04)
    for row in range(3):
        for column, picture in enumerate((target, target * given, answer)):
            shown = {"z": picture[row], "zmin": -1, "zmax": 1, "showscale": False, "colorscale": "gray"}
            content.add_heatmap(**shown, row=row + 1, col=column + 1)
    style(content, height=620)
    content.update_xaxes(visible=False).update_yaxes(visible=False, autorange="reversed")
    return [Figure("Retrieved patterns", "Three episodes of the last network; grey: nothing given.", content)]


def retrieved(task: Completion, key: Key, network: Any, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some episodes with unseen patterns, as pictures: the pattern, what was given of it, and the answer."""
    rows = next(rows for rows in range(int(task.bits**0.5), 0, -1) if task.bits % rows == 0)
    parts = eqx.filter_jit(task.answers)(key, network, n, task.tests)
    target, given, answer = (np.asarray(part, float).reshape(n, rows, -1) for part in parts)
    return target, given, answer


if __name__ == "__main__":
    import aiga

    aiga.run("plastic_networks", steps=10)
