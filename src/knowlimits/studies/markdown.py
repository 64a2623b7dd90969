"""Tables of summaries."""

from collections.abc import Collection, Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], text: Collection[int] = (0,)) -> str:
    """A table in Markdown.

    Args:
        columns: what stands over them.
        rows: cells as they are shown.
        text: places of columns that are text, to the left; numbers are to the right.
    """
    rule = "".join("---|" if place in text else "---:|" for place in range(len(columns)))
    return "\n".join([f"| {' | '.join(columns)} |", f"|{rule}", *(f"| {' | '.join(row)} |" for row in rows)])
