"""One progress bar for all long work: what is being done, how far it is, how long it will take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(text: str, total: int, show: bool = True) -> Iterator[Callable[..., None] | None]:
    """Show a bar on standard error and yield a function that advances it, or None where `show` is false.

    The function takes how far, and if need be a new text.
    """
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text, total=total)
        yield lambda advance, text=None: bar.update(task, advance=advance, description=text)


@contextmanager
def counter(text: str, show: bool = True) -> Iterator[Callable[[int], None] | None]:
    """Show a count without a known end, and how fast it grows; yields a function that takes the count, or None."""
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn

    class Rate(ProgressColumn):
        def render(self, task: Task) -> str:  # type: ignore[override]
            return f"{task.completed:,.0f} {text}, {task.completed / (task.elapsed or 1):,.0f} a second,"

    with Progress(Rate(), TimeElapsedColumn(), TextColumn("elapsed"), console=Console(stderr=True)) as bar:
        task = bar.add_task(text, total=None)
        yield lambda count: bar.update(task, completed=count)
