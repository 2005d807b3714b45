"""The networks of the command line: layers with neurons between them, read out by a leaky integrator."""

import dataclasses
import itertools
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

import snnx
from snnx.cli._settings import Config
from snnx.neurons import LI, CubaLI, CubaLIF, EventProp, ValueReset

KERNEL, POOL = 5, 2
MOMENT, READOUT = 0.005, 0.2  # seconds; the best of five pairs on FSDD's validation splits
TAU_MEM, TAU_SYN = 0.02, 0.005  # seconds; of the recurrent network, its readout included
INPUT_RATE = 10.0  # Hz; then hidden neurons fire 5 to 30 times a second at the start, which exact gradients need


def dense(
    config: Config, shape: tuple[int, ...], classes: int, key: Array, *, dropout: float | None = None
) -> snnx.Sequential:
    """Linear layers; with `dropout`, that share of a layer's neurons is silenced in training."""
    widths = (shape[0], *config.hidden)
    keys = jax.random.split(key, len(widths))
    neuron, readout = _cells(config)
    layers: list[Any] = []
    for fan_in, fan_out, sub in zip(widths[:-1], widths[1:], keys[:-1], strict=True):
        layers += [eqx.nn.Linear(fan_in, fan_out, key=sub), neuron]
        layers += [] if dropout is None else [eqx.nn.Dropout(dropout)]
    return snnx.Sequential([*layers, eqx.nn.Linear(widths[-1], classes, key=keys[-1]), readout])


def convolutional(config: Config, shape: tuple[int, ...], classes: int, key: Array) -> snnx.Sequential:
    """Convolutions of 5 x 5 pixels, whose spikes are summed over 2 x 2 pixels; then a linear layer.

    **Raises:** `ValueError` for more convolutions than the picture has room for.
    """
    planes, height, width = shape
    keys = jax.random.split(key, len(config.hidden) + 1)
    neuron, readout = _cells(config)
    layers: list[Any] = []
    for number, (maps, sub) in enumerate(zip(config.hidden, keys[:-1], strict=True)):
        size = tuple((side - KERNEL + 1) // POOL for side in (height, width))
        if min(size) < 1:
            raise ValueError(
                f"--hidden names {len(config.hidden)} convolutions, but {number} of them leave {height} x {width} pixels,"
                f" too few for another of {KERNEL} x {KERNEL}; name fewer."
            )
        layers += [eqx.nn.Conv2d(planes, maps, KERNEL, key=sub), neuron, snnx.layers.SumPool2d(POOL)]
        planes, (height, width) = maps, size
    linear = eqx.nn.Linear(planes * height * width, classes, key=keys[-1])
    return snnx.Sequential([*layers, snnx.Flatten(), linear, readout])


def recurrent(
    config: Config, shape: tuple[int, ...], classes: int, key: Array, *, spread: float = 0.1
) -> snnx.Sequential:
    """Recurrent layers whose neurons follow their equations within a step, so that their gradient can be exact.

    `spread`: standard deviation of the readout's membranes at the start. Summed over time they are the scores, and large
    scores at the start lead to updates that silence the hidden neurons.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural networks
    (2025): time constants, reset to 0, one recurrent layer. There the weights' initial scales were searched for.

    **Raises:** `ValueError` for settings without a `dt`.
    """
    if config.dt is None:
        raise ValueError("recurrent: dt is None; its time constants are in seconds, expected seconds per step.")
    widths, dt = (shape[0], *config.hidden), config.dt
    key_hidden, key_readout, *keys = jax.random.split(key, 3 + 2 * len(config.hidden))
    gradient = EventProp() if config.gradient == "eventprop" else None
    surrogate = {} if config.surrogate is None else {"surrogate": _surrogate(config.surrogate)}
    # With subtraction a membrane could be above its threshold right after a spike: the next has no time to move.
    neuron = CubaLIF(TAU_MEM, TAU_SYN, reset=ValueReset(), gradient=gradient, method="exact", dt=dt, **surrogate)
    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        feedback = eqx.nn.Linear(fan_out, fan_out, use_bias=False, key=keys.pop())
        layers += [eqx.nn.Linear(fan_in, fan_out, key=keys.pop()), snnx.Recurrent(neuron, feedback)]
    hidden = snnx.fluctuation_driven(snnx.Sequential(layers), rate=INPUT_RATE, key=key_hidden)
    readout = CubaLI(TAU_MEM, TAU_SYN, method="exact", dt=dt)
    linear = eqx.nn.Linear(widths[-1], classes, key=keys.pop())
    linear = snnx.fluctuation_driven(linear, readout, rate=INPUT_RATE, sigma=spread, key=key_readout)
    return snnx.Sequential([*hidden.layers, linear, readout])


def _cells(config: Config) -> tuple[snnx.AbstractCell, snnx.AbstractCell]:
    """The neuron of the hidden layers, and the readout.

    Where steps have a duration, the default time constants of the neurons, which are in steps, are taken times 5 ms: 100 ms
    for `LIF`. That of the readout is 200 ms.
    """
    surrogate, kind = _surrogate(config.surrogate or "ATan"), getattr(snnx.neurons, config.neuron or "LIF")
    if config.dt is None:
        return kind(surrogate=surrogate), LI()
    names = [field.name for field in dataclasses.fields(kind) if field.name.startswith("tau")]
    seconds: dict[str, Any] = {name: MOMENT * getattr(kind, name) for name in names}
    return kind(surrogate=surrogate, dt=config.dt, **seconds), LI(tau=READOUT, dt=config.dt)


def _surrogate(name: str) -> Any:
    return getattr(snnx.surrogates, name)()
