"""Texts of variable length in an HDF5 file, read from its bytes.

The HDF5 library trusts them: a damaged length makes it allocate gigabytes, and a damaged heap makes it loop for ever (seen with
HDF5 2.0.0). Here each length is held against what is there. Numbers are left to the library, which is careful with those.

Source: The HDF Group, HDF5 File Format Specification 3.0: III.E, the global heap, and VIII, references into it.
"""

import struct
from typing import BinaryIO

import numpy as np

from snnx._errors import NIRError

_HEADER = struct.Struct("<4sB3xQ")  # of a heap: signature, version, size with the header
_OBJECT = struct.Struct("<HH4xQ")  # of an object in it: number, count of references, size without padding
_REFERENCE = struct.Struct("<IQI")  # of a text: its length, address of the heap, number of the object


class Texts:
    """The texts of an open file: each heap is looked through once.

    **Arguments:**
    - `file`: the file's bytes, of which there are `size`.
    - `base`: where HDF5's addresses begin to count.
    - `spare`: characters that may be read beyond the size of the file, before it is taken to repeat itself.
    """

    def __init__(self, file: BinaryIO, size: int, base: int, spare: int):
        self._file, self._size, self._base, self._left = file, size, base, size + spare
        self._heaps: dict[int, dict[int, bytes]] = {}

    def read(self, start: int, count: int) -> np.ndarray:
        """The texts whose references begin at the byte `start`: an array of `str`.

        **Raises:** `NIRError` where the file contradicts itself; `UnicodeDecodeError`.
        """
        found = np.empty(count, object)
        references = self._bytes(start, count * _REFERENCE.size)
        for i, (length, heap, number) in enumerate(_REFERENCE.iter_unpack(references)):
            text = self._object(heap, number)[:length] if length else b""
            self._left -= len(text)
            if len(text) != length or self._left < 0:
                raise NIRError(f"a text is said to have {length:,} characters, but the file does not")
            found[i] = text.rstrip(b"\0").decode("utf8")
        return found

    def _object(self, heap: int, number: int) -> bytes:
        if heap not in self._heaps:
            self._heaps[heap] = self._objects(self._base + heap)
        if number not in self._heaps[heap]:
            raise NIRError(f"a text is number {number} in the heap at byte {heap}, which has no such object")
        return self._heaps[heap][number]

    def _objects(self, start: int) -> dict[int, bytes]:
        signature, version, size = _HEADER.unpack(self._bytes(start, _HEADER.size))
        if (signature, version) != (b"GCOL", 1):
            raise NIRError(f"there is no heap of texts at byte {start}")
        content = self._bytes(start, size)
        found, place = {}, _HEADER.size
        while place + _OBJECT.size <= size:
            number, _, length = _OBJECT.unpack_from(content, place)
            if number == 0:  # the rest is free
                break
            place += _OBJECT.size
            if length > size - place:
                raise NIRError(f"a text in the heap at byte {start} is said to have {length:,} characters")
            found[number] = content[place : place + length]
            place += -(-length // 8) * 8
        return found

    def _bytes(self, start: int, count: int) -> bytes:
        if start + count > self._size:
            raise NIRError(f"something is said to be at byte {start + count:,}, but the file has {self._size:,}")
        self._file.seek(start)
        return self._file.read(count)
