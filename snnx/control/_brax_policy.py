import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe, missing_extra
from snnx._typing import Count
from snnx.cells import AbstractCell, cell_dtype
from snnx.control._policy import Policy
from snnx.parameters import combine, partition


@checked
def as_brax_policy(
    model: AbstractCell, ticks: Count, *, preprocess: Callable[[Array, PyTree], Array] | None = None
) -> Any:
    """A network as the policy network of Brax's trainers: a `brax.training.networks.FeedForwardNetwork`.

    ```python
    def make_networks(observation_size, action_size, preprocess_observations_fn):
        return ppo_networks.PPONetworks(
            policy_network=snnx.control.as_brax_policy(model, ticks=8, preprocess=preprocess_observations_fn),
            value_network=brax.training.networks.make_value_network(observation_size, preprocess_observations_fn),
            parametric_action_distribution=distribution.NormalTanhDistribution(event_size=action_size),
        )
    ```

    Two limits, of which a warning reminds:

    - That interface has no place for a state: the neurons start anew at every step of the environment, and have only its
        `ticks`. With `rollout` they go on; `benchmarks/ppo.py` is a PPO on top of it.
    - `brax.training` 0.14.2 calls `jax.device_put_replicated`, which JAX no longer has since 0.10: its trainers fail there,
        whatever the policy. Brax's environments work.

    **Arguments:**
    - `model`: a cell with as many outputs as the action distribution has parameters (two an action, for a
        `NormalTanhDistribution`). Its output at the last tick counts.
    - `ticks`: steps of the network for one observation.
    - `preprocess`: Brax's normaliser of observations, of an observation and its own parameters.

    **Returns:** an object with `init(key) -> params` and `apply(processor_params, params, obs)`, of observations with any
    leading axes.

    **Raises:** `MissingExtraError` without Brax; `TypeError`, `ValueError` as `Policy`; `ShapeError` for dicts of observations.
    """
    try:
        from brax.training.networks import FeedForwardNetwork  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        missing_extra("as_brax_policy", "brax", "brax", error)
    policy = Policy(eqx.nn.inference_mode(model), ticks=ticks)
    warnings.warn(
        "as_brax_policy: the neurons start anew at every step of the environment, because Brax's networks keep no"
        " state; snnx.rollout keeps it. Brax 0.14.2's own trainers need jax.device_put_replicated, which JAX no longer has"
        " since 0.10.",
        stacklevel=3,
    )
    params, rest = partition(policy)

    def apply(processor_params: PyTree, params: PyTree, obs: Array) -> Array:
        if not hasattr(obs, "shape"):
            raise ShapeError(f"as_brax_policy: obs is {describe(obs)}; expected an array, not several by name.")
        obs = obs if preprocess is None else preprocess(obs, processor_params)
        cell = combine(params, rest)
        flat = jnp.reshape(obs, (-1, obs.shape[-1])).astype(cell_dtype(cell))
        logits = jax.vmap(lambda x: cell(x, cell.init_state(x.shape))[0])(flat)
        return jnp.reshape(logits, (*obs.shape[:-1], *logits.shape[1:]))

    return FeedForwardNetwork(init=lambda key: params, apply=apply)
