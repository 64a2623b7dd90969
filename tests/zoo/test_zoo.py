"""Each function on each model of the zoo: right against the model itself far away, or one line that says what to do."""

import contextlib

import numpy as np
import pytest
import torch

import knowlimits as kl
from tests.zoo import functions, tables
from tests.zoo.endings import of_three
from tests.zoo.entry import Entry, Table
from tests.zoo.functions import FUNCTIONS, INPUT_DETECTORS, detector, is_clear, outcome
from tests.zoo.made import Made, Wrong, check_limits, made
from tests.zoo.models import GROUPS, ZOO
from tests.zoo.nets import body

pytestmark = pytest.mark.filterwarnings("ignore")

TABLES = {name: value for name, value in vars(tables).items() if isinstance(value, Table)}


def built(name):
    for package in ZOO[name].needs:
        pytest.importorskip(package)
    return made(name)


@pytest.mark.parametrize("name", ZOO)
def test_each_function_is_right_or_says_what_to_do(name):
    one, bad = built(name), []
    with contextlib.suppress(Exception):
        # skorch puts its module into eval mode when it predicts.
        _ = one.labels
    before = state(one.model)
    for label, function in FUNCTIONS.items():
        if not function.applies(one):
            continue
        what, text = outcome(function, one)
        if what != one.entry.expected(label):
            bad.append(f"{label} must be {one.entry.expected(label)} and is {what}. {text}")
    assert not bad, "\n".join([name, *bad])
    assert state(one.model) == before, "the model is not as it was"


def state(model):
    """What nobody may change in a person's modules: modes, types, numbers, and whether gradients are asked for."""
    if isinstance(model, list):
        return [state(one) for one in model]
    model = getattr(model, "module_", model)
    if not isinstance(model, torch.nn.Module):
        return None
    numbers = {name: (p.dtype, p.requires_grad, float(p.detach().double().sum())) for name, p in model.named_parameters()}
    buffers = {name: float(b.detach().double().sum()) for name, b in model.named_buffers() if b.is_floating_point()}
    return numbers, buffers, [(name, part.training) for name, part in model.named_modules()], torch.get_num_threads()


@pytest.mark.parametrize("name", INPUT_DETECTORS)
@pytest.mark.parametrize("table", TABLES)
def test_detectors_of_inputs_grow_as_they_say(name, table):
    one = Made(Entry("", lambda: None, TABLES[table], lambda _, X: np.zeros((len(X), 2))), None)
    what, text = outcome(functions.Function(name, detector(name)), one)
    numbers = not one.table.is_frame and np.isfinite(one.table.X).all()
    assert what == ("right" if numbers or table == "FRAME" else "refused"), text


def test_there_are_many_models_and_each_is_told_apart():
    assert len(ZOO) >= 110
    assert len(FUNCTIONS) + len(INPUT_DETECTORS) >= 20
    about = [(group, entry.about) for group, entries in GROUPS.items() for entry in entries.values()]
    assert len(set(about)) == len(about)
    for name, entry in ZOO.items():
        assert set(entry.refused) <= set(FUNCTIONS), name


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if "read" not in entry.refused])
def test_a_truth_is_what_the_model_itself_says_near_by(name):
    """As far as a model has outputs that are easy to look at: the truth has not been made up."""
    one = built(name)
    truth = one.at_data
    assert truth.shape == (len(one.table.X), len(np.unique(one.table.y)))
    assert np.allclose(truth.sum(1), 1, atol=1e-5)
    if hasattr(one.model, "predict_proba") and name != "read_before":
        assert np.allclose(one.model.predict_proba(one.table.X), truth, atol=1e-5)
    elif isinstance(one.model, torch.nn.Module) and not isinstance(one.model, torch.nn.ModuleList) and not one.entry.said:
        with torch.no_grad():
            # Trees have none.
            dtype = next((parameter.dtype for parameter in one.model.parameters()), torch.float32)
            said = one.model(torch.tensor(one.table.X, dtype=dtype))
        if isinstance(said, torch.Tensor) and said.shape == truth.shape and dtype == torch.float32:
            agreed = (said.argmax(1).numpy() == truth.argmax(1)).mean()
            assert agreed > 0.95


WRONG = {
    "logits for probabilities": of_three("", lambda z: z.softmax(1), said={"outputs": "logits"}),
    "classes the other way round": of_three("", lambda z: z.flip(1)),
    "other weights": Entry("", lambda: body(seed=1), tables.WINE, of_three("", lambda z: z).truth),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(
    "label", ["read", "far_field", "partition", "horizon", "audit", "Guard", "LastLayerLaplace", "gradient_magnitude"]
)
def test_the_table_can_fail(name, label):
    """A reading of another model than the truth is of is told by each function."""
    if (name, label) == ("classes the other way round", "gradient_magnitude"):
        pytest.skip("entropy is the same")
    what, _ = outcome(FUNCTIONS[label], Made(WRONG[name], WRONG[name].make()))
    assert what != "right"


def test_limits_that_are_not_what_the_model_has_are_told():
    radii = (1e6, 1e7, 1e8)
    end = np.array([[0.2, 0.8], [1.0, 0.0]])
    on_its_way = [end + np.array([[1, -1], [0, 0]]) * 10 / radius for radius in radii]
    check_limits(end, radii, on_its_way)
    check_limits(end, radii, [end, end, end * np.nan])
    for wrong in (end[:, ::-1], end + 1e-5, end * np.nan):
        with pytest.raises(Wrong, match="limits are off"):
            check_limits(end, radii, [wrong] * 3)
    with pytest.raises(Wrong, match="limits are off"):
        check_limits(end, radii, on_its_way[::-1])


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("model must return a tensor. Got tuple instead: say which with output=.", True),
        ("model must return a tensor.\nGot tuple instead: say which with output=.", False),
        ("mat1 and mat2 shapes cannot be multiplied (48x4 and 5x8): give other rows.", False),
        ("'tuple' object has no attribute 'shape', so give something else", False),
        ("no", False),
    ],
)
def test_errors_are_one_line_of_ours(text, clear):
    assert is_clear(ValueError(text)) is clear


def test_the_reading_of_a_file_is_that_of_what_was_written():
    for name in ("pt2_softmax", "onnx_softmax"):
        one = built(name)
        assert not isinstance(one.model, torch.nn.Sequential)
        assert kl.load(one.entry.file) is not one.model
