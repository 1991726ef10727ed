"""Sets of tasks in words: some worth learning, and many that are the same again.

Zhang et al. (2023), https://arxiv.org/abs/2306.01711: fifteen achievements of Crafter, their repetitions, their
synonyms, their pairs, and tasks that nothing fulfils.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from aiga.core.errors import UsageError
from aiga.envs import playroom

SYNONYMS = {
    "collect": ("gather", "fetch", "obtain", "get", "grab"),
    "make": ("craft", "build", "produce", "assemble", "fashion"),
    "place": ("put", "set", "lay", "position", "drop"),
}
"""Of verbs; ours."""
MEANS = {synonym: verb for verb, synonyms in SYNONYMS.items() for synonym in synonyms}
"""From a synonym to its verb."""
REPEATED = ("repeat", "synonym", "compound", "colour")
"""The kinds of tasks that are the same again."""
BITS = 10
"""Of the code of a task that nothing fulfils: there are at most 2 ** BITS - 1."""
ACHIEVEMENTS = {
    "collect": ("coal", "diamond", "drink", "iron", "stone", "wood"),
    "make": ("iron_pickaxe", "iron_sword", "stone_pickaxe", "stone_sword", "wood_pickaxe", "wood_sword"),
    "place": ("furnace", "stone", "table"),
}
"""The fifteen of Crafter that have to do with neither survival nor plants."""
COUNTS = {"collect": 10, "make": 5, "place": 5}
"""How often one may be asked to do each."""


class Errands(NamedTuple):
    """Tasks that can be done, `m` of them; the first of each item asks for it once, and comes before all others."""

    texts: tuple[str, ...]
    kinds: tuple[str, ...]
    """The name of the item; or `repeat`, `synonym`, `compound` or `colour`."""
    items: tuple[str, ...]
    """What the world calls that which is asked for; of a pair, the first one."""
    times: Int[np.ndarray, " m"]
    """How often."""
    parts: Int[np.ndarray, "m 2"]
    """The two tasks of which a pair is made, or twice the task itself."""

    @property
    def interesting(self) -> Bool[np.ndarray, " m"]:
        """Whether a task is the first of its item: what an oracle says."""
        return ~np.isin(self.kinds, REPEATED)

    def needs(self, items: Sequence[str]) -> Int[np.ndarray, "m k"]:
        """How often each item of the world has to be obtained for each task."""
        needs = np.zeros((len(self.texts), len(items)), np.int32)
        for task, both in enumerate(self.parts.tolist()):
            for part in set(both):
                needs[task, items.index(self.items[part])] = self.times[part]
        return needs

    def codes(self, impossible: int) -> Float[np.ndarray, "n w"]:
        """Which words each task has, those of a pair's parts beside each other; at last the bits of what cannot be."""
        if impossible >= 2**BITS:
            raise UsageError(f"--impossible is {impossible}: there are codes for at most {2**BITS - 1} such tasks.")
        words = sorted({word for text in self.texts for word in text.split()} - {"and"})
        bags = np.array([[word in self.texts[part].split() for word in words] for part in range(len(self.texts))])
        first, second = (bags[self.parts[:, i]] for i in range(2))
        pair = self.parts[:, 0] != self.parts[:, 1]
        bits = (np.arange(1, impossible + 1)[:, None] >> np.arange(BITS)) & 1
        possible = np.concatenate([first, second & pair[:, None]], axis=1)
        rows = [
            np.concatenate([possible, np.zeros((len(possible), BITS))], axis=1),
            np.concatenate([np.zeros((impossible, possible.shape[1])), bits], axis=1),
        ]
        return np.concatenate(rows).astype(np.float32)


def errands(
    firsts: Sequence[str], counts: Sequence[int], *, items: Sequence[str], synonyms: int = 0, pairs: bool = False
) -> Errands:
    """The tasks of some items.

    Args:
        firsts: What each first task says, a verb at the beginning.
        counts: Up to how often each may be asked for.
        items: What each is called.
        synonyms: Other words for each verb.
        pairs: Also any two items, in whatever order.
    """
    rows = [(text, item, item, 1) for text, item in zip(firsts, items, strict=True)]
    for text, item, most in zip(firsts, items, counts, strict=True):
        verb, _, what = text.partition(" ")
        for word in (verb, *SYNONYMS[verb][:synonyms]):
            said = [f"{word} {what}", *(f"{word} {what} {times} times" for times in range(2, most + 1))]
            kind = "repeat" if word == verb else "synonym"
            rows += [(said[i], kind, item, i + 1) for i in range(most) if said[i] != text]
    parts = [(i, i) for i in range(len(rows))]
    if pairs:
        both = list(combinations(range(len(firsts)), 2))
        rows += [(f"{firsts[one]} and {firsts[other]}", "compound", items[one], 1) for one, other in both]
        parts += both
    texts, named, which, times = zip(*rows, strict=True)
    return Errands(texts, named, which, np.array(times), np.array(parts))


def crafting(setting: str = "repeats") -> Errands:
    """The tasks of OMNI in Crafter: 105 with repetitions, 210 with pairs besides, 630 with synonyms besides."""
    names = [f"{verb}_{what}" for verb, things in ACHIEVEMENTS.items() for what in things]
    counts = [COUNTS[name.partition("_")[0]] for name in names]
    said = [name.replace("_", " ") for name in names]
    return errands(said, counts, items=names, synonyms=5 * (setting == "synonyms"), pairs=setting == "compound")


def playing() -> Errands:
    """The tasks of a playroom: nine for a thing of any colour, and 27 for one of a certain colour."""
    kinds = tuple(text.replace(" a ", "_").replace(" ", "_") if " a " in text else "colour" for text in playroom.TEXTS)
    own = np.arange(len(kinds))
    return Errands(tuple(playroom.TEXTS), kinds, tuple(playroom.TEXTS), np.ones_like(own), np.stack([own, own], axis=1))


SMALL = frozenset({"times", "a", "the", *playroom.COLOURS})
"""Words that make a task no other for one who can do it: numbers are of the same kind."""
MATERIALS = ("clay", "copper", "flax", "glass", "oak", "wool")
THINGS = ("lump", "thread", "ring", "hook", "chain", "box", "wheel", "loom", "clock", "engine")


def workshop(chains: int, length: int) -> Errands:
    """The tasks of a toy: things of a material, each made of the one before; seven other ways to ask for each."""
    said = [f"make {material} {thing}" for material in MATERIALS[:chains] for thing in THINGS[:length]]
    items = [f"item_{i + 1}" for _ in range(chains) for i in range(length)]
    return errands(said, [4] * len(said), items=items, synonyms=1)
