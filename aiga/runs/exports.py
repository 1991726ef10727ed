"""A run as TensorBoard and Weights & Biases know it, through their own libraries.

Every number over its step, words where they change, pictures and films of `media/`, and the options as
hyperparameters.  The time of a step is when the run was created and the seconds that it had worked by then.  To export
again is to replace what was exported before: a run that goes on may be rewound to its checkpoint.
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from aiga.core.errors import UsageError, require
from aiga.runs.record import Run

SUFFIX = ".aiga"
"""Of the names of our event files, behind the name of their run: those that a further export replaces."""
MODES = ("offline", "online")
"""What `WANDB_MODE` may be."""
PICTURES = (".gif", ".jpeg", ".jpg", ".png")


class Step(NamedTuple):
    """What was recorded at a step."""

    step: int
    time: float
    """Seconds since 1970."""
    values: Mapping[str, float | str]


def export(run: Run, to: str, out: str | Path | None = None) -> Path:
    """Write a run for `tensorboard` or `wandb`, by default below its own directory; the folder where it is."""
    writers = {"tensorboard": _tensorboard, "wandb": _wandb}
    if to not in writers:
        raise UsageError(f"there is no export to `{to}`: give one of {', '.join(writers)}.")
    folder = Path(out) if out is not None else run.directory / "tensorboard" if to == "tensorboard" else run.directory
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return writers[to](run, folder)
    except OSError as error:
        raise UsageError(
            f"{run.directory} cannot be exported to {folder} ({error}): mend that, or give another --out."
        ) from error


def steps(run: Run) -> Iterator[Step]:
    """All metrics, step by step."""
    columns = {name: run.metric(name) for name in run.latest()}
    rows: dict[int, dict[str, float | str]] = {}
    for name, (numbers, values) in columns.items():
        for number, value in zip(numbers.tolist(), values.tolist(), strict=True):
            rows.setdefault(number, {})[name] = value
    began = _created(run)
    for number in sorted(rows):
        yield Step(number, began + float(rows[number].get("run/seconds", 0.0)), rows[number])


def options(run: Run) -> dict[str, str | int | float | bool]:
    """What was asked of a run, as flat hyperparameters."""
    asked = {"system": run.system, "seed": run.manifest["seed"], **run.options}
    return {name: v if isinstance(v, str | int | float | bool) else str(v) for name, v in asked.items()}


def _tensorboard(run: Run, folder: Path) -> Path:
    writer_of = _imported("tensorboardX", "tensorboard")
    suffix = f".{_named(run)}{SUFFIX}"
    before = [*folder.glob(f"events.out.tfevents.*{SUFFIX}")]
    if not all(old.name.endswith(suffix) for old in before):
        raise UsageError(f"{folder} holds the export of another run: give --out a folder of its own, below that one.")
    for old in before:
        old.unlink()
    summary = _imported("tensorboardX.summary", "tensorboard")
    with writer_of.SummaryWriter(str(folder), filename_suffix=suffix) as writer:
        ends = {name: value for name, value in run.latest().items() if not isinstance(value, str)}
        for part in summary.hparams(options(run), ends):
            writer.file_writer.add_summary(part)
        said: dict[str, str] = {}
        for step in steps(run):
            for name, value in step.values.items():
                if not isinstance(value, str):
                    writer.add_scalar(name, value, step.step, step.time)
                elif said.get(name) != value:
                    said[name] = value
                    writer.add_text(name, value, step.step, step.time)
        for path in _pictures(run):
            picture = _encoded(path)
            writer.file_writer.add_summary(picture, _last(run), path.stat().st_mtime)
    return folder


def _encoded(path: Path) -> Any:
    """A picture as TensorBoard keeps it: the file's own bytes, so that what moves goes on moving."""
    proto = _imported("tensorboardX.proto.summary_pb2", "tensorboard")
    with require("PIL.Image", "report").open(path) as opened:
        width, height = opened.size
    image = proto.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
    return proto.Summary(value=[proto.Summary.Value(tag=f"media/{path.stem}", image=image)])


def _wandb(run: Run, folder: Path) -> Path:
    mode: Any = os.environ.get("WANDB_MODE") or "offline"
    if mode not in MODES:
        raise UsageError(f"WANDB_MODE is {mode!r}: set it to {' or '.join(MODES)}, or unset it.")
    if mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its makers; read when it is imported
    wandb = _imported("wandb", "wandb")
    name = _named(run)
    for old in (folder / "wandb").glob(f"offline-run-*-{name}"):
        shutil.rmtree(old)
    quiet = {"silent": True, "console": "off", "disable_git": True, "save_code": False, "x_disable_stats": True}
    quiet |= {"x_disable_meta": True, "x_disable_machine_info": True}
    about = {"project": "aiga", "id": name, "name": run.directory.resolve().name, "group": run.system}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = wandb.Settings(**quiet)
        try:
            with wandb.init(dir=str(folder), mode=mode, config=options(run), settings=settings, **about) as log:
                _logged(run, log, wandb.Image)
        except wandb.Error as error:
            raise UsageError(f"Weights & Biases refuses ({error}): mend that, or unset WANDB_MODE.") from error
    return folder / "wandb"


def _logged(run: Run, log: Any, image: Callable[[str], Any]) -> None:
    for step in steps(run):
        log.log({**step.values, "_timestamp": step.time}, step=step.step)
    if pictures := {f"media/{path.stem}": image(str(path)) for path in _pictures(run)}:
        log.log(pictures, step=_last(run))


def _imported(module: str, extra: str) -> Any:
    """An exporter's library, whatever it warns of when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return require(module, extra)


def _pictures(run: Run) -> list[Path]:
    """Pictures of the run in its own folder of media; links are not followed."""
    found = sorted(run.media.iterdir()) if run.media.is_dir() else []
    return [path for path in found if path.suffix.lower() in PICTURES and path.is_file() and not path.is_symlink()]


def _named(run: Run) -> str:
    """A name that a run keeps as it goes on, and that no other has."""
    return hashlib.sha256(f"{run.system} {run.manifest['created']} {run.directory.name}".encode()).hexdigest()[:12]


def _last(run: Run) -> int:
    return max(int(run.latest().get("run/steps", 1)) - 1, 0)


def _created(run: Run) -> float:
    """When the run was created: seconds since 1970."""
    try:
        return datetime.strptime(run.manifest["created"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except (KeyError, TypeError, ValueError):
        return os.path.getmtime(run.directory / "run.json")
