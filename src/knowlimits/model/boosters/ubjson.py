"""Universal Binary JSON (ubjson.org, draft 12), as XGBoost writes it: numbers in big-endian, lists of one type as arrays.

A list of values that take no room, of which a few bytes can announce any number, is refused; so is what is nested deeply.
"""

import struct
from typing import Any

import numpy as np

# By their markers.
_TYPES = {
    marker: np.dtype(f">{kind}")
    for marker, kind in zip("iUIlLdDumM", ("i1", "u1", "i2", "i4", "i8", "f4", "f8", "u2", "u4", "u8"), strict=True)
}
_FORMATS = {marker: struct.Struct(f">{kind}") for marker, kind in zip("iUIlLdDumM", "bBhiqfdHIQ", strict=True)}
_CONSTANTS = {"T": True, "F": False, "Z": None}
_DEEPEST = 64


def decoded(content: bytes) -> Any:
    """What a text says: objects as dictionaries, lists of numbers of one type as arrays.

    Raises:
        ValueError: if it is damaged, or anything follows it.
    """
    reader = _Reader(content)
    try:
        value = reader.value(reader.marker(), 0)
    except (struct.error, IndexError):
        raise ValueError("ends too early") from None
    if reader.place != len(content):
        raise ValueError(f"has {len(content) - reader.place} bytes behind its end")
    return value


class _Reader:
    """A text, and how far it has been read."""

    def __init__(self, content: bytes):
        self.content, self.place = content, 0

    def marker(self) -> str:
        """The next type."""
        while self.content[self.place] == ord("N"):
            self.place += 1
        self.place += 1
        return chr(self.content[self.place - 1])

    def value(self, marker: str, depth: int) -> Any:
        """A value of a type."""
        if depth > _DEEPEST:
            raise ValueError("is nested too deeply")
        if marker in _FORMATS:
            (number,) = _FORMATS[marker].unpack_from(self.content, self.place)
            self.place += _FORMATS[marker].size
            return number
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == "S":
            return self._text()
        if marker == "C":
            return self._taken(1).decode("latin-1")
        if marker == "[":
            return self._list(depth)
        if marker == "{":
            return self._object(depth)
        raise ValueError(f"has a type {marker!r} that is not known")

    def _list(self, depth: int) -> Any:
        kind, count = self._announced()
        if kind in _TYPES:
            data = self._taken(count * _TYPES[kind].itemsize)
            return np.frombuffer(data, _TYPES[kind]).astype(_TYPES[kind].newbyteorder("="))
        if kind:
            raise ValueError("has a list of one type that is none of numbers")
        values: list[Any] = []
        # Each value takes a byte at least, so that a long list ends with the text.
        while (count is None or len(values) < count) and (marker := self.marker()) != "]":
            values.append(self.value(marker, depth + 1))
        if count is not None and len(values) < count:
            raise ValueError("has a list that ends too early")
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._announced()
        if kind:
            raise ValueError("has an object of one type")
        entries: dict[str, Any] = {}
        many = 0
        while count is None or many < count:
            if count is None and self.content[self.place] == ord("}"):
                self.place += 1
                break
            name = self._text()
            entries[name] = self.value(self.marker(), depth + 1)
            many += 1
        return entries

    def _announced(self) -> tuple[str, Any]:
        """The type of all values and how many there are, where they are said."""
        kind = ""
        if self.content[self.place] == ord("$"):
            self.place += 1
            kind = self.marker()
            if self.content[self.place] != ord("#"):
                raise ValueError("has a list of one type without its length")
        if self.content[self.place] != ord("#"):
            return kind, None
        self.place += 1
        return kind, self._length()

    def _length(self) -> int:
        length = self.value(self.marker(), 0)
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise ValueError("has a length that is no whole number")
        return length

    def _text(self) -> str:
        data = self._taken(self._length())
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise ValueError("has text that is not UTF-8") from None

    def _taken(self, size: int) -> bytes:
        if size > len(self.content) - self.place:
            raise ValueError("ends too early")
        self.place += size
        return self.content[self.place - size : self.place]
