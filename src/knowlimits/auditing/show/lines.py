"""Lines of text: how long they are, and tables of them."""

#: Letters of a line.
WIDTH = 110


def aligned(columns: dict[str, list[str]]) -> list[str]:
    """Lines of a table, by its columns: the first to the left, the others to the right."""
    widths = [max(map(len, (heading, *cells))) for heading, cells in columns.items()]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [tuple(columns), *zip(*columns.values(), strict=True)]
    ]


def shortened(text: object, letters: int) -> str:
    """Text in one line of at most so many letters."""
    line = " ".join(str(text).split())
    return line if len(line) <= letters else f"{line[: letters - 3]}..."
