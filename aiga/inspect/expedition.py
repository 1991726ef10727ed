"""Pictures of an exploration: the rooms and how they were reached, a film of the best trajectory, the course of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from aiga.archives.cells import Cells
from aiga.core.errors import require
from aiga.envs.atari import Atari, montezuma_place
from aiga.envs.restorable import World, opened, replay
from aiga.inspect.vine import Individual, compared, words
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, Figure, style

TILE = (200, 112)
"""Size of a room on the map, in the proportions of a television."""
PLAYFIELD = slice(47, 198)
"""The rows of the screen below score and lives."""
PYRAMID = ((3, 3), (2, 5), (1, 7), (0, 9))
"""Montezuma's rooms by floor: the column of the first, and how many."""

PUBLIC_CURVE = np.array(
    [
        (0.0, 0, 0, 0),
        (0.4, 0, 0, 400),
        (0.8, 450, 0, 1_000),
        (1.47, 900, 500, 2_600),
        (2.2, 2_500, 500, 2_800),
        (4.0, 2_600, 2_500, 4_800),
        (6.0, 4_500, 2_500, 6_500),
        (12.0, 4_600, 2_600, 6_700),
    ]
)
"""Millions of frames; median, 10 % and 90 % quantile of the score of 48 runs with pixel cells.

From the logs published with Hauf3n/GoExplore-Atari-PyTorch on GitHub.
"""


class Spot(NamedTuple):
    """Where an elite stands."""

    place: int
    x: float
    """Pixels on the screen."""
    y: float


def figures(run: Run, world: World, archive: Cells, entered: Int[np.ndarray, " places"]) -> list[Figure]:
    """What a report of an exploration of an Atari game shows."""
    montezuma = world.arguments[0] == "montezuma_revenge"
    shown = []
    if montezuma:
        caption = (
            "Real frames of every room that was reached, numbered in the order of the first visit. Every dot is an "
            "elite of the archive where it stands; every line leads to an elite from the one it was reached from."
        )
        shown.append(Figure("Map", caption, room_map(run.media / "map.png", archive, entered, world)))
    best = archive.foremost
    path = film(run.media / "best.gif", world, archive.actions(best))
    caption = f"{archive.score[best]:,.0f} points after {archive.length[best]:,} actions of four frames, replayed from"
    caption += " the reset."
    shown += [course(run, public=montezuma), Figure("The best trajectory", caption, path)]
    return [*shown, practice(run)] if "backward/start" in run.latest() else shown


def again(run: Run, world: World, archive: Cells, individual: Individual) -> Figure:
    """The way to an elite, from the reset on; its score again."""
    row = individual.row(archive.id[: archive.size])
    actions, score = archive.actions(row), float(archive.score[row])
    gained = replay(world, lambda env: b"", actions).score
    caption = (
        f"Individual {individual.name}: {len(actions):,} actions from the reset. Recorded: {words(score)} points. "
        f"Again, the score is {compared(score, gained)}."
    )
    if not isinstance(world.fresh(), Atari):
        rows = [{"individual": individual.name, "actions": len(actions), "recorded": score, "again": gained}]
        return Figure("The way again", caption, rows)
    folder = run.media / "replays"
    folder.mkdir(parents=True, exist_ok=True)
    return Figure("The way again", caption, film(folder / f"{individual.name}.gif", world, actions))


def course(run: Run, public: bool) -> Figure:
    """Score, rooms and cells against frames; `public`: beside 48 public runs."""
    subplots = require("plotly.subplots", "report")
    names = [name for name in ("score/best", "go_explore/rooms", "archive/cells") if name in run.latest()]
    figure = subplots.make_subplots(1, len(names), subplot_titles=[name.partition("/")[2] for name in names])
    frames = run.metric("go_explore/frames").values / 1e6
    if public:
        _public_runs(figure, frames[-1])
    for column, name in enumerate(names, 1):
        line = {"color": ACCENT, "width": 2}
        values = run.metric(name).values
        figure.add_scatter(x=frames, y=values, line=line, name="this run", showlegend=column == 1, row=1, col=column)
        figure.update_xaxes(title="million frames", row=1, col=column)
    style(figure, height=380, legend={"orientation": "h", "y": -0.25})
    beside = " Grey: median and 10 to 90 % of 48 public runs with pixel cells (Hauf3n, GoExplore-Atari-PyTorch)."
    return Figure("The course of the exploration", "What was found by then." + beside * public, figure)


def practice(run: Run) -> Figure:
    """The start point of the backward algorithm, and the share of episodes that matched, against actions."""
    subplots = require("plotly.subplots", "report")
    figure = subplots.make_subplots(1, 2, subplot_titles=["start point", "share that matched"])
    steps = run.metric("backward/steps").values / 1e6
    for column, name in enumerate(("backward/start", "backward/success"), 1):
        line = {"color": ACCENT, "width": 2}
        figure.add_scatter(x=steps, y=run.metric(name).values, line=line, showlegend=False, row=1, col=column)
        figure.update_xaxes(title="million actions", row=1, col=column)
    style(figure, height=380)
    caption = (
        "How many actions of the demonstration come before the episodes, and how many of these reached its score with "
        "sticky actions."
    )
    return Figure("Robustification", caption, figure)


def _public_runs(figure: Any, last: float) -> None:
    shown = PUBLIC_CURVE[: np.searchsorted(PUBLIC_CURVE[:, 0], last) + 1]
    millions, median, low, high = shown.T
    dotted = {"color": FAINT, "dash": "dot"}
    band = {
        "x": [*millions, *millions[::-1]],
        "y": [*high, *low[::-1]],
        "fill": "toself",
        "hoverinfo": "skip",
        "mode": "lines",
    }
    figure.add_scatter(**band, line={"width": 0}, fillcolor="rgba(154,165,177,.25)", showlegend=False, row=1, col=1)
    figure.add_scatter(x=millions, y=median, line=dotted, name="48 public runs", mode="lines", row=1, col=1)


def film(path: Path, world: World, actions: UInt8[np.ndarray, " t"], most: int = 500) -> Path:
    """Write the trajectory as a GIF of at most about `most` pictures."""
    image = require("PIL.Image", "report")
    env = world.fresh()
    assert isinstance(env, Atari)
    every = max(2, -(-len(actions) // most))
    pictures = []
    for step, action in enumerate(actions.tolist()):
        env.act(action)
        if step % every == 0 or step == len(actions) - 1:
            picture = image.fromarray(env.picture()).resize((280, 210), image.Resampling.NEAREST)
            pictures.append(picture.quantize(32, dither=image.Dither.NONE))
    durations = [50] * (len(pictures) - 1) + [2_000]
    pictures = pictures or [image.fromarray(env.picture())]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True)
    return path


def room_map(path: Path, archive: Cells, entered: Int[np.ndarray, " places"], world: World) -> Path:
    """Draw Montezuma's pyramid from real frames: every room reached, and the tree of stepping stones over them."""
    image, draw = require("PIL.Image", "report"), require("PIL.ImageDraw", "report")
    reached = np.flatnonzero(entered >= 0)
    levels = range(int(reached.max()) // 24 + 1)
    width, height = 9 * TILE[0], 4 * TILE[1]
    canvas = image.new("RGB", (width, height * len(levels) + 36), "#0b0e14")
    pen = draw.Draw(canvas, "RGBA")
    spots = stand(archive, world)
    ranks = {place: rank for rank, place in enumerate(reached[np.argsort(entered[reached], kind="stable")].tolist())}
    for place in range(24 * len(levels)):
        corner = _corner(place)
        if place in ranks:
            _paste_room(canvas, corner, picture_of(place, archive, spots, world))
        else:
            pen.rectangle(_box(corner), outline="#232936")
    _draw_stones(pen, archive, spots)
    for place, rank in ranks.items():
        colour = shade(rank / max(len(ranks) - 1, 1))
        pen.rectangle(_box(_corner(place)), outline=colour, width=4)
        _label(pen, _corner(place), f"{rank + 1}")
    _legend(pen, canvas.size, f"{len(ranks)} of {24 * len(levels)} rooms", int(archive.size))
    canvas.save(path, optimize=True)
    return path


def stand(archive: Cells, world: World) -> list[Spot]:
    """Where every elite stands, from the memory of its emulator."""
    env, spots = opened(world), []
    assert isinstance(env, Atari)
    for row in range(int(archive.size)):
        env.restore(archive.snapshot(row))
        ram = env.ram()
        spots.append(Spot(montezuma_place(env), float(ram[42]) + 3, 318.0 - float(ram[43])))
    return spots


def picture_of(place: int, archive: Cells, spots: Sequence[Spot], world: World) -> UInt8[np.ndarray, "h w 3"] | None:
    """A real frame of a room, from the elite that got there in the fewest actions."""
    env = opened(world)
    assert isinstance(env, Atari)
    rows = [row for row, spot in enumerate(spots) if spot.place == place]
    for row in sorted(rows, key=lambda row: archive.length[row]):
        env.restore(archive.snapshot(row))
        env.act(0)  # a restored screen is drawn by the next frame
        if montezuma_place(env) == place and env.picture()[PLAYFIELD].any():
            return env.picture()[PLAYFIELD]
    return None


def parents_alive(archive: Cells) -> Int[np.ndarray, " n"]:
    """For every elite the row of its parent, or -1 if that has been replaced since."""
    size = int(archive.size)
    rows = {tuple(identity): row for row, identity in enumerate(archive.id[:size].tolist())}
    return np.array([rows.get(tuple(parent), -1) for parent in archive.parent[:size].tolist()])


def shade(fraction: float) -> str:
    """From early (violet) to late (yellow)."""
    colors = require("plotly.colors", "report")
    return colors.sample_colorscale("Plasma", [0.15 + 0.8 * fraction], colortype="rgb")[0]


def _draw_stones(pen: Any, archive: Cells, spots: Sequence[Spot]) -> None:
    """A line from every elite's parent to it, and a dot, coloured by birth."""
    births = archive.id[: len(spots), 0]
    last = max(int(births.max()), 1)
    points = [_on_map(spot) for spot in spots]
    for row, parent in enumerate(parents_alive(archive).tolist()):
        colour = shade(births[row] / last)
        tint = colour.replace("rgb(", "").replace(")", "")
        red, green, blue = (int(float(part)) for part in tint.split(","))
        if parent >= 0:
            pen.line([points[parent], points[row]], fill=(red, green, blue, 60), width=1)
        x, y = points[row]
        pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=(red, green, blue, 200))


def _corner(place: int) -> tuple[int, int]:
    level, room = divmod(place, 24)
    floor = 0
    while room >= PYRAMID[floor][1]:
        room -= PYRAMID[floor][1]
        floor += 1
    return (PYRAMID[floor][0] + room) * TILE[0], (4 * level + floor) * TILE[1]


def _box(corner: tuple[int, int]) -> tuple[int, int, int, int]:
    return corner[0] + 1, corner[1] + 1, corner[0] + TILE[0] - 2, corner[1] + TILE[1] - 2


def _on_map(spot: Spot) -> tuple[float, float]:
    x, y = _corner(spot.place)
    inside = np.clip((spot.y - PLAYFIELD.start) / (PLAYFIELD.stop - PLAYFIELD.start), 0.02, 0.98)
    return x + TILE[0] * float(np.clip(spot.x / 160, 0.02, 0.98)), y + TILE[1] * float(inside)


def _paste_room(canvas: Any, corner: tuple[int, int], picture: UInt8[np.ndarray, "h w 3"] | None) -> None:
    if picture is None:
        return
    image = require("PIL.Image", "report")
    dimmed = (picture * 0.62).astype(np.uint8)
    canvas.paste(image.fromarray(dimmed).resize(TILE, image.Resampling.LANCZOS), corner)


def _label(pen: Any, corner: tuple[int, int], text: str) -> None:
    font = require("PIL.ImageFont", "report").load_default(16)
    x, y = corner[0] + 8, corner[1] + 6
    left, top, right, bottom = pen.textbbox((x, y), text, font=font)
    pen.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=(11, 14, 20, 200))
    pen.text((x, y), text, font=font, fill="#f5f7fa")


def _legend(pen: Any, size: tuple[int, int], rooms: str, cells: int) -> None:
    font = require("PIL.ImageFont", "report").load_default(17)
    y = size[1] - 27
    text = f"{rooms}, {cells:,} cells; first reached"
    pen.text((10, y), text, font=font, fill="#cbd2d9")
    start = 30 + int(pen.textlength(text, font=font))
    for i in range(160):
        pen.line([(start + i, y + 4), (start + i, y + 18)], fill=shade(i / 159))
    pen.text((start + 170, y), "last reached; lines lead from each elite's parent to it", font=font, fill="#cbd2d9")
