import math
import os
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from snnx._errors import NIRError, describe, unknown_name
from snnx.layers import Graph
from snnx.neurons import METHODS, Method
from snnx.nir._dialects import DIALECTS, in_nir
from snnx.nir._file import read_tree
from snnx.nir._import_nodes import DT, RESETS, VERSION, Choices, build, noted_dt
from snnx.nir._origin import Origin
from snnx.nir._shapes import shapes_of
from snnx.nir._tree import Tree, tree_of
from snnx.nir._validate import check, check_nodes, seconds_per_step
from snnx.surrogates import AbstractSurrogate, ATan


def from_nir(
    graph: "Any | str | os.PathLike",
    *,
    dt: float,
    reset: str | None = None,
    method: Method = "euler",
    dialect: str | None = None,
    surrogate: AbstractSurrogate | None = None,
    dtype: Any = None,
) -> Graph:
    r"""A NIR graph as a `Graph`: a cell like any other, to be run, recorded, trained, and exported again.

    ```python
    model = snnx.nir.from_nir("model.nir", dt=1e-4)
    ys, state, seen = snnx.simulate(model, xs, record=["lif", "lif.v"])
    ```

    The meaning is that of the format: forward Euler at `dt`, of each neuron its equation, e.g. of a `LIF`

    $$ v \leftarrow v + \tfrac{\Delta t}{\tau} (v_\text{leak} - v + r x), \qquad s = H(v - v_\text{threshold}), \qquad
       v \leftarrow v_\text{reset} \text{ where } s = 1 $$

    a pair's synapse before its membrane, which sees the new current; a delay of $\text{round}(\text{delay}/\Delta t)$ steps.
    Edges have no lag, but for one in each cycle: see `Graph`. Membranes start at `v_leak`, integrators and synapses at 0.

    **Arguments:**
    - `graph`: a `nir.NIRGraph`, which is not changed, or the path of a file.
    - `dt`: seconds per step. Files do not carry it; where snnx wrote the file and noted another, that is warned of.
    - `reset`: `"value"`, the format's rule; `"subtract"`, which several frameworks mean: the threshold is subtracted; by default
        what the file's metadata say, where snnx wrote it, else the format's rule.
    - `method`: `"euler"`, the format's; `"exponential"` or `"exact"` discretise the same equations otherwise.
    - `dialect`: the framework that wrote the file, where it means something else than the format: `docs/nir_dialects.md`.
    - `surrogate`: the pseudo derivative of all spikes, for training; by default `ATan()`.
    - `dtype`: of parameters, states and spikes; by default JAX's default float.

    The parameters are the file's, and are leaves: trainable. Nested graphs are part of the one graph, their nodes called
    `sub/node`. With several `Input` or `Output` nodes, inputs or outputs are dicts by their names.

    **Raises:** `NIRError` for a graph that is not valid, or asks for what cannot be done, naming the node; `ValueError` for
    arguments that are none. Warns of what is odd, and run as written: see `validate`.
    """
    dt = seconds_per_step("from_nir", dt)
    if surrogate is not None and not isinstance(surrogate, AbstractSurrogate):
        raise TypeError(
            f"from_nir: surrogate is {describe(surrogate)}; expected an object such as snnx.surrogates.ATan()."
        )
    for name, given, known in (("reset", reset, RESETS), ("method", method, METHODS), ("dialect", dialect, DIALECTS)):
        if given not in known and not (given is None and name != "method"):
            raise ValueError(unknown_name("from_nir", name, str(given), known))
    tree = read_tree(Path(graph)) if isinstance(graph, (str, os.PathLike)) else tree_of(graph)
    if dialect is not None:
        if VERSION in tree.metadata:
            warnings.warn(
                f"from_nir: snnx wrote this file, which is in the format's own meaning, and is now read as one of {dialect}.",
                stacklevel=2,
            )
        tree, reset = _translated(tree, dialect, dt, reset)
    flat, odd = check(tree, "from_nir", dt)
    for text in (*odd, *_other_dt(tree, dt)):
        warnings.warn(f"from_nir: {text}", stacklevel=2)
    choices = Choices(dt, method, reset, surrogate or ATan(), _dtype(dtype))
    shapes = shapes_of(flat)
    nodes, casts = {}, {}
    for path, node in flat.nodes.items():
        if path not in (*flat.inputs, *flat.outputs):
            nodes[path], own = build(path, node, shapes[path][0], choices)
            casts |= {(path, field): cast for field, cast in own.items()}
    return Graph(
        nodes,
        flat.edges,
        inputs=flat.inputs,
        outputs=flat.outputs,
        shapes={name: shapes[name][0] for name in nodes},
        source=Origin(tree, casts),
    )


def _translated(tree: Tree, dialect: str, dt: float, reset: str | None) -> tuple[Tree, str | None]:
    check_nodes(tree, "from_nir")
    try:
        return in_nir(tree, dialect, dt, reset)
    except NIRError:
        raise
    except (KeyError, ValueError) as error:
        check(tree, "from_nir", dt)  # which says what is wrong with the graph
        raise NIRError(f"from_nir: this is no graph of the dialect {dialect!r}: {error!r}.") from error


def _dtype(dtype: Any) -> Any:
    found = jnp.zeros(()).dtype if dtype is None else jnp.dtype(dtype)
    if not jnp.issubdtype(found, jnp.floating):
        raise ValueError(f"from_nir: dtype is {found.name}, expected a float dtype such as 'float32'.")
    if jax.dtypes.canonicalize_dtype(found) != found:
        raise ValueError(f"from_nir: {found.name} needs jax.config.update('jax_enable_x64', True).")
    return found


def _other_dt(tree: Tree, dt: float) -> list[str]:
    """A word on a file that was written for another step."""
    noted = noted_dt(tree.metadata)
    if DT not in tree.metadata or (noted is not None and math.isclose(noted, dt, rel_tol=1e-6)):
        return []
    if noted is None:
        return [
            f"the file notes that it was written for dt={tree.metadata[DT]!r}, which is no number; it is left aside."
        ]
    return [f"the file was written for dt={noted:g}, and is now run at dt={dt:g}: spikes will differ."]
