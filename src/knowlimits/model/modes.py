"""Train mode: what a module does otherwise than in eval mode, for which it is refused.

A person who asks about a classifier means the one that predicts. To put a copy into eval mode without a word would answer about
another model than the one that was given, where masks are kept on purpose, say; to take it as it is would answer at random. So
every function of the library refuses a module in train mode that acts on it, and takes all others as they are.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

from knowlimits._torch import BATCH_NORMS, INSTANCE_NORMS, WRAPPERS, hooks

# They look at their mode to choose between ways to the same result.
_SAME_RESULT = (nn.TransformerEncoder, nn.TransformerEncoderLayer)


def check_mode(module: nn.Module) -> None:
    """Refuse a module whose outputs hang on more than the input: on its mode, or on other rows in either mode.

    Raises:
        ValueError: with the name of the submodule and what to do.
    """
    for name, one in module.named_modules():
        place = f"{name} ({type(one).__name__})" if name else type(one).__name__
        if isinstance(one, BATCH_NORMS) and one.running_mean is None:
            raise ValueError(
                f"model must treat each row by itself. Got {place}, which norms by the batch in eval mode too: give it "
                "track_running_stats=True and train it so."
            )
        if one.training and _acts_on_mode(one):
            masks = " For members with fixed masks see knowlimits.dropout_members." if isinstance(one, nn.Dropout) else ""
            raise ValueError(
                f"model must be in eval mode where its mode matters. Got {place} in train mode: call model.eval() first.{masks}"
            )


def uses_own_statistics(module: nn.Module) -> bool:
    """Whether a layer norms by what it is given in eval mode too."""
    return isinstance(module, BATCH_NORMS | INSTANCE_NORMS) and module.running_mean is None


def _acts_on_mode(module: nn.Module) -> bool:
    """Whether what a module does hangs on its mode, as far as its code says: it reads `training`, and has something to drop."""
    if any("training" in _names(code) for hook in hooks(module) for code in _code_of_hook(hook)):
        return True
    home = type(module).__module__
    # What is wrapped is looked at by itself.
    if home.startswith(WRAPPERS) or not any("training" in _names(code) for code in _code(type(module))):
        return False
    if not home.startswith("torch."):
        return True
    if isinstance(module, _SAME_RESULT) or uses_own_statistics(module):
        return False
    return getattr(module, "p", getattr(module, "dropout", None)) != 0


def _code(kind: type) -> Iterator[Any]:
    """The code of a class and its parents down to the one that has `forward`."""
    for one in kind.__mro__:
        if one is nn.Module:
            return
        for value in vars(one).values():
            function: Any = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if callable(function) and inspect.isfunction(function := inspect.unwrap(function)):
                yield function.__code__
        if "forward" in vars(one):
            return


def _code_of_hook(hook: Any) -> Iterator[Any]:
    function = hook if inspect.isfunction(hook) else vars(type(hook)).get("__call__")
    if inspect.isfunction(function):
        yield function.__code__


def _names(code: Any) -> set[str]:
    """Names of attributes and globals in a function and in those inside it."""
    inner = [constant for constant in code.co_consts if inspect.iscode(constant)]
    return set(code.co_names).union(*map(_names, inner))
