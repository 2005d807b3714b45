"""The first bytes of an HDF5 file."""

from typing import BinaryIO

from snnx._errors import NIRError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def check_superblock(file: BinaryIO, size: int) -> None:
    """Refuse a file that says that it is read by a special driver: the HDF5 library reads what that driver is told before
    anything else, and takes up to 4 GB for it (seen with HDF5 2.0.0). No file that is a file by itself has one.

    Source: The HDF Group, HDF5 File Format Specification 3.0: II.A, the superblock.

    **Raises:** `NIRError`.
    """
    start = 0
    while start < size:
        file.seek(start)
        block = file.read(96)
        if block.startswith(_SIGNATURE) and len(block) == 96:
            version, width = block[8], block[13]
            address = 24 + 4 * version + 3 * width
            if version < 2 and block[address : address + width] != b"\xff" * width:
                raise NIRError(f"{file.name} is damaged: its superblock names a driver, which no file of NIR has.")
            return
        start = max(512, 2 * start)
