"""Commands that write what was found: reports, comparisons, exports."""

import sys
import traceback
from pathlib import Path
from typing import Any, Literal

from aiga.cli import show as shown
from aiga.core.errors import UsageError

Format = Literal["html", "pdf", "md"]


def report(directory: Path, /, *, format: Format = "html", out: Path | None = None) -> int:
    """Write a run's report and print its path.

    Args:
        directory: The run directory.
        format: A web page; the same page as PDF, by the system's Chromium, Chrome or Edge; or Markdown with pictures.
        out: The file; default: `report.html`, `.pdf` or `.md` in the run directory.
    """
    from aiga.inspect import views
    from aiga.runs import record, report

    run = record.Run(directory)
    own, lacking, code = _own(run)
    figures = [*own, *(figure for view in views.VIEWS if view != "own" for figure in views.figures(run, view))]
    sys.stdout.write(f"{report.write(directory, figures, format, out)}\n")
    sys.stderr.write(lacking)
    return code


def _own(run: Any) -> tuple[list[Any], str, int]:
    """The figures of the run's own system; if they cannot be had, what is said of that, and 1 if its code failed.

    Whatever that system does: all else can be shown.
    """
    from aiga.inspect import views

    lacks = "aiga: the report lacks the system's own figures: "
    try:
        return views.figures(run, "own"), "", 0
    except UsageError as error:
        return [], f"{lacks}{error}\n", 0
    except Exception as error:
        return [], f"{traceback.format_exc()}{lacks}{type(error).__name__}: {error}\n", 1


def compare(*directories: Path, format: Format | None = None, out: Path | None = None) -> int:
    """Put runs side by side, or a claim's treatment and control.

    Args:
        directories: Run directories, or folders of claims.
        format: Write a page of figures, as `aiga report` does; default: tables on the terminal.
        out: The file of the page; default: `comparison.html`, `.pdf` or `.md` here.
    """
    from aiga.runs import claims
    from aiga.runs import compare as compared

    folders = [folder for directory in directories for folder in claims.folders(directory)]
    if len(directories) < 2 and not folders:
        raise UsageError("`aiga compare` needs two or more run directories; `aiga show DIRECTORY` shows one run.")
    if format is None and out is not None:
        raise UsageError("`--out` is the file of a page: give `--format` html, pdf or md too.")
    if format is None:
        for folder in folders:
            shown.claim(claims.measured(folder)._asdict())
        single = [directory for directory in directories if not claims.folders(directory)]
        if single:
            shown.side_by_side(compared.compare(single))
        return 0
    from aiga.inspect import comparison
    from aiga.runs import pages, report

    figures = comparison.figures(directories)
    document = pages.Document("Comparison", ", ".join(map(str, directories)), figures)
    sys.stdout.write(f"{report.save(document, format, out or Path(f'comparison.{format}'))}\n")
    return 0


def export(directory: Path, /, *, to: Literal["tensorboard", "wandb"], out: Path | None = None) -> int:
    """Write a run for TensorBoard or Weights & Biases, also one that is still going, and print where.

    Args:
        directory: The run directory.
        to: `tensorboard`: event files; `wandb`: an offline run, unless WANDB_MODE says otherwise.
        out: The folder; default: `tensorboard` or `wandb` in the run directory.
    """
    from aiga.runs import exports, record

    sys.stdout.write(f"{exports.export(record.Run(directory), to, out)}\n")
    return 0
