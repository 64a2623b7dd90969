"""What a value of Python holds, whatever its class makes of being asked: for copies of modules, which go through all of it.

A value is plain (numbers, texts, types), a container, a function, or an object whose class is made in Python; of these all
parts can be seen. Anything else is foreign, and so is what training keeps.
"""

import contextlib
import datetime
import decimal
import enum
import fractions
import logging
import pathlib
import re
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import data

from knowlimits._torch import is_operation

#: What neither changes nor holds tensors, as far as a model goes. Arrays may be large, and hardly a model writes to one.
PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, range, slice, type(...), type, types.ModuleType, enum.Enum, property),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size, np.generic, np.ndarray, np.dtype, np.ufunc),
    *(types.MethodDescriptorType, types.WrapperDescriptorType),
    logging.Logger,
    *(datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, fractions.Fraction, pathlib.PurePath, re.Pattern),
)
#: Python's own containers that can be written to, heirs before their parents, and those that cannot.
WRITABLE, FIXED = (OrderedDict, defaultdict, dict, list, deque, set), (tuple, frozenset)
# Where training keeps its data and state, which may be large and are no part of a model; and programs, which are not changed.
_KEPT = (torch.optim.Optimizer, data.DataLoader, data.Dataset, data.Sampler, fx.Graph)
# What classes have whose objects cannot be made anew by what they hold: what they do at their end would be done twice.
_SPECIAL = ("__del__", "__reduce__", "__reduce_ex__", "__deepcopy__")
# Set for classes that are made while Python runs.
_HEAP_TYPE = 1 << 9


def is_a(value: Any, kinds: Any) -> bool:
    """Whether a value is of a class, and does not only say so, as proxies do."""
    return issubclass(type(value), kinds)


def container(value: Any) -> Any:
    """Which of Python's containers a value is, or an heir of; None if it is none."""
    return next((base for base in type(value).__mro__ if base in WRITABLE or base in FIXED), None)


def attributes(value: Any) -> dict[str, Any]:
    """Attributes by name."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def in_slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """The slots of an object that are filled, and what is in them."""
    for base in filter(is_of_python, type(value).__mro__):
        for slot in vars(base).values():
            if isinstance(slot, types.MemberDescriptorType):
                with contextlib.suppress(AttributeError):
                    yield slot, slot.__get__(value)


def in_closure(function: types.FunctionType) -> tuple[Any, ...]:
    """The cells of a function's closure."""
    return function.__closure__ or ()


def in_cell(cell: Any) -> list[Any]:
    """What a cell holds, which may be nothing yet."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def behind(value: Any) -> Any:
    """The tensor or module that a weak reference or proxy leads to; None of one that leads elsewhere."""
    if type(value) is weakref.ref:
        return there if is_a(there := value(), Tensor | nn.Module) else None
    try:
        return value.parameters.__self__ if issubclass(value.__class__, nn.Module) else None
    except ReferenceError:
        return None


def is_weak(value: Any) -> bool:
    """Whether a value is a weak reference or proxy."""
    return type(value) is weakref.ref or type(value) in weakref.ProxyTypes


def is_simple(value: Any) -> bool:
    """Whether an object is what it holds, and that can be seen: it is of a class in Python, and not one to be kept."""
    kinds = [kind for kind in type(value).__mro__ if kind not in (object, types.SimpleNamespace)]
    if type(value) is object or is_a(value, _KEPT):
        return False
    return all(is_of_python(kind) and not any(name in vars(kind) for name in _SPECIAL) for kind in kinds)


def is_of_python(kind: type) -> bool:
    """Whether a class is made by a statement in Python, so that its objects hold what is in their dict and slots."""
    return bool(kind.__flags__ & _HEAP_TYPE and ("__slots__" in vars(kind) or kind.__dictoffset__))


def parts(value: Any) -> list[Any] | None:
    """What a value holds; None of what is foreign."""
    if is_weak(value):
        return [] if (there := behind(value)) is None else [there]
    held = [*attributes(value).values()]
    if is_a(value, dict):
        return [*held, *dict.keys(value), *dict.values(value)]
    if (base := container(value)) is not None:
        return [*held, *base.__iter__(value)]
    if is_a(value, types.FunctionType):
        inside = [content for cell in in_closure(value) for content in in_cell(cell)]
        return [*held, *inside, value.__defaults__, value.__kwdefaults__]
    if is_a(value, partial):
        return [*held, value.func, value.args, value.keywords]
    if is_a(value, types.MethodType):
        return [value.__self__, value.__func__]
    if is_a(value, types.BuiltinMethodType):
        return [value.__self__]
    if is_operation(value) or type(value) is object:
        return []
    return [*held, *(content for _, content in in_slots(value))] if is_simple(value) else None


def can_be_written(value: Any, foreign: bool, known: dict[int, Any]) -> bool:
    """Whether a value holds a tensor, a module or a container, however deep, and, unless `foreign`, nothing that is foreign.

    Args:
        value: a function or an object.
        foreign: whether it may.
        known: values that neither do nor are foreign, by id, to which others are added as they are found.
    """
    found, met, seen, waiting = False, False, {}, [value]
    while waiting:
        one = waiting.pop()
        if is_a(one, Tensor | nn.Module):
            found = True
        elif not is_a(one, PLAIN) and id(one) not in seen and id(one) not in known:
            seen[id(one)] = one
            inside = parts(one)
            if inside is None and not foreign:
                return False
            found, met = found or container(one) in WRITABLE, met or inside is None
            waiting += inside or ()
    if not (found or met):
        known |= seen
    return found
