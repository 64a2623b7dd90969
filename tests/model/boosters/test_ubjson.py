"""UBJSON against values written by hand, byte by byte, and damage of all kinds."""

import struct

import numpy as np
import pytest

from knowlimits.model.boosters.ubjson import decoded

NUMBERS = {
    b"i\xff": -1,
    b"U\xff": 255,
    b"I\xff\xfe": -2,
    b"l\x00\x01\x00\x00": 65536,
    b"L\xff\xff\xff\xff\xff\xff\xff\xff": -1,
    b"d" + struct.pack(">f", 1.5): 1.5,
    b"D" + struct.pack(">d", -1e300): -1e300,
    b"T": True,
    b"F": False,
    b"Z": None,
    b"NNi\x05": 5,
    b"Ca": "a",
    b"Si\x02\xc3\xa4": "ä",
    b"SL\x00\x00\x00\x00\x00\x00\x00\x01x": "x",
    b"[]": [],
    b"[i\x01SU\x01aT]": [1, "a", True],
    b"[#i\x02i\x01i\x02": [1, 2],
    b"{}": {},
    b"{i\x01ai\x07i\x01b[]}": {"a": 7, "b": []},
    b"{#i\x01i\x01a{}": {"a": {}},
}


@pytest.mark.parametrize("content", NUMBERS)
def test_values(content: bytes):
    value = decoded(content)
    assert value == NUMBERS[content]
    assert type(value) is type(NUMBERS[content])


@pytest.mark.parametrize(("marker", "kind"), list(zip("iUIlLdD", ("i1", "u1", "i2", "i4", "i8", "f4", "f8"), strict=True)))
def test_lists_of_one_type(marker: str, kind: str):
    numbers = np.array([1, 2, 100], dtype=f">{kind}")
    found = decoded(b"[$" + marker.encode() + b"#i\x03" + numbers.tobytes())
    np.testing.assert_array_equal(found, [1, 2, 100])
    assert found.dtype == np.dtype(kind)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends too early"),
        (b"[", "ends too early"),
        (b"[#i\x05i\x01", "ends too early"),
        (b"[#i\x05i\x01]", "list that ends too early"),
        (b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", "ends too early"),
        (b"[$T#L\x7f\xff\xff\xff\xff\xff\xff\xff", "none of numbers"),
        (b"[$Z#i\x05", "none of numbers"),
        (b"[$di\x05", "without its length"),
        (b"[#i\xff", "no whole number"),
        (b"[#T", "no whole number"),
        (b"{$i#i\x01i\x01a\x05", "object of one type"),
        (b"SL\x7f\xff\xff\xff\xff\xff\xff\xff", "ends too early"),
        (b"Si\x01\xff", "not UTF-8"),
        (b"X", "a type 'X' that is not known"),
        (b"[" * 1000, "nested too deeply"),
        (b"i\x01i\x01", "2 bytes behind its end"),
        (b"d\x00", "ends too early"),
    ],
)
def test_damage(content: bytes, message: str):
    with pytest.raises(ValueError, match=message):
        decoded(content)
