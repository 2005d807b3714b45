from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, PyTree

from snnx._checks import checked
from snnx._typing import Count
from snnx.cells import AbstractCell, State, Taps, cell_dtype, keep_where, taps_of_child, with_prefix, zero_where_masked


class PolicyState(eqx.Module):
    """The state of a `Policy`: that of its network, and how many steps of the environment it took."""

    network: State
    step: Int[Array, ""]


@checked
class Policy(AbstractCell):
    r"""A network that acts: one step of it is one step of the environment, and several ticks of the network.

    $$ x_k = \text{encoder}(o), \qquad y_k, n \leftarrow \text{network}(x_k, n), \qquad
       d_k = \text{decoder}(y_k), \qquad k = 1, \ldots, K; \qquad a = \text{action}(d_K) $$

    The network's state $n$ goes on from one step of the environment to the next. Encoder and decoder start anew at
    every step: they are a code for one observation, and one action.

    ```python
    network = snnx.Sequential([eqx.nn.Linear(4, 32, key=k1), snnx.LIF(tau=4.0), eqx.nn.Linear(32, 2, key=k2), snnx.LI(tau=4.0)])
    policy = snnx.Policy(network, ticks=4, action=jnp.argmax)       # membranes of a readout, the higher one chosen

    policy = snnx.Policy(
        snnx.Sequential([eqx.nn.Linear(32, 16, key=k1), snnx.LIF()]),
        ticks=8,
        encoder=snnx.control.PopulationEncoder(low=(-2.4, -3.0, -0.2, -3.0), high=(2.4, 3.0, 0.2, 3.0), fields=8),
        decoder=snnx.control.PopulationVectorDecoder(jnp.linspace(-1.0, 1.0, 16)),
    )
    ```

    **Arguments:**
    - `network`: any cell.
    - `ticks`: $K$, steps of the network for one of the environment.
    - `encoder`: a cell that sees the observation at every tick, such as `RateEncoder`; without one the observation is the
        network's input as it is, a constant current.
    - `decoder`: a cell that sees the network's output at every tick, and whose last output counts: `RateDecoder`,
        `FirstSpikeDecoder`, `PopulationVectorDecoder`; or an `LI` or `Integrator` of its own, a membrane. Without one it is
        the network's last output.
    - `action`: a function of that, e.g. `jnp.argmax` or `jnp.tanh`.

    `record` of a rollout finds the parts as `"network"`, `"encoder"`, `"decoder"`, and what is in them, always with an axis
    of ticks: `record=["network.1"]` gives `[steps, ticks, *shape]`. A raster of it is one over ticks:
    `snnx.plot.raster(record["network.1"].reshape(steps * ticks, -1))`.

    A random encoder, or network in training mode, needs a key; every step of the environment has noise of its own.

    **Raises:** `ValueError` for other `ticks` than those of encoder or decoder; `TypeError` for parts that are not cells (wrap
    callables: `snnx.Sequential([...])`).
    """

    spikes: ClassVar[bool] = False

    network: AbstractCell
    encoder: AbstractCell | None = eqx.field(default=None, kw_only=True)
    decoder: AbstractCell | None = eqx.field(default=None, kw_only=True)
    action: Callable[[Array], Any] | None = eqx.field(default=None, kw_only=True)
    ticks: Count = eqx.field(static=True, default=1, kw_only=True)

    def __check_init__(self):
        for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            if getattr(part, "ticks", self.ticks) != self.ticks:
                raise ValueError(
                    f"Policy: ticks is {self.ticks}, but the {name} was made for {part.ticks}; give both the same."  # pyright: ignore
                )

    def children(self) -> dict[str, PyTree]:
        parts = {"encoder": self.encoder, "network": self.network, "decoder": self.decoder}
        return {name: part for name, part in parts.items() if part is not None}

    def init_state(self, shape: Any) -> PolicyState:
        if self.encoder is not None:
            encoder, dtype = self.encoder, cell_dtype(self)
            x = jax.tree.map(lambda s: jnp.zeros(s, dtype), shape, is_leaf=lambda node: isinstance(node, tuple))
            shape = _shape(jax.eval_shape(lambda x: encoder(x, encoder.init_state(shape), key=_some_key(None))[0], x))
        return PolicyState(self.network.init_state(shape), jnp.zeros((), jnp.int32))

    def __call__(self, x: PyTree, state: PolicyState, *, key: Key[Array, ""] | None = None) -> tuple[Any, PolicyState]:
        y, state, _ = self._act(x, state, key, ())
        return y, state

    def over_time(
        self,
        xs: PyTree,
        state: PolicyState,
        *,
        key: Key[Array, ""] | None = None,
        mask: Bool[Array, "time"] | None = None,
        taps: Taps = (),
    ) -> tuple[Any, PolicyState, dict[str, Array]]:
        def step(state: PolicyState, inputs: PyTree) -> tuple[PolicyState, PyTree]:
            x, live = inputs
            y, new, seen = self._act(x, state, key, taps)
            y, seen = zero_where_masked(live, (y, seen))
            return keep_where(live, new, state), (y, seen)

        state, (ys, tapped) = jax.lax.scan(step, state, (xs, mask))
        return ys, state, tapped

    def _act(
        self, x: PyTree, state: PolicyState, key: Array | None, taps: Taps
    ) -> tuple[Any, PolicyState, dict[str, Array]]:
        """One step of the environment, with what was asked of the parts at its ticks."""
        # Tick by tick, not layer by layer: for a population of small networks that takes half the time.
        parts = self.children()
        # A key for each part: the network's is the same at every step, as a sequence's is, the others' is the step's.
        keys = dict.fromkeys(parts)
        if key is not None:
            keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(("encoder", "network", "decoder"))}
            keys |= {name: jax.random.fold_in(keys[name], state.step) for name in ("encoder", "decoder")}
        states = {"network": state.network}
        seen_by = x
        if (encoder := self.encoder) is not None:
            states["encoder"] = encoder.init_state(_shape(x))
            seen_by = jax.eval_shape(lambda x: encoder(x, states["encoder"], key=_some_key(keys.get("encoder")))[0], x)
        if self.decoder is not None:
            given = jax.eval_shape(lambda x: self.network(x, state.network, key=_some_key(key))[0], seen_by)
            states["decoder"] = self.decoder.init_state(_shape(given))

        def tick(states: dict[str, State], _: None) -> tuple[dict[str, State], PyTree]:
            value, new, tapped = x, dict(states), {}
            for name, part in parts.items():
                wanted = taps_of_child(taps, name)
                if wanted:
                    one = jax.tree.map(lambda v: v[None], value)
                    ys, new[name], seen = part.over_time(one, states[name], key=keys[name], taps=wanted)
                    value = jax.tree.map(lambda y: y[0], ys)
                    tapped |= with_prefix(name, jax.tree.map(lambda trace: trace[0], seen))
                else:
                    value, new[name] = part(value, states[name], key=keys[name])
            return new, (value, tapped)

        if self.ticks == 1:
            states, (y, tapped) = tick(states, None)
            tapped = jax.tree.map(lambda trace: trace[None], tapped)
        else:
            states, (ys, tapped) = jax.lax.scan(tick, states, None, length=self.ticks)
            y = jax.tree.map(lambda all: all[-1], ys)
        y = y if self.action is None else self.action(y)
        if "" in taps:
            tapped[""] = y
        return y, PolicyState(states["network"], state.step + 1), tapped


def _shape(x: PyTree) -> Any:
    return jax.tree.map(lambda o: o.shape, x)


def _some_key(key: Array | None) -> Array:
    """A key for working out shapes, where no number is drawn."""
    return jax.random.key(0) if key is None else key
