"""A progress bar on standard error while a video is made, and nothing at all where that is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sandbox.demo.follow import Report, silent


@contextmanager
def progress(title: str, console: Console) -> Iterator[Report]:
    """A bar for one job; call what it gives with the stage and the part that is done."""
    if not console.is_terminal:
        yield silent
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[title]}", markup=False),
        BarColumn(bar_width=32),
        TextColumn("{task.fields[stage]}", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=None, title=title, stage="")

        def report(stage: str, done: float | None) -> None:
            if done is None:
                bars.update(bar, total=None, stage=stage)
            else:
                bars.update(bar, total=1.0, completed=done, stage=stage)

        yield report
