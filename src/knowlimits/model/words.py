"""What is said of a model: what its networks return, and what it is made of."""

from collections.abc import Sequence
from typing import Any

from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Family, described
from knowlimits.model.network import Network
from knowlimits.model.stack import Stack

# Names that are shown.
_SHOWN = 5


def returned(network: Network | Stack) -> str:
    """What a network's module returns, and what is done about it."""
    if isinstance(network, Stack):
        return str(Outputs.LOGITS)
    undone = f", of a final {network.ending.last}, which is taken off" if network.ending else ""
    parts = made_of([network])
    return f"{network.outputs}{undone}{f', of {parts}' if parts else ''}"


def taken(network: Network | Stack) -> str:
    """What of a file was taken for what a network returns, and what of it is undone; ``""`` where nothing says so.

    Modules that were read from files state it as `taken_` and `undone_`.
    """
    said = next((module for module in network.modules() if isinstance(getattr(module, "taken_", None), str)), None)
    if said is None or not isinstance(network, Network):
        return ""
    undone = said.undone_ or (network.ending.last if network.ending else "")
    return f"{said.taken_}, " + (f"of which a {undone} is undone" if undone else f"taken as it is for {network.outputs}")


def notes(network: Network | Stack) -> list[str]:
    """What is said of a network by modules that were read from files, otherwise than these say, which state it as `notes_`."""
    return [note for module in network.modules() for note in getattr(module, "notes_", ())]


def _families(network: Network | Stack) -> list[Family]:
    """Those in a network, but for decision functions that say the same as a module once more."""
    twice: set[int] = set()
    for m in network.modules():
        if isinstance(m, Network) and m.decision is not None:
            twice |= {id(part) for part in m.decision.modules()} - {id(part) for part in m.module.modules()}
    return [m for m in network.modules() if isinstance(m, Family) and id(m) not in twice]


def made_of(networks: Sequence[Network | Stack]) -> str:
    """The families in some networks, and how many of the parts are networks; ``""`` where there is no family."""
    families, others = [], 0
    for network in networks:
        own = _families(network)
        families += own
        parts = [m for m in network.modules() if isinstance(m, Network | Stack) and m is not network] or [network]
        others += sum(not _families(part) for part in parts)
    if not families:
        return ""
    return f"{described(families)}{'' if not others else ' and a network' if others == 1 else f' and {others} networks'}"


def counted(count: int | None, names: Any) -> str:
    """A number, and what is counted."""
    if count is None:
        return "not said"
    shown = "" if names is None else f": {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
    return f"{count}{shown}"


def shaped(shape: Sequence[int] | None) -> str:
    """The shape that features have, where it is more than a row."""
    return "" if shape is None else f", as inputs of shape {tuple(shape)}"
