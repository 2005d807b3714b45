"""Inputs and results of `snnx nir`: arrays in `.npz` files, and running a graph on them."""

import io
import pathlib
import time
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import snnx
from snnx._files import write_atomically
from snnx.cells import cell_dtype, spiking_paths

TOGETHER = 64  # examples that run at once


class Given(NamedTuple):
    """Inputs: `[batch, time, *shape]` by name, and whether the file had a batch."""

    arrays: dict[str, np.ndarray]
    batched: bool

    @property
    def examples(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def steps(self) -> int:
        return next(iter(self.arrays.values())).shape[1]


class Ran(NamedTuple):
    """What came out: outputs and records by name, `[batch, time, *shape]`; spikes of each spiking node, by neuron; seconds."""

    outputs: dict[str, np.ndarray]
    records: dict[str, np.ndarray]
    spikes: dict[str, np.ndarray]
    compiling: float
    running: float


def read_inputs(path: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]) -> Given:
    """The inputs in a file: of one input its array, of several an array each, by name.

    **Raises:** `ValueError` for a file or arrays that are not so; `FileNotFoundError`.
    """
    arrays = _read_arrays(path)
    if len(shapes) == 1 and len(arrays) == 1:
        arrays = dict(zip(shapes, arrays.values(), strict=True))
    missing = [name for name in shapes if name not in arrays]
    if missing or len(arrays) > len(shapes):
        expected = ", ".join(shapes) if len(shapes) > 1 else "one array"
        raise ValueError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected {expected}.")
    batched = {name: _has_batch(path, name, arrays[name], shape) for name, shape in shapes.items()}
    if len(set(batched.values())) > 1:
        raise ValueError(f"{path}: some of the inputs have a batch axis, others do not: {_of_shapes(arrays)}.")
    found = {name: arrays[name] if batched[name] else arrays[name][None] for name in shapes}
    if len({array.shape[:2] for array in found.values()}) > 1:
        raise ValueError(f"{path}: the inputs differ in examples or steps: {_of_shapes(arrays)}.")
    if 0 in next(iter(found.values())).shape[:2]:
        raise ValueError(f"{path}: there is nothing to run: {_of_shapes(arrays)}.")
    return Given(found, all(batched.values()))


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # no zip file, cut short, of objects
        raise ValueError(f"{path} is no .npz file of numbers; write one with np.savez(path, spikes=array).") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{path}: {name} holds {array.dtype}; expected spikes or currents, real numbers.")
        with np.errstate(over="ignore"):
            if not np.isfinite(array.astype(np.float32)).all():
                raise ValueError(f"{path}: {name} holds numbers that are not finite, or too large.")
    return arrays


def _has_batch(path: pathlib.Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> bool:
    extra = array.ndim - len(shape)
    if extra not in (1, 2) or array.shape[extra:] != shape:
        text = ", ".join(map(str, shape))
        raise ValueError(
            f"{path}: {name} has shape {list(array.shape)}; expected [time, {text}] or [batch, time, {text}]."
        )
    return extra == 2


def _of_shapes(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())


def run(model: snnx.Graph, given: Given, record: Sequence[str] = ()) -> Ran:
    """Run a graph on every example."""
    spiking = spiking_paths(model)
    wanted: dict[str, Any] = {path: (snnx.Sum(),) for path in spiking}
    for path in dict.fromkeys(record):
        wanted[path] = (*wanted.get(path, ()), snnx.Stack())

    def one(xs: dict[str, Any]) -> Any:
        ys, _, seen = snnx.simulate(model, xs if len(xs) > 1 else next(iter(xs.values())), record=wanted)
        ys = ys if isinstance(ys, dict) else {model.outputs[0]: ys}
        return ys, {path: seen[path][-1] for path in record}, {path: seen[path][0] for path in spiking}

    xs = {name: array.astype(cell_dtype(model)) for name, array in given.arrays.items()}
    started = time.perf_counter()
    program = jax.jit(lambda xs: jax.lax.map(one, xs, batch_size=TOGETHER)).lower(xs).compile()
    compiled = time.perf_counter()
    outputs, records, spikes = jax.tree.map(np.asarray, program(xs))
    return Ran(outputs, records, spikes, compiled - started, time.perf_counter() - compiled)


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an `.npz` file, whole or not at all; names may be any."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    write_atomically(path, content.getvalue())
