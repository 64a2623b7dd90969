"""What commands have in common: options that name one of several things, and checks of options before the work."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter, Token

from knowlimits.cli.mistakes import UsageError, option


def _one(kind: Any, tokens: Sequence[Token]) -> Any:
    """Which of its choices an option names, in any case."""
    return _named(tokens[0], get_args(kind), "must be one of")


def _several(kind: Any, tokens: Sequence[Token]) -> Any:
    """Which of its choices an option names, each once."""
    choices = get_args(get_args(kind)[0])
    return tuple(dict.fromkeys(_named(token, choices, "must be of") for token in tokens))


def _named(token: Token, choices: Sequence[str], must: str) -> str:
    by_lower = {known.lower(): known for known in choices}
    if (text := token.value.lower()) in by_lower:
        return by_lower[text]
    close = difflib.get_close_matches(text, by_lower, n=1)
    hint = f" Did you mean {by_lower[close[0]]}?" if close else ""
    raise UsageError(f"{token.keyword} {must} {', '.join(choices)}. Got {token.value!r} instead.{hint}")


#: For options that are one of several, or some of them: `Annotated[Literal[...], CHOICE]`. Help lists what there is.
CHOICE = Parameter(converter=_one)
CHOICES = Parameter(converter=_several, consume_multiple=True)
# Names of the published code, in its order. `half_moons.toml` has their settings; a test keeps the two together.
_Model = Literal["NN", "PlattScalingNN", "MCDropout", "BBB", "NNEnsemble", "AnchoredNNEnsemble"]
MODELS: tuple[str, ...] = get_args(_Model)
Models = Annotated[tuple[_Model, ...], CHOICES]
# What a model returns, as `knowlimits.read` has it; a test keeps the two together.
Returned = Literal["logits", "log-probabilities", "probabilities"]
Outputs = Annotated[Returned | None, CHOICE]

# Kinds of faults, as `knowlimits.faults` has them, or none of them; a test keeps the two together.
Kind = Literal[
    "unit",
    "lost-point",
    "sentinel",
    "gap",
    "zero-fill",
    "sign",
    "swap",
    "shuffled-columns",
    "stuck",
    "drift",
    "saturation",
    "unseen-category",
    "none",
]
Faults = Annotated[tuple[Kind, ...], CHOICES]


def no_screen() -> None:
    """Figures go to files."""
    import matplotlib

    matplotlib.use("Agg")


def load_model(path: Path, trusted: Sequence[str] = (), output: str | None = None) -> Any:
    """The model in a file, which may make such types, and of whose outputs one may be named."""
    from knowlimits.files.load import load

    with option("MODEL"):
        return load(path, trusted=trusted, output=output)


def check_whole(name: str, value: int, least: int, most: float = float("inf")) -> None:
    """Raise unless a number is within its bounds."""
    if not least <= value <= most:
        limit = "" if most == float("inf") else f" and at most {most}"
        raise UsageError(f"{name} must be at least {least}{limit}. Got {value} instead.")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise unless a number lies between two others."""
    if not low < value < high:
        limit = f"above {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise UsageError(f"{name} must be {limit}. Got {value:g} instead.")


def check_seed(seed: int) -> None:
    """Raise unless scikit-learn takes a seed."""
    check_whole("--seed", seed, 0, 2**32 - 1)


def check_together(options: dict[str, Any]) -> None:
    """Raise where some of several options are given and others are not."""
    given = [name for name, value in options.items() if value is not None]
    if 0 < len(given) < len(options):
        *first, last = options
        raise UsageError(f"{', '.join(first)} and {last} must be given together. Got {' and '.join(given)} alone.")


def check_results(folder: Path, *files: str) -> None:
    """Make a folder of results, figures among them, and raise where what belongs into it could not be written."""
    from knowlimits.outputs import check_folder

    with option("--out"):
        check_folder(folder, ("figures", "tables"), (*files, "summary.md"))
    no_screen()


def read_kinds(kinds: Sequence[str]) -> Sequence[str] | None:
    """What the option --faults says, as `knowlimits.audit` takes it: None for all that the data suggest."""
    if "none" in kinds and len(kinds) > 1:
        raise UsageError(f"--faults must be none, or some of the others. Got {' '.join(kinds)}.")
    return None if not kinds else () if "none" in kinds else kinds


def check_outputs(outputs: Mapping[str, Path | Sequence[Path] | None], *inputs: Path | None, overwrite: bool = True) -> None:
    """Raise before anything is computed that could then not be kept, or would take the place of something else.

    Args:
        outputs: files to write, by their options: one, or several in a folder.
        inputs: files that are read.
        overwrite: whether files that are there may be replaced.
    """
    from knowlimits.outputs import FIGURES, check_folder, check_output

    taken = {os.path.realpath(path): str(path) for path in inputs if path is not None}
    files = [(name, file) for name, path in outputs.items() for file in ([path] if isinstance(path, Path) else path or ())]
    for name, path in files:
        with option(name):
            check_folder(path.parent)
            try:
                check_output(path, FIGURES if name == "--figure" else (), overwrite)
            except FileExistsError as error:
                raise UsageError(f"{name}: {error} Give --force to replace it.") from None
        if (place := os.path.realpath(path)) in taken and (path.is_file() or not path.exists()):
            raise UsageError(f"{name}: {path} is {taken[place]}, which has another part here. Choose another name.")
        taken[place] = name


def check_device(device: str) -> None:
    """Raise where torch cannot use a device."""
    from knowlimits.train.classifiers.checks import check_device as check

    with option("--device"):
        check(device)
