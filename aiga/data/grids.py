"""Small coloured grids in the manner of ARC, made anew for every seed: infer a transformation from three examples.

After Chollet (2019), https://arxiv.org/abs/1911.01547; the transformations are compositions of a few of our own, and
the difficulty is how many of them are composed.
"""

import json
import random
from collections.abc import Callable
from functools import reduce

from aiga.data.puzzles import Task

Grid = list[list[int]]
LEVELS = 3
COLOURS = 5


def puzzle(rng: random.Random, level: int) -> Task:
    """Three examples of a composition of `level` transformations, one input, and outputs of wrong compositions."""
    while True:
        names = rng.sample(sorted(TRANSFORMATIONS), level)
        inputs = [drawn(rng) for _ in range(4)]
        outputs = [composed(names, grid) for grid in inputs]
        if all(before != after for before, after in zip(inputs, outputs, strict=True)):
            break
    others = [rng.sample(sorted(TRANSFORMATIONS), level) for _ in range(8)]
    mistakes = [composed(names[:-1], inputs[-1]), *(composed(other, inputs[-1]) for other in others)]
    answer = json.dumps(outputs[-1])
    wrong = [text for text in dict.fromkeys(map(json.dumps, mistakes)) if text != answer]
    examples = [
        f"Input {i}: {a}\nOutput {i}: {b}" for i, (a, b) in enumerate(zip(inputs[:-1], outputs, strict=False), 1)
    ]
    question = "\n".join(
        [
            "One rule turns each input grid into its output grid. Numbers are colours.",
            *examples,
            f"Input: {inputs[-1]}",
            "Answer with the output grid as a list of rows.",
        ]
    )
    return Task("", question, (answer,), "grid", level, tuple(wrong[:5]))


def drawn(rng: random.Random) -> Grid:
    """A grid of three to five rows and columns, mostly background."""
    height, width = rng.randint(3, 5), rng.randint(3, 5)
    return [[rng.choice([0, 0, *range(1, COLOURS)]) for _ in range(width)] for _ in range(height)]


def composed(names: list[str], grid: Grid) -> Grid:
    """A grid after some transformations, in order."""
    return reduce(lambda current, name: TRANSFORMATIONS[name](current), names, grid)


def fall(grid: Grid) -> Grid:
    """Coloured cells fall to the bottom of their columns."""
    columns = [sorted(column, key=bool) for column in zip(*grid, strict=True)]
    return transpose(columns)


def transpose(grid: Grid) -> Grid:
    """Rows become columns."""
    return [list(row) for row in zip(*grid, strict=True)]


def recoloured(grid: Grid) -> Grid:
    """Every colour becomes the next; the background stays."""
    return [[cell and cell % (COLOURS - 1) + 1 for cell in row] for row in grid]


TRANSFORMATIONS: dict[str, Callable[[Grid], Grid]] = {
    "border": lambda grid: [
        [cell if 0 < x < len(row) - 1 and 0 < y < len(grid) - 1 else 1 for x, cell in enumerate(row)]
        for y, row in enumerate(grid)
    ],
    "fall": fall,
    "flip": lambda grid: grid[::-1],
    "mirror": lambda grid: [row[::-1] for row in grid],
    "recolour": recoloured,
    "double": lambda grid: [row + row for row in grid],
    "transpose": transpose,
}
