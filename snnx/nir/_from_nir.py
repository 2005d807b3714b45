import functools
import os
import warnings
from typing import Any

import jax
import jax.numpy as jnp

from snnx._checks import checked
from snnx._errors import unknown_name
from snnx._typing import AboveZero, Dtype
from snnx.layers import Graph
from snnx.neurons import Method
from snnx.nir._dialects import DIALECTS, translated
from snnx.nir._file import records
from snnx.nir._kind import Import, built
from snnx.nir._node import Reset
from snnx.nir._origin import Origin
from snnx.nir._validate import Examined, examined
from snnx.surrogates import AbstractSurrogate, ATan


@checked
def from_nir(
    graph: Any | str | os.PathLike,
    *,
    dt: AboveZero,
    reset: Reset | None = None,
    method: Method = "euler",
    dialect: str | None = None,
    surrogate: AbstractSurrogate | None = None,
    dtype: Dtype | None = None,
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

    **Raises:** `NIRError` for a graph that is not valid, or asks for what cannot be done, naming the node; `TypeError`,
    `ValueError` for other arguments. Warns of what is odd, and run as written: see `validate`.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise ValueError(unknown_name("from_nir", "dialect", dialect, DIALECTS))
    dt, dtype = float(dt), _dtype(dtype)
    tree = records(graph)
    tree, reset = translated(tree, dialect, dt, reset)
    found = examined(tree, dt).accepted("from_nir")
    for text in found.warnings:
        warnings.warn(f"from_nir: {text}", stacklevel=3)
    choices = dict(dt=dt, method=method, reset=reset, surrogate=surrogate or ATan(), dtype=dtype)
    return _built(found, functools.partial(Import, **choices))


def _built(found: Examined, importing: Any) -> Graph:
    graph, shapes = found.meaning, found.shapes
    nodes, casts = {}, {}
    for path, node in graph.nodes.items():
        if path not in (*graph.inputs, *graph.outputs):
            own = importing(path, node, shapes[path][0], casts={})
            nodes[path] = built(own)
            casts |= {(path, name): cast for name, cast in own.casts.items()}
    return Graph(
        nodes,
        graph.edges,
        inputs=graph.inputs,
        outputs=graph.outputs,
        shapes={name: shapes[name][0] for name in nodes},
        source=Origin(found.tree, shapes, casts),
    )


def _dtype(dtype: Any) -> Any:
    found = jnp.zeros(()).dtype if dtype is None else jnp.dtype(dtype)
    if jax.dtypes.canonicalize_dtype(found) != found:
        raise ValueError(f"from_nir: dtype is {found.name}, which needs jax.config.update('jax_enable_x64', True).")
    return found
