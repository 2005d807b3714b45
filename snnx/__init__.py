"""snnx: spiking neural networks in JAX, as pure step functions with an explicit state.

The names that most programs need are here; everything else is in its room. Names and rooms are loaded when they are first
used, so that `import snnx` costs next to nothing. What editors and type checkers read is `__init__.pyi`.

From the ground up:

- `snnx.parameters`: constants, learned arrays, constraints.
- `snnx.surrogates`: spike functions and their pseudo derivatives.
- `snnx.reductions`: what becomes of a trace over time.
- `snnx.inputs`: compact layouts of input sequences.
- `snnx.cells`: the contract that neurons and containers keep.
- `snnx.neurons`, `snnx.layers`: the cells themselves.
- `snnx.simulation`: time.
- `snnx.data`, `snnx.encoding`, `snnx.audio`, `snnx.augment`: what goes in.
- `snnx.losses`, `snnx.metrics`: what is asked of what comes out.
- `snnx.nir`: graphs from and for other frameworks and hardware.
- `snnx.event`: networks in continuous time, from spike to spike.
- `snnx.solvers`: by gradient or by evolution.
- `snnx.train`: training, evolution, evaluation, checkpoints.
- `snnx.control`: networks that act: environments, policies, rollouts.
- `snnx.plot`: pictures (extra `plot`; matplotlib is imported when one is drawn).
"""

import importlib
from typing import Any

from snnx._version import __version__

_ROOMS = (
    "audio",
    "augment",
    "cells",
    "control",
    "data",
    "encoding",
    "event",
    "inputs",
    "layers",
    "losses",
    "metrics",
    "neurons",
    "nir",
    "parameters",
    "plot",
    "reductions",
    "simulation",
    "solvers",
    "surrogates",
    "train",
)
_HOMES = {
    "snnx._errors": (
        "CheckpointError",
        "DataError",
        "DataLossWarning",
        "DtypeError",
        "MissingExtraError",
        "NIRError",
        "NonFiniteError",
        "ShapeError",
    ),
    "snnx.cells": (
        "AbstractCell",
        "cast",
        "with_dt",
    ),
    "snnx.control": (
        "Environment",
        "Policy",
        "rollout",
    ),
    "snnx.data": ("SpikeDataset",),
    "snnx.layers": (
        "Delay",
        "Flatten",
        "Graph",
        "Parallel",
        "Recurrent",
        "Residual",
        "Sequential",
        "fluctuation_driven",
        "summary",
        "with_gradient",
    ),
    "snnx.losses": (
        "MSE",
        "CrossEntropy",
        "FirstSpikeCrossEntropy",
        "StepCrossEntropy",
        "UpperRate",
    ),
    "snnx.neurons": (
        "ALIF",
        "IF",
        "LI",
        "LIF",
        "AdLIF",
        "CubaLI",
        "CubaLIF",
        "EventProp",
        "Integrator",
        "NoReset",
        "SubtractReset",
        "ValueReset",
    ),
    "snnx.parameters": (
        "Bounded",
        "Frozen",
        "Positive",
        "combine",
        "partition",
        "trainable",
        "value",
    ),
    "snnx.reductions": (
        "FirstSpike",
        "Last",
        "Max",
        "Mean",
        "Stack",
        "Sum",
    ),
    "snnx.simulation": ("simulate",),
    "snnx.train": (
        "Checkpoint",
        "EarlyStopping",
        "evaluate",
        "evolve",
        "fit",
        "fit_ensemble",
        "load_checkpoint",
        "save_checkpoint",
        "use_cores",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "__version__",
    *_ROOMS,
    *_HOME_OF,
]


def __getattr__(name: str) -> Any:
    """Load a name or a room when it is first asked for (PEP 562), and keep it."""
    if name in _ROOMS:
        found = importlib.import_module(f"snnx.{name}")
    elif name in _HOME_OF:
        found = getattr(importlib.import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'snnx' has no attribute {name!r}.{_where_it_is(name)}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


def _where_it_is(name: str) -> str:
    """The room that has a name of this spelling, or the nearest name at the top."""
    import difflib

    if name.startswith("_"):
        return ""
    rooms = [room for room in _ROOMS if name in importlib.import_module(f"snnx.{room}").__all__]
    lower = {other.lower(): other for other in __all__}
    near = [f"snnx.{room}.{name}" for room in rooms] or [
        f"snnx.{lower[other]}" for other in difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
    ]
    return f" Did you mean {' or '.join(near)}?" if near else ""
