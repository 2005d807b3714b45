"""Writers of the files that recorded data sets come as: to the byte, but for their size."""

import struct
from pathlib import Path

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_heidelberg(path, times, units, labels, speakers, keys, instead=None):
    """SHD and SSC: HDF5 of float16 seconds and uint16 units; `instead`: other arrays for some entries, None for no entry."""
    import h5py

    entries = {
        "spikes/times": _lists(times, h5py.vlen_dtype(np.float16)),
        "spikes/units": _lists(units, h5py.vlen_dtype(np.uint16)),
        "labels": (np.asarray(labels, np.int64), None),
        "extra/speaker": (np.asarray(speakers, np.int64), None),
        "extra/keys": (np.array(keys, "S"), None),
    }
    entries |= {name: (values, None) for name, values in (instead or {}).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, (values, kind) in entries.items():
            if values is not None:
                file.create_dataset(name, data=values, dtype=kind)


def _lists(values, kind):
    lists = np.empty(len(values), object)
    lists[:] = [np.asarray(one, kind.metadata["vlen"]) for one in values]
    return lists, kind


def address_bytes(events):
    """N-MNIST and N-Caltech101: rows of t (us), p, y, x, five bytes each.

    A time has 23 bits; before an event that is later, the clock turns: an event in row 240 stands for 2^13 us more.
    """
    content, turns = bytearray(), 0
    for t, p, y, x in np.asarray(events, int).reshape(-1, 4).tolist():
        while t - turns * 2**13 >= 2**23:
            content += bytes([0, 240, 0, 0, 0])
            turns += 1
        rest = t - turns * 2**13
        content += bytes([x, y, p << 7 | rest >> 16, rest >> 8 & 255, rest & 255])
    return bytes(content)


def write_address_events(path, events):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(address_bytes(events))


def write_gesture(path, events, kind=np.float64):
    """DVS-Gesture: rows of t (us), p, y, x as an array of x, y, p, ms."""
    t, p, y, x = np.asarray(events).reshape(-1, 4).T
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack([x, y, p, t / 1000], axis=1).astype(kind))


def write_matlab(path, events):
    """ASL-DVS: rows of t (us), p, y, x as columns of a .mat file; there y counts from the bottom."""
    import scipy.io

    t, p, y, x = (column[:, None] for column in np.asarray(events).reshape(-1, 4).T)
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(
        path, {"ts": t.astype(np.int32), "x": x.astype(np.uint8), "y": (179 - y).astype(np.uint8), "pol": p}
    )


def idx_bytes(values):
    """MNIST: an array of bytes after its axes."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_pictures(folder, prefix, pictures, labels):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(np.asarray(pictures, np.uint8)))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(np.asarray(labels, np.uint8)))


def aedat4_bytes(packets, kinds=("EVTS",)):
    """AEDAT 4.0, uncompressed: (stream, rows of t, p, y, x) by (stream, rows); `kinds`: of stream 0, 1, ..."""
    nodes = "".join(
        f'<node name="{i}"><attr key="compression" type="string">NONE</attr>'
        f'<attr key="typeIdentifier" type="string">{kind}</attr><node name="info">'
        '<attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr></node></node>'
        for i, kind in enumerate(kinds)
    )
    info = f'<dv version="2.0"><node name="outInfo">{nodes}</node></dv>'.encode() + b"\0"
    info = struct.pack("<I", len(info) - 1) + info
    # A flatbuffer: where its table stands, its kind; the sizes of this list and of the table, where its fields are; the table.
    head = struct.pack("<I4sHHHHH2xiiqI", 20, b"IOHE", 10, 20, 4, 8, 16, 12, 0, -1, 4)
    content = b"#!AER-DAT4.0\r\n" + _prefixed(head + info)
    return content + b"".join(
        struct.pack("<ii", stream, len(packet)) + packet
        for stream, packet in ((stream, _event_packet(rows)) for stream, rows in packets)
    )


def _event_packet(rows):
    rows = np.asarray(rows).reshape(-1, 4).tolist()
    events = b"".join(struct.pack("<qhhB3x", t, x, y, p) for t, p, y, x in rows)
    head = struct.pack("<I4sHHH2xiI", 16, b"EVTS", 6, 8, 4, 8, 4)
    return _prefixed(head + struct.pack("<I", len(rows)) + events)


def _prefixed(content):
    content += bytes(-len(content) % 8)
    return struct.pack("<I", len(content)) + content


def write_aedat4(path: Path, packets, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(aedat4_bytes(packets, **settings))
