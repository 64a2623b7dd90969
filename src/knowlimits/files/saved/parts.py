"""Models of any library in a file of ours: each as the bytes of a file of its own library, in a format that holds no code.

Nothing new is trusted by this: on the way back each goes through the same door as a file of its own would, in
`knowlimits.load`.
"""

import dataclasses
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from knowlimits.files.boosters.read import READERS
from knowlimits.files.onnx.read import ImportedModel, read_onnx
from knowlimits.files.pt2.read import read_pt2
from knowlimits.files.saved.envelope import damaged, opened, sealed
from knowlimits.files.saved.ours import classifier_of, classifier_parts
from knowlimits.files.skops import read_skops, untrusted
from knowlimits.model.arrays import first_line
from knowlimits.model.content import FileContent
from knowlimits.model.copies import unwrapped
from knowlimits.model.kinds import name_of
from knowlimits.model.model import Model
from knowlimits.model.network import Network
from knowlimits.model.read import read
from knowlimits.model.signature import Called
from knowlimits.train import classifiers

#: Files that one of ours may hold, each of which takes a while to read, however small it is.
MOST = 100
#: What is said where a model has no such file.
OTHERWISE = "export the guard in its place, knowlimits.export(guard, 'model.onnx')"
# Rows that a program is made with, a number that hardly fits anything but a batch.
_ROWS = 5


def parts_of(model: Any, answering: Any, rows: Any) -> list[FileContent]:
    """Files of a model, one for each member of a list.

    Args:
        model: as a person has it.
        answering: what answers for it.
        rows: a few as it takes them.

    Raises:
        TypeError: if there is no file of it without code.
        ImportError: if the package that writes it is not installed.
    """
    found = _own(model)
    if found is None and isinstance(answering, Model):
        found = (list(answering.files) if answering.own is None else []) or _programs(model, answering, rows)
    if found is None:
        raise unsaved(type(model).__name__, "of a kind that has no format without code")
    if len(found) > MOST:
        raise unsaved(type(model).__name__, f"of {len(found)} members, of which {MOST} are saved")
    return found


def part_of(part: FileContent, name: str, trusted: Sequence[str], device: str) -> Any:
    """The model in a part, by the door for its format: a fitted estimator, or a `Model`.

    Args:
        part: it.
        name: what to call it in errors.
        trusted: names of types that skops may make.
        device: for a classifier of ours.

    Raises:
        ValueError, UnsupportedOperation: if it is refused there.
        ImportError: if a package that reads it is not installed.
    """
    if part.form == ".skops":
        return read_skops(part.content, name, trusted)
    if part.form == ".safetensors":
        header, tensors = opened(part.content, name)
        with damaged(name):
            return classifier_of(header, tensors, device)
    if part.form in READERS:
        return READERS[part.form](part.content, name)
    brought = read_onnx(part.content, name, part.output) if part.form == ".onnx" else read_pt2(part.content, name)
    try:
        found = read(brought, part.outputs, input_shape=part.input_shape)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{name} cannot be read: {first_line(error)}.") from error
    return dataclasses.replace(found, files=(part,))


#: Endings of the files that may be parts.
FORMS = (".safetensors", ".skops", *READERS, ".pt2", ".onnx")


def unsaved(name: str, why: str) -> TypeError:
    """The error for a model that cannot be saved."""
    return TypeError(f"model must be one that can be saved without pickle. Got {name}, {why}: {OTHERWISE}.")


def _own(model: Any) -> list[FileContent] | None:
    """Files of estimators, by what they are; None where they are of no such kind."""
    if isinstance(model, list | tuple):
        found = [_own(one) for one in model]
        return None if None in found else [part for parts in found for part in parts or ()]
    if isinstance(model, classifiers.StackClassifier):
        return [FileContent(".safetensors", sealed(*classifier_parts(model)))]
    if (form := _FORMS.get(name_of(type(model)))) is not None:
        suffix, write = form
        return [FileContent(suffix, _written(write, suffix, model))]
    kinds = set(map(name_of, type(model).__mro__))
    if "sklearn.BaseEstimator" in kinds and "skorch.NeuralNet" not in kinds:
        return [FileContent(".skops", _skops(model))]
    return None


def _written(write: Callable[[Any, str], None], suffix: str, model: Any) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model{suffix}"
        try:
            write(model, str(path))
        # Whatever the library raises for what it cannot write.
        except Exception as error:
            raise unsaved(type(model).__name__, f"which {_first(error)}") from error
        return path.read_bytes()


def _xgboost(model: Any, path: str) -> None:
    if not np.isnan(getattr(model, "missing", np.nan)):
        raise ValueError(f"takes {model.missing} for a gap, which its own format does not say")
    model.save_model(path)


def _lightgbm(model: Any, path: str) -> None:
    getattr(model, "booster_", model).save_model(path)


def _catboost(model: Any, path: str) -> None:
    model.save_model(path, format="json")


_FORMS: dict[str, tuple[str, Callable[[Any, str], None]]] = {
    "xgboost.XGBClassifier": (".ubj", _xgboost),
    "xgboost.XGBRFClassifier": (".ubj", _xgboost),
    "xgboost.Booster": (".ubj", _xgboost),
    "lightgbm.LGBMClassifier": (".txt", _lightgbm),
    "lightgbm.Booster": (".txt", _lightgbm),
    "catboost.CatBoostClassifier": (".json", _catboost),
    "catboost.CatBoost": (".json", _catboost),
}


def _skops(model: Any) -> bytes:
    """The file of skops of an estimator, whose types another program can find.

    Raises:
        TypeError: if it holds others, as functions without a name and classes of a script.
        ImportError: without skops.
    """
    try:
        from skops import io as skops
    except ImportError:
        raise ImportError(
            f"saving {type(model).__name__} needs the package skops: pip install 'know-your-limits[skops]'"
        ) from None
    name = type(model).__name__
    try:
        content = skops.dumps(model)
        types = untrusted(content)
    # An estimator may hold anything, of which skops raises anything.
    except Exception as error:
        raise unsaved(name, f"which skops cannot write ({_first(error)})") from error
    if lost := [one for one in types if one.startswith("__main__.") or "<" in one]:
        raise unsaved(
            name,
            f"which holds {', '.join(lost)}: no other program finds a function without a name, or what only a script has. "
            "Put it into a module that can be imported, or else",
        )
    return content


def _programs(model: Any, answering: Model, rows: Any) -> list[FileContent] | None:
    """Files of torch modules, as they are brought, or as they were read; None for what is made of anything else."""
    networks = answering.networks if answering.as_layers and answering.own is None else ()
    if not networks or not all(isinstance(one, Network) and one.places is None for one in networks) or answering.made_of:
        return None
    if any(isinstance(network.brought, ImportedModel) for network in networks):  # type: ignore[union-attr]
        raise unsaved(
            type(model).__name__,
            "read from an ONNX file whose weights are in other files, or whose inputs or outputs somebody has named: make it "
            "one file with one input, or else",
        )
    modules = list(_modules(model))
    if len(modules) != len(networks):
        modules = [network.module for network in networks]  # type: ignore[union-attr]
    points = answering.points("X", rows)[:_ROWS]
    return [
        FileContent(".pt2", _program(module, points), outputs=str(network.outputs))  # type: ignore[union-attr]
        for module, network in zip(modules, networks, strict=True)
    ]


def _modules(model: Any) -> Sequence[nn.Module]:
    """A person's own modules; none where some are something else."""
    if isinstance(model, torch.export.ExportedProgram):
        return [model.module()]
    if isinstance(model, nn.Module) and not isinstance(model, nn.ModuleList):
        return [unwrapped(model)]
    if isinstance(model, list | tuple | nn.ModuleList):
        found = [_modules(one) for one in model]
        return [module for modules in found for module in modules] if all(found) else []
    return []


def _program(module: nn.Module, points: torch.Tensor) -> bytes:
    """The file of a module, exported for any number of rows.

    Raises:
        TypeError: if it cannot be exported, or its program would be refused as it is and in simpler operations.
    """
    floats = next((t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()), points)
    rows = points.to(floats.device, floats.dtype)
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    refusal: Exception | None = None
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Of what a module returns in a tuple or a dict, the one that counts.
            program = torch.export.export(Called(module), (rows,), dynamic_shapes=shapes, strict=False)
            for made in (lambda: program, program.run_decompositions):
                content = _of_program(made())
                try:
                    read_pt2(content)
                    return content
                except ValueError as error:
                    refusal = refusal or error
    # torch raises errors of many kinds for what it cannot follow.
    except Exception as error:
        raise unsaved(_name(module), f"which torch.export does not take ({_first(error)})") from error
    raise unsaved(_name(module), f"whose program would be refused ({refusal})")


def _of_program(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _name(module: nn.Module) -> str:
    while isinstance(module, Called):
        module = module.module
    return type(module).__name__


def _first(error: Exception) -> str:
    text = (first_line(error) or type(error).__name__).rstrip(".")
    return text if len(text) < 200 else f"{text[:200]} ..."
