"""Files of ours that are opened, changed and written again."""

import json

import pytest
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

import knowlimits as kl
from tests import command


def opened(path):
    """Header and tensors."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["knowlimits"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def write(path, header, tensors):
    path.write_bytes(save(tensors, {"knowlimits": header if isinstance(header, str) else json.dumps(header)}))
    return path


def copy(header, tensors):
    """Both, to be changed."""
    return json.loads(json.dumps(header)), {key: value.clone() for key, value in tensors.items()}


def put(key, value):
    return lambda header, tensors: header.update({key: value})


def give(key, value):
    return lambda header, tensors: tensors.update({key: value})


def fill(key, value):
    return lambda header, tensors: tensors[key].view(-1)[:1].fill_(value)


def drop(key):
    return lambda header, tensors: (header.pop(key, None), tensors.pop(key, None))


def within(outer, key, value):
    return lambda header, tensors: header[outer].update({key: value})


def check_refused(path, match):
    """That a file is refused in one line, by the library and by a command."""
    with pytest.raises(ValueError, match=match) as raised:
        kl.load(path)
    assert "\n" not in str(raised.value)
    result = command.run("regions", path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"knowlimits: MODEL: {raised.value}"[:80])
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 600


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["<U3", "|O", "<i8", "<f8", ".onnx", ".txt", ".skops"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    """Paths to all values in a header."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(data, header):
    """The place of a value in a header, which is replaced, left out or doubled there."""
    place = data.draw(st.sampled_from(places(header)[1:]))
    at = header
    for key in place[:-1]:
        at = at[key]
    kind = data.draw(st.sampled_from(["replace", "remove", "copy"]))
    if kind == "replace":
        at[place[-1]] = data.draw(JSON)
    elif kind == "remove":
        del at[place[-1]]
    elif isinstance(at, list):
        at.append(at[place[-1]])
    return place
