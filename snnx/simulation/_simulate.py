"""Time: a door that checks, and behind it one compiled loop over chunks."""

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._jitted import as_jax, run_jitted
from snnx._readers import as_jax_array, check_float
from snnx._typing import Count, Natural
from snnx._varying import varying_like
from snnx.cells import AbstractCell, Keep, State, Taps, cell_dtype, check_state, save_saveables
from snnx.inputs import AbstractInputs
from snnx.layers import check_gradients
from snnx.reductions import AbstractReduction, Stack
from snnx.simulation._record import Record, Reductions, as_tuple, reductions_by_path
from snnx.simulation._schedule import chunk_size, default_keep

_OUTPUTS = "*"  # the entry of the cell's own outputs among what is recorded


class _InputsReader:
    """Reads inputs before the cell's dtype is known: a dtype that no cell takes gets a sentence of its own."""

    def read(self, where: str, name: str, value: Any) -> Any:
        if isinstance(value, AbstractInputs):
            return value
        if isinstance(value, Mapping):
            return {key: self.read(where, f"{name}[{key!r}]", x) for key, x in value.items()}
        value = as_jax_array(value)
        check_float(where, name, value)
        return value

    def __str__(self) -> str:
        return "floats [time, *features], a compact layout such as Bits, or a dict of those by input"


Inputs: TypeAlias = Annotated[Float[Array, "time *features"] | AbstractInputs | Mapping[str, Any], _InputsReader()]


@checked
def simulate(
    cell: AbstractCell,
    xs: Inputs,
    state: State | None = None,
    *,
    key: Key[Array, ""] | None = None,
    mask: Bool[Array, "time"] | None = None,
    readout: Reductions = Stack(),
    record: Record | None = None,
    chunk: Count | None = None,
    keep: Keep | None = None,
    truncate: Count | None = None,
    burn_in: Natural = 0,
) -> Any:
    r"""Run a cell over time: `(y_t, state_t) = cell(x_t, state_{t-1})` for every step of one example.

    Time is cut into chunks. Within a chunk a container runs layer by layer, each layer over all steps of the chunk;
    chunks follow one another in a scan, and in the backward pass each chunk is computed again from the state at its
    start, so that little more than those states is kept (`keep`). The result, and its gradient, are the same for every `chunk`.

    ```python
    ys, state = snnx.simulate(model, xs)                                   # xs: [time, *features], one example
    ys, state, seen = snnx.simulate(model, xs, record=["1", "1.v"])        # spikes and membrane of layer 1
    mean, state = snnx.simulate(model, xs, readout=snnx.Mean())            # never stores the outputs
    batch = jax.vmap(lambda x: snnx.simulate(model, x)[0])(batch_of_xs)    # the batch axis, at the edge
    ```

    It is compiled by itself, once for arguments of the same kind, as by `jax.jit`: arrays are arguments, and what a function
    in the cell reads from outside (`lambda x: settings.gain * x`) is read once. To change it from call to call, make it an
    array in the cell (docs/compilation.md). A cell with a lambda that is made anew for each call compiles at each call.
    Within a program that is traced already it is a part of that.

    **Arguments:**
    - `cell`: a neuron, a container, or a cell of your own.
    - `xs`: `[time, *features]`, floats in the cell's dtype, or a compact layout such as `Bits`; of a graph with several
        inputs a dict of those by name, and so are its outputs.
    - `state`: where to start; by default `cell.init_state(features)`.
    - `key`: for random layers, the sequence's.
    - `mask`: `[time]`; steps that are False (padding) change no state, put out zeros, and count in no reduction.
    - `readout`: what becomes of the outputs: all of them (`Stack()`), or a reduction; a tuple gives a tuple.
    - `record`: paths to parts (`"3"`, `"3.neuron"`: their outputs) and fields of their state (`"3.v"`), as a list, or as
        a dict from path to reduction (or to a tuple of reductions, which gives a tuple).
    - `chunk`: steps per chunk; by default from the sizes, see `default_chunk`. It need not divide the time.
    - `keep`: what is kept for the backward pass, rather than computed again: the states at the `"borders"` of the chunks
        (least memory); besides them the `"membranes"`, so that no product of weights is computed twice; or `"all"`. By
        default from the sizes, see `default_keep`.
    - `truncate`: no gradient flows through the state across every `truncate`-th step (truncated backpropagation).
    - `burn_in`: the first steps only warm the state up: no output, no gradient.

    **Returns:** outputs, final state; with `record`, also a dict from path to what was recorded.

    **Raises:** `ShapeError`, `DtypeError` for inputs that do not fit; `ValueError` for an unknown path, a chunk,
    truncation or burn-in out of range.
    """
    check_gradients("simulate", cell)
    steps, shape = _check_inputs(cell, xs, mask)
    taps = reductions_by_path("simulate", cell, record)
    if burn_in >= steps:
        raise ValueError(f"simulate: burn_in is {burn_in}, but there are {steps} steps; expected fewer.")
    if chunk is not None and truncate is not None:
        chunk_size(cell, steps - burn_in, chunk, truncate)
    wanted = {_OUTPUTS: readout} | taps
    ys, state, found = run_jitted(
        _simulate, cell, xs, as_jax(state), key, mask, wanted, steps, shape, chunk, keep, truncate, burn_in
    )
    return (ys, state) if record is None else (ys, state, {path: found[path] for path in taps})


def _simulate(
    cell: AbstractCell,
    xs: Inputs,
    state: State | None,
    key: Key[Array, ""] | None,
    mask: Array | None,
    wanted: dict[str, Reductions],
    steps: int,
    shape: Any,
    chunk: int | None,
    keep: Keep | None,
    truncate: int | None,
    burn_in: int,
) -> tuple[PyTree, State, dict[str, PyTree]]:
    """`simulate` behind its checks: outputs, final state, and what was recorded."""
    fresh = cell.init_state(shape)
    if state is None:
        state = fresh
    else:
        check_state("simulate: state", state, fresh)
    run = functools.partial(_run, cell, key=key, chunk=chunk, keep=keep, truncate=truncate)
    if burn_in:
        warm_up = None if mask is None else mask[:burn_in]
        _, state = run(_stretch(xs, 0, burn_in), burn_in, state, mask=warm_up, outs={})
        state = jax.lax.stop_gradient(state)
        steps -= burn_in
        xs, mask = _stretch(xs, burn_in, steps), None if mask is None else mask[burn_in:]
    outs = {(path, i): r for path, given in wanted.items() for i, r in enumerate(as_tuple(given))}
    results, state = run(xs, steps, state, mask=mask, outs=outs)
    found = {
        path: tuple(results[path, i] for i in range(len(given))) if isinstance(given, tuple) else results[path, 0]
        for path, given in wanted.items()
    }
    return found.pop(_OUTPUTS), state, found


def _check_inputs(cell: AbstractCell, xs: Inputs, mask: Array | None) -> tuple[int, Any]:
    """Number of steps, and the shape of one; by name where there are several inputs."""
    if isinstance(xs, Mapping):
        found = {name: _check_inputs(cell, x, mask) for name, x in xs.items()}
        lengths = {name: steps for name, (steps, _) in found.items()}
        if len(set(lengths.values())) != 1:
            raise ShapeError(f"simulate: xs has inputs of {lengths} steps; expected as many of each.")
        return next(iter(lengths.values())), {name: shape for name, (_, shape) in found.items()}
    if isinstance(xs, AbstractInputs):
        steps, shape = xs.num_steps, xs.sample_shape
        dense = jax.eval_shape(xs.dense)
        if dense.shape != (steps, *shape):
            raise ShapeError(
                f"simulate: xs is a {type(xs).__name__} of {describe(dense)}, expected one example"
                f" {[steps, *shape]}; use jax.vmap over a batch."
            )
    else:
        check_float("simulate", "xs", xs, cell_dtype(cell))
        if xs.ndim == 0:
            raise ShapeError(f"simulate: xs is {describe(xs)}; expected [time, *features], time first.")
        steps, shape = xs.shape[0], tuple(xs.shape[1:])
    if steps == 0:
        raise ShapeError("simulate: xs has no time step.")
    if mask is not None and mask.shape != (steps,):
        raise ShapeError(f"simulate: mask is {describe(mask)}; expected bool[{steps}], one entry a time step.")
    return steps, shape


def _stretch(xs: Inputs, start: "int | Array", size: int) -> Any:
    """`size` steps from `start` on. Sliced where it is used, not cut up beforehand: under vmap that would copy."""
    if isinstance(xs, Mapping):
        return {name: _stretch(x, start, size) for name, x in xs.items()}
    if isinstance(xs, AbstractInputs):
        return xs.stretch(start, size)
    return jax.lax.dynamic_slice_in_dim(xs, start, size)


def _taken(cell: AbstractCell, xs: Inputs, dtype: jnp.dtype) -> Any:
    """A compact layout as it is if the cell takes it, else dense."""
    if isinstance(xs, Mapping):
        return {name: x.dense(dtype) if isinstance(x, AbstractInputs) else x for name, x in xs.items()}
    return xs.dense(dtype) if isinstance(xs, AbstractInputs) and not cell.takes(xs) else xs


# What `jax.checkpoint` keeps of a chunk; None: without it, all.
_POLICIES: dict[Keep, Callable[..., Any] | None] = {
    "borders": jax.checkpoint_policies.nothing_saveable,
    "membranes": save_saveables,
    "all": None,
}


def _run(
    cell: AbstractCell,
    xs: Inputs,
    steps: int,
    state: State,
    *,
    key: Key[Array, ""] | None,
    mask: Array | None,
    chunk: int | None,
    keep: Keep | None,
    truncate: int | None,
    outs: dict[tuple[str, int], AbstractReduction],
) -> tuple[dict[tuple[str, int], PyTree], State]:
    """The chunked, rematerialised loop; every output is a reduction of the trace at a path.

    Forward, the loop carries the state and the reductions so far. Backward, the carry at the start of each chunk has been
    kept, and what happens within a chunk is computed again from there (less what the policy keeps).
    """
    size = chunk_size(cell, steps, chunk, truncate)
    count, rest = divmod(steps, size)
    if size == steps:  # one chunk is all of time: nothing to scan, nothing to compute again
        count, rest = 0, steps
    taps: Taps = tuple(dict.fromkeys(path for path, _ in outs if path != _OUTPUTS))
    dtype = cell_dtype(cell)
    policy = _POLICIES[default_keep(cell, xs) if keep is None else keep]

    def traces(xs: PyTree, state: State, mask: Array | None) -> tuple[dict[str, PyTree], State]:
        ys, state, tapped = cell.over_time(_taken(cell, xs, dtype), state, key=key, mask=mask, taps=taps)
        return {_OUTPUTS: ys} | tapped, state

    def of_each(path: str, reduce: Callable, *trees: PyTree) -> PyTree:
        """A reduction of a trace, or of each of several outputs."""
        return jax.tree.map(lambda _, *parts: reduce(*parts), steps_of[path], *trees)

    def advance(carry: PyTree, start: "int | Array", size: int) -> tuple[PyTree, PyTree]:
        """One chunk, from step `start` on."""
        state, reduced = carry
        if truncate is not None:  # a multiple of the chunk: gradients are cut at the borders of chunks alone
            cut = (start > 0) & (start % truncate == 0)
            state = jax.tree.map(lambda s: jnp.where(cut, jax.lax.stop_gradient(s), s), state)
        live = None if mask is None else jax.lax.dynamic_slice_in_dim(mask, start, size)
        found, state = traces(_stretch(xs, start, size), state, live)
        times = start + jnp.arange(size, dtype=jnp.int32)
        # What is stacked leaves the scan as its output; all else is folded into the carry, and no trace is ever whole.
        stacked = {out: found[out[0]] for out, r in outs.items() if r.stacks}
        reduced = {
            out: of_each(out[0], lambda red, seen, r=r: r.step(red, seen, times, live), reduced[out], found[out[0]])
            for out, r in outs.items()
        }
        return (state, reduced), stacked

    # Under shard_map the carry has to begin with the type that the loop gives it, see `varying_like`.
    given = (cell, xs, state, key, mask)
    state = varying_like(state, *given)
    counted = jnp.asarray(steps) if mask is None else jnp.sum(mask)
    # A stretch of length one, traced for its shapes and never run, tells what one step of each trace looks like.
    like = jax.eval_shape(traces, _stretch(xs, 0, 1), state, None if mask is None else mask[:1])[0]
    steps_of = jax.tree.map(lambda trace: jax.ShapeDtypeStruct(trace.shape[1:], trace.dtype), like)
    first = {out: of_each(out[0], lambda one, r=r: r.init(one, counted), steps_of[out[0]]) for out, r in outs.items()}
    carry = (state, varying_like(first, *given))

    stacks = []
    if count:
        one_chunk = functools.partial(advance, size=size)
        # A scan's backward pass is a loop of its own, so that nothing computed again can be merged with its first time:
        # the barriers against that (prevent_cse) would only keep XLA from fusing.
        body = one_chunk if policy is None else jax.checkpoint(one_chunk, prevent_cse=False, policy=policy)
        carry, stacked = jax.lax.scan(body, carry, size * jnp.arange(count, dtype=jnp.int32))
        stacks.append(jax.tree.map(lambda s: s.reshape(-1, *s.shape[2:]), stacked))
    if rest:  # a shorter chunk behind the others, outside of the scan, or all of time
        the_rest = functools.partial(advance, start=steps - rest, size=rest)
        again = policy is not None and count > 0
        carry, stacked = (jax.checkpoint(the_rest, policy=policy) if again else the_rest)(carry)
        stacks.append(stacked)
    state, reduced = carry
    whole = jax.tree.map(lambda *parts: parts[0] if len(parts) == 1 else jnp.concatenate(parts), *stacks)
    return {out: whole[out] if r.stacks else of_each(out[0], r.finish, reduced[out]) for out, r in outs.items()}, state
