"""HDF5 files, of which nothing is trusted: links, sizes and texts are checked before they are followed.

Source: The HDF Group, HDF5 File Format Specification 3.0: II.A, the superblock; III.E, the global heap; VIII, references into it.
"""

import math
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from snnx._errors import NIRError, describe
from snnx.nir._node import MOST_NESTED, is_name

_Result = TypeVar("_Result")

SMALL = 2**20  # bytes that may be declared without being there: HDF5 fills up with zeros
DENSEST = 1100  # times that deflate makes something smaller at most
FILTERS = frozenset((1, 2, 3, 4, 32000))  # gzip, shuffle, checksum, szip, lzf

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEADER = struct.Struct("<4sB3xQ")  # of a heap: signature, version, size with the header
_OBJECT = struct.Struct("<HH4xQ")  # of an object in it: number, count of references, size without padding
_REFERENCE = struct.Struct("<IQI")  # of a text: its length, address of the heap, number of the object


# ------------------------------------------------------------------ reading
def read_hdf5(path: Path, read: "Callable[[Any, Reader], _Result]") -> _Result:
    """Open a file, and return `read(file, reader)`.

    **Raises:** `NIRError` for a file that is damaged or not HDF5; `FileNotFoundError`.
    """
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    size = os.path.getsize(path)
    with path.open("rb") as content:
        try:
            _check_superblock(content, size)
            with h5py.File(path, "r") as file:
                return read(file, Reader(path, size, _Texts(content, size, file.userblock_size)))
        except NIRError:
            raise
        except Exception as error:  # a damaged file makes the library raise nearly anything
            raise NIRError(f"{path} is not a whole NIR file (HDF5): {error}.") from error


def _check_superblock(file: BinaryIO, size: int) -> None:
    """Refuse a file that names a driver to be read with: the HDF5 library reads the driver's data before anything else, and
    allocates up to 4 GB for it (seen with HDF5 2.0.0). Only parts of files that are split into several have one.
    """
    start = 0
    while start < size:
        file.seek(start)
        block = file.read(96)
        if block.startswith(_SIGNATURE) and len(block) == 96:
            version, width = block[8], block[13]
            address = 24 + 4 * version + 3 * width
            if version < 2 and block[address : address + width] != b"\xff" * width:
                raise NIRError(f"{file.name} is damaged: its superblock names a driver, which NIR files do not have.")
            return
        start = max(512, 2 * start)


class Reader:
    """Reads groups and data sets of an open file, and keeps count of what it has read.

    In its methods `path` is that of a node in the graph, for error messages.
    """

    def __init__(self, file: Path, size: int, texts: "_Texts"):
        self.file, self.size, self.texts = file, size, texts
        self.declared = self.there = self.pieces = 0

    def group(self, parent: Any, name: str, path: str) -> Any:
        import h5py

        self._check_own(parent, name, path)
        found = parent.get(name)
        if not isinstance(found, h5py.Group):
            raise NIRError(f"{self.file}: node {path!r} has no group {name!r}.")
        return found

    def dictionary(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        """A group of values, and of groups of them."""
        import h5py

        if depth > MOST_NESTED:
            raise NIRError(f"{self.file}: the metadata of {path!r} are nested more than {MOST_NESTED} deep.")
        found = {}
        for name in list(group):
            if isinstance(group.get(name), h5py.Group):
                found[name] = self.dictionary(self.group(group, name, path), path, depth + 1)
            else:
                found[name] = self.value(group, name, path)
        return found

    def text(self, group: Any, name: str, path: str) -> str:
        value = self.value(group, name, path)
        if not isinstance(value, str):
            raise NIRError(f"{self.file}: {name!r} of node {path!r} is {value!r}; expected a text.")
        return value

    def value(self, group: Any, name: str, path: str) -> Any:
        """The content of a data set: a text, a number or an array."""
        import h5py

        self._check_own(group, name, path)
        data, what = group.get(name), f"{self.file}: {name!r} of node {path!r}"
        if not isinstance(data, h5py.Dataset):
            raise NIRError(f"{what} is a group; expected numbers or a text.")
        if data.shape is None:
            raise NIRError(f"{what} is empty.")
        self._check_storage(data, what)
        if data.dtype.kind == "O":
            return self._texts(data, what)
        if data.dtype.kind not in "fiubcS":
            raise NIRError(f"{what} holds {data.dtype}; expected numbers or a text.")
        content = data[()]
        return content.decode("utf8") if isinstance(content, bytes) else content

    def _check_own(self, parent: Any, name: str, path: str) -> None:
        """Refuse links to elsewhere: into other files, or back into this one."""
        import h5py

        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise NIRError(f"{self.file}: {name!r} of node {path!r} is missing, or is a link to elsewhere.")

    def _check_storage(self, data: Any, what: str) -> None:
        """Refuse data in other files, and data that would take more memory or time than the file has bytes for."""
        plan = data.id.get_create_plist()
        if data.external or data.is_virtual:
            raise NIRError(f"{what} is kept in other files, which are not looked at.")
        filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if len({*filters}) < len(filters) or not {*filters} <= FILTERS:
            raise NIRError(f"{what} has the filters {filters}; expected gzip, lzf or szip, once each.")
        chunks = data.chunks or data.shape
        if len(chunks) != data.ndim or (0 in chunks and data.size):
            raise NIRError(f"{what} has shape {list(data.shape)}, but is cut into pieces of {list(chunks)}.")
        # Counted over the whole file: many small data sets may share their bytes, or each declare a little too much.
        self.pieces += math.prod(-(-n // m) for n, m in zip(data.shape, chunks, strict=True) if m)
        declared = max(data.nbytes, math.prod(chunks) * data.dtype.itemsize)
        self.declared += declared
        self.there += data.id.get_storage_size()
        if (
            self.there > SMALL + self.size
            or self.declared > SMALL + DENSEST * self.there
            or self.pieces * 8 > SMALL + self.size
        ):
            raise NIRError(
                f"{what} is declared to have {declared:,} bytes, shape {list(data.shape)}, but the file has"
                f" {data.id.get_storage_size():,} bytes for it."
            )

    def _texts(self, data: Any, what: str) -> "str | np.ndarray":
        """A text, or an array of them."""
        import h5py

        if h5py.check_string_dtype(data.dtype) is None:
            raise NIRError(f"{what} holds lists or references; expected texts.")
        start = data.id.get_offset()
        if data.size and start is None:
            raise NIRError(
                f"{what} is a text in pieces (chunked or compressed), which cannot be read; nir.write writes texts in one piece."
            )
        try:
            found = self.texts.read(start, data.size) if data.size else np.empty(0, object)
        except NIRError as error:
            raise NIRError(f"{what} is damaged: {error}.") from error
        return found.item() if data.shape == () else found.reshape(data.shape)


class _Texts:
    """Texts of variable length, read from the bytes of a file of `size` bytes; HDF5's addresses count from `base`.

    The HDF5 library trusts them: a damaged length makes it allocate gigabytes, and a damaged heap makes it loop for ever (seen
    with HDF5 2.0.0). Here each length is compared with what is there. The library is careful with numbers, and reads those.
    """

    def __init__(self, file: BinaryIO, size: int, base: int):
        self._file, self._size, self._base = file, size, base
        self._left = size + SMALL  # characters that may still be read: a file that has more repeats itself
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
                raise NIRError(f"a text should have {length:,} characters, but the file ends, or repeats itself")
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
                raise NIRError(
                    f"a text in the heap at byte {start} should have {length:,} characters, but the heap ends"
                )
            found[number] = content[place : place + length]
            place += -(-length // 8) * 8
        return found

    def _bytes(self, start: int, count: int) -> bytes:
        if start + count > self._size:
            raise NIRError(f"a text should be at byte {start + count:,}, but the file has {self._size:,} bytes")
        self._file.seek(start)
        return self._file.read(count)


# ------------------------------------------------------------------ writing
def write_dictionary(group: Any, name: str, values: Mapping[str, Any], depth: int = 0) -> None:
    """Values, and dicts of them, as a group.

    **Raises:** `NIRError` for what no file can hold.
    """
    inner = group.create_group(name, track_order=True)
    if depth > MOST_NESTED:
        raise NIRError(f"{inner.name} is nested more than {MOST_NESTED} deep, which no reader takes.")
    for key, value in values.items():
        if not is_name(key):
            raise NIRError(
                f"{inner.name} has the key {key!r}; expected a text that is not empty, not '.', and has no '/'."
            )
        if isinstance(value, Mapping):
            write_dictionary(inner, key, value, depth + 1)
        else:
            write_value(inner, key, value)


def write_value(group: Any, name: str, value: Any) -> None:
    """Numbers, or a text, as a data set.

    **Raises:** `NIRError` for what no file can hold.
    """
    import h5py

    where = f"{group.name}/{name}"
    try:
        array = np.asarray(value)
        texts = array.dtype.kind == "O" and all(isinstance(v, str | bytes) for v in array.flat)
        if array.dtype.kind in "US" or texts:
            group.create_dataset(name, data=array.astype(object)[()], dtype=h5py.string_dtype())
            return
    except ValueError as error:  # lists of several lengths; texts with zeros or halves of letters
        raise NIRError(f"{where} is {describe(value)}, which no file can hold: {error}.") from error
    if array.dtype.kind not in "fiub":
        raise NIRError(f"{where} is {describe(value)}, which no file can hold; expected numbers or a text.")
    group.create_dataset(name, data=array, **({"compression": "gzip"} if array.ndim and array.size else {}))
