from typing import Any, TypeVar

import equinox as eqx
import jax
from jax.core import Tracer
from jaxtyping import PyTree

Tree = TypeVar("Tree", bound=PyTree)


def varying_like(tree: Tree, *others: PyTree) -> Tree:
    """Arrays that a loop starts with, typed as varying over the devices over which any of `others` does.

    Under `jax.shard_map` a loop's carry has one type throughout; zeros made here are the same on all devices, and what is
    added to them is not. Elsewhere this changes nothing.
    """
    axes = frozenset().union(*(_axes(leaf) for leaf in jax.tree.leaves(others)))

    def vary(leaf: Any) -> Any:
        missing = axes - _axes(leaf) if eqx.is_array(leaf) else None
        return jax.lax.pcast(leaf, tuple(missing), to="varying") if missing else leaf

    return jax.tree.map(vary, tree) if axes else tree


def _axes(leaf: Any) -> frozenset:
    return jax.typeof(leaf).manual_axis_type.varying if isinstance(leaf, Tracer) else frozenset()
