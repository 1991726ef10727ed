"""Terrains of Enhanced POET without POET: what mutation alone makes of a slope in a hundred generations.

    pip install aiga matplotlib
    python terrains.py terrains.png

Each column is a line of descent: every generation has one child, and nothing is selected.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from aiga.variation import cppn

GENERATIONS = (0, 10, 20, 40, 70, 100)
LINES = 6
METRES = 14 / 30 * np.arange(cppn.CELLS)


def descend(seed: int) -> list[cppn.CPPN]:
    """The genomes of all lines in each generation."""
    start, key = jax.random.split(jax.random.key(seed))
    genomes = [jax.vmap(cppn.first)(jax.random.split(start, LINES))]
    mutate = jax.jit(jax.vmap(cppn.mutate))
    for generation in jax.random.split(key, GENERATIONS[-1]):
        genomes.append(mutate(jax.random.split(generation, LINES), genomes[-1]))
    return genomes


def draw(ax: Axes, heights: np.ndarray, hidden: int, colour: tuple[float, ...]) -> None:
    """One terrain, at least 2 m of it from bottom to top."""
    middle, half = (heights.max() + heights.min()) / 2, max(1.0, 0.6 * np.ptp(heights))
    ax.fill_between(METRES, heights, middle - half, color=colour, alpha=0.28, lw=0)
    ax.plot(METRES, heights, color=colour, lw=1.5)
    ax.set(xlim=(0, METRES[-1]), ylim=(middle - half, middle + 1.4 * half), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.text(0.98, 1.0, f"{np.ptp(heights):.1f} m, {hidden}", transform=ax.transAxes, ha="right", va="top", color="0.35")


def main(path: str, seed: int = 100) -> None:
    """Rows are generations, columns are lines."""
    plt.rcParams["font.size"] = 8
    figure, axes = plt.subplots(len(GENERATIONS), LINES, figsize=(10.5, 7))
    genomes = descend(seed)
    for row, generation, shade in zip(axes, GENERATIONS, np.linspace(0.12, 0.78, len(GENERATIONS)), strict=True):
        heights = np.asarray(cppn.profile(genomes[generation]))
        hidden = np.asarray(genomes[generation].nodes.alive.sum(axis=1)) - 1
        for line, ax in enumerate(row):
            draw(ax, heights[line], hidden[line], plt.get_cmap("viridis")(shade))
        row[0].set_ylabel(f"generation\n{generation}", rotation=0, ha="right", va="center", fontsize=9, labelpad=6)
    figure.text(
        0.995, 0.985, "metres from the lowest to the highest point, hidden nodes", ha="right", va="top", color="0.35"
    )
    figure.subplots_adjust(left=0.08, right=0.995, top=0.955, bottom=0.01, hspace=0.1, wspace=0.06)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main(sys.argv[1])
