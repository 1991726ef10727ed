"""Variation by a language model: it continues a list of examples, or rewrites one.

Meyerson et al. (2023), "Language model crossover: variation through few-shot prompting",
https://arxiv.org/abs/2302.12170, as used by Bradley et al. (2023), https://arxiv.org/abs/2310.13032.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, UInt8

from aiga.archives.bins import bins_of
from aiga.archives.grid import Grid
from aiga.archives.pool import Pool
from aiga.core.texts import Name
from aiga.data.writing import Writing
from aiga.fm.messages import FM, Message, ModelFailed

SEPARATOR = "###"
Example = tuple[Name, tuple[int, ...]]
"""Its name, and its identity."""


class Text(NamedTuple):
    """What a cell keeps: names of texts."""

    text: UInt8[Array | np.ndarray, "*n 16"]
    examples: UInt8[Array | np.ndarray, "*n e 16"]
    """What it was made from; zeros: fewer."""


async def write(
    fm: FM,
    writing: Writing,
    examples: Sequence[str],
    target: Sequence[str] = (),
    *,
    seed: int,
    task: str,
    temperature: float,
    tokens: int,
) -> str:
    """Another text like the examples; or the first, rewritten towards the answers of `target`."""
    reply = await fm.generate(
        messages(writing, examples, target),
        seed=seed,
        task=task,
        facts=(writing, list(examples), tuple(target)),
        temperature=temperature,
        max_tokens=tokens,
    )
    text = tidied(reply.text, writing.opening)
    if not text:
        raise ModelFailed("empty", "the model wrote nothing")
    return text


def messages(writing: Writing, examples: Sequence[str], target: Sequence[str]) -> list[Message]:
    """What the model is told."""
    if target:
        wish = " and ".join(f"{axis.name} {answer}" for axis, answer in zip(writing.axes, target, strict=True))
        told = f"Rewrite this poem, with the {wish}." if examples else f"Write a poem, with the {wish}."
        return [Message("system", "Reply with the poem alone."), Message("user", "\n\n".join([*examples, told]))]
    rule = f"Continue the list with one more text, unlike the others, and end there. Texts are divided by {SEPARATOR}."
    items = [f"{writing.opening} {example}" for example in examples] + [writing.opening]
    return [Message("system", rule), Message("user", f"\n{SEPARATOR}\n".join(items))]


def tidied(reply: str, opening: str) -> str:
    """The text of a reply: up to the first separator, without the opening."""
    text = next((part.strip() for part in reply.split(SEPARATOR) if part.strip()), "")
    return text.removeprefix(opening).strip()


def near(random: Random, archive: Grid, shots: int) -> list[Example]:
    """LMX-Near: a random elite and those in the cells nearest to its own, in random order."""
    rows = _filled(archive)
    where = np.stack(np.unravel_index(rows, bins_of(archive.cells).shape), axis=1)
    distance = np.abs(where - where[random.randrange(len(rows))]).sum(axis=1)
    nearest = sorted(range(len(rows)), key=lambda i: (distance[i], random.random()))[:shots]
    return [of_archive(archive, int(rows[i])) for i in random.sample(nearest, len(nearest))]


def replaced(random: Random, archive: Grid, pool: Pool, shots: int) -> list[Example]:
    """LMX-Replace: what a random elite was made from, with one example replaced by one of the pool."""
    row = random.choice(_filled(archive).tolist())
    names, parents = np.asarray(archive.genomes.examples)[row], np.asarray(archive.parents)[row].tolist()
    examples = [(name, tuple(parent)) for name, parent in zip(names, parents, strict=True) if name.any()]
    new = of_pool(pool, random.randrange(pool.size)) if pool.size else of_archive(archive, row)
    if len(examples) == shots:
        examples.pop(random.randrange(shots))
    return [*examples, new]


def of_archive(archive: Grid, row: int) -> Example:
    """The elite of a cell."""
    return np.asarray(archive.genomes.text)[row], tuple(np.asarray(archive.identity)[row].tolist())


def of_pool(pool: Pool, row: int) -> Example:
    """A text of the pool."""
    return pool.text[row], tuple(pool.identity[row].tolist())


def _filled(archive: Grid) -> np.ndarray:
    return np.flatnonzero(np.asarray(archive.fitness) > -np.inf)  # on the host: nothing to compile
