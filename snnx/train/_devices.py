"""Several devices at once: each has the parameters and the data whole, and computes its part of every batch.

On a CPU the devices are its cores. A program of one device uses several cores within its larger products only; programs
beside each other use them all the time. `python -m benchmarks` on 2 cores, W1 (128-64-64-20, T=128, B=256): 21.6 ms a
training step on one device, 13.5 on two; 19.3 and 11.1 from lists of active channels.
"""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from snnx._checks import checked
from snnx._typing import Count

AXIS = "examples"
CGROUP_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")  # microseconds of processor time, or "max", and per how many
Devices: TypeAlias = Sequence[jax.Device]  # pyright: ignore[reportInvalidTypeForm]


@checked
def use_cores(count: Count | None = None) -> int:
    """Make every core of the CPU a device, so that `fit` and `evaluate` divide each batch among them.

    To be called first of all, before JAX has made an array:

    ```python
    import snnx

    snnx.use_cores()
    ```

    It overrides what the environment says (`JAX_NUM_CPU_DEVICES`). Every device has its own copy of the data set. Where
    there is a GPU, this changes nothing for what runs on it.

    **Arguments:** `count`: how many devices; by default one for each core that this process may use, within a
        container's quota.
    **Returns:** the number of devices.
    **Raises:** `RuntimeError` where JAX has started with another number already.
    """
    count = _usable_cores() if count is None else count
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        there = len(jax.devices("cpu"))
        if there != count:
            raise RuntimeError(
                f"use_cores: JAX has started already, with {there} CPU device{'s' * (there > 1)}, so that {count} cannot"
                " be made; call snnx.use_cores() first of all, before any array is made (importing evosax.algorithms or gymnax"
                " makes some)."
            ) from None
    return count


def _usable_cores() -> int:
    """Those that this process may run on, and, in a container with a quota of processor time, no more than it pays for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if CGROUP_QUOTA.exists():
        quota, period = CGROUP_QUOTA.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def mesh_of(where: str, devices: Devices | None) -> Mesh | None:
    """The devices in a row; None for a single one. By default all that the CPU has, or else the default device alone."""
    if devices is None:
        chosen = jax.config.jax_default_device is not None  # pyright: ignore[reportAttributeAccessIssue]
        cores = jax.local_devices() if jax.default_backend() == "cpu" and not chosen else []
        return _row(cores) if len(cores) > 1 else None
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(f"{where}: devices is {list(devices)}, expected one device or more, each of them once.")
    return _row(devices)


def _row(devices: Devices) -> Mesh:
    return Mesh(np.asarray(devices), (AXIS,))


def mesh_of_members(where: str, devices: Devices | None, count: int) -> Mesh | None:
    """The devices in a row, as many of them as divide the number of members."""
    mesh = mesh_of(where, devices)
    if mesh is None:
        return None
    most = max(n for n in range(1, mesh.size + 1) if count % n == 0)
    return mesh if most == mesh.size else _row(mesh.devices[:most].tolist()) if most > 1 else None


def on_every_device(mesh: Mesh | None, function: Callable) -> Callable:
    """The function, run on every device; its arguments and results are the same on all."""
    if mesh is None:
        return function
    whole = PartitionSpec()
    return jax.shard_map(function, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False)


def over_members(mesh: Mesh | None, function: Callable, stacked: tuple[bool, ...]) -> Callable:
    """The function of stacks and of what all members share, with the members (the leading axis of each argument that is
    `stacked`, and of the results) divided among the devices."""
    if mesh is None:
        return function
    specs = tuple(PartitionSpec(AXIS) if yes else PartitionSpec() for yes in stacked)
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False)


def my_rows(mesh: Mesh | None, count: int) -> tuple[Array, Array]:
    """Which of `count` rows are this device's, and whether each is one of them: all get equally many, the last is
    repeated where they do not divide."""
    if mesh is None:
        return jnp.arange(count), jnp.ones(count, bool)
    mine = -(-count // mesh.size)
    rows = jax.lax.axis_index(AXIS) * mine + jnp.arange(mine)
    return jnp.minimum(rows, count - 1), rows < count


def summed(mesh: Mesh | None, tree: PyTree) -> PyTree:
    """The sum over all devices."""
    return tree if mesh is None else jax.lax.psum(tree, AXIS)


def gathered(mesh: Mesh | None, tree: PyTree, count: int, axis: int = 1) -> PyTree:
    """The `count` rows (along `axis`) of which every device has those of `my_rows`."""
    if mesh is None:
        return tree

    def all_rows(x: Array) -> Array:
        return jax.lax.slice_in_dim(jax.lax.all_gather(x, AXIS, axis=axis, tiled=True), 0, count, axis=axis)

    return jax.tree.map(all_rows, tree)


def spread(mesh: Mesh | None, tree: Any) -> Any:
    """Every array on every device."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def divided(mesh: Mesh | None, tree: Any) -> Any:
    """Every array cut along its leading axis, a part on every device."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def collected(tree: Any) -> Any:
    """Every array on one device alone, so that it goes with any other."""
    return jax.tree.map(lambda x: _first(x) if eqx.is_array(x) else x, tree)


def _first(x: Array) -> Array:
    if len(x.sharding.device_set) == 1:
        return x
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_first(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    if next(iter(x.sharding.device_set)).platform == "cpu":
        # Bound to no device, as what the user gave: else the user's own programs would compile again for what comes back.
        return jnp.asarray(np.asarray(x))
    return x.addressable_data(0) if x.is_fully_replicated else jax.device_put(x, x.addressable_shards[0].device)
