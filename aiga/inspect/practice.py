"""What a learner of many tasks practised, and what came of it."""

from collections.abc import Mapping, Sequence

from aiga.core.errors import require
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, Figure, style, thinned


def learned(run: Run, metric: str, what: str = "tasks") -> Figure:
    """How many tasks were learned when."""
    graph = require("plotly.graph_objects", "report")
    steps, values = thinned(*run.metric(metric))
    figure = graph.Figure(graph.Scatter(x=steps, y=values, mode="lines", line={"color": ACCENT}))
    style(figure, height=320, xaxis_title="step", yaxis_title=f"{what} learned")
    figure.update_yaxes(rangemode="tozero")
    caption = (
        f"{values[-1]:.0f} {what} are learned: they succeed more often than half way from a random policy to always."
    )
    return Figure(f"{what.capitalize()} learned", caption, figure)


def practised(run: Run, colours: Mapping[str, str], caption: str) -> Figure:
    """The share of each kind of task over time, the kinds above each other in the order and the colours given."""
    graph = require("plotly.graph_objects", "report")
    figure = graph.Figure()
    for name, colour in colours.items():
        steps, values = thinned(*run.metric(f"probability/{name}"), most=400)
        line = {"width": 0.5, "color": "white"}
        figure.add_scatter(x=steps, y=values, mode="lines", line=line, stackgroup="one", fillcolor=colour, name=name)
    style(figure, height=460, xaxis_title="step", yaxis_title="share of commands", legend_traceorder="normal")
    figure.update_yaxes(range=[0, 1])
    return Figure("What was practised", caption, figure)


def succeeded(run: Run, names: Sequence[str]) -> Figure:
    """The success at each kind of task over time."""
    graph = require("plotly.graph_objects", "report")
    steps, _ = thinned(*run.metric(f"success/{names[0]}"), most=400)
    values = [thinned(*run.metric(f"success/{name}"), most=400)[1] for name in names]
    scale = {"colorscale": "Viridis", "zmin": 0, "zmax": 1, "colorbar": {"title": "success"}}
    figure = graph.Figure(graph.Heatmap(x=steps, y=list(names), z=values, **scale))
    style(figure, height=140 + 18 * len(names), xaxis_title="step")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return Figure("Success", "At each kind of task; 0: no better than a random policy, 1: always.", figure)


def spectrum(n: int) -> list[str]:
    """As many colours, from dark to bright."""
    return require("plotly.colors", "report").sample_colorscale("Viridis", max(n, 2), colortype="rgb")[:n]
