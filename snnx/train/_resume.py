"""To go on where a run left off: from its checkpoint, or from what it returned."""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from snnx._errors import CheckpointError
from snnx.train._checkpoint import described_leaves, difference, read, read_leaves, rebuilt
from snnx.train._results import AbstractResult
from snnx.train._states import EvolveState, TrainState

_State = TypeVar("_State", TrainState, EvolveState)

# Which argument of a trainer makes which part of its state
ARGUMENTS = {".model": "model", ".params": "params", ".opt_state": "optimizer", ".best": "validation", ".key": "key"}


def resumed(
    where: str,
    resume: str | os.PathLike | AbstractResult | None,
    fresh: _State,
    settings: dict[str, Any],
    *,
    unit: str,
    free: Collection[str] = (),
) -> tuple[_State, list[dict[str, Any]]]:
    """The state to start from, and the figures of all that was done before.

    **Arguments:** `fresh`: the state of a run that starts anew; `unit`: the setting that counts epochs or generations, those
    done before included; `free`: other settings that need not be those of the run that is resumed.

    **Raises:** `CheckpointError`, naming the first argument that differs from that run's; `ValueError` if that run has done
    more than this call asks for.
    """
    if resume is None:
        return fresh, []
    leaves, described = described_leaves(fresh)
    past = _past(resume)
    if past.described.get(":class") != described[":class"]:
        raise CheckpointError(f"{where}: resume holds no {type(fresh).__name__}; pass what {where} itself has made.")
    for name, value in settings.items():
        # As JSON has them, in which a file keeps them: lists and tuples are the same.
        if name not in (unit, *free) and json.dumps(past.settings.get(name)) != json.dumps(value):
            raise CheckpointError(
                f"{where}: resume was made with {name}={past.settings.get(name)}, but this call has {name}={value}; pass the"
                " arguments of that run, or start anew from what it has found."
            )
    found = difference(described, past.described)
    if found is not None:
        name, here, there = found
        argument = next((argument for part, argument in ARGUMENTS.items() if name.startswith(part)), "model")
        raise CheckpointError(
            f"{where}: resume was made with another {argument}: {name} is {there} there, but {here} here; pass the one of"
            " that run."
        )
    state = rebuilt(fresh, past.arrays(leaves))
    if not jnp.array_equal(jax.random.key_data(state.key), jax.random.key_data(fresh.key)):
        raise CheckpointError(f"{where}: resume was made with another key; pass the key of that run.")
    done, _ = state.place
    if done > settings[unit]:
        raise ValueError(
            f"{where}: {unit} is {settings[unit]}, but resume has done {done} already; {unit} counts those too."
        )
    return state, list(past.history)


class _Past(NamedTuple):
    """What is known of a run: `described` is the structure of its state; `arrays` are those of it by their paths, of the kind
    that another state has there."""

    settings: dict[str, Any]
    history: Sequence[dict[str, Any]]
    described: dict[str, Any]
    arrays: Callable[[dict[str, Any]], dict[str, Any]]


def _past(resume: str | os.PathLike | AbstractResult) -> _Past:
    if isinstance(resume, AbstractResult):
        leaves, described = described_leaves(resume.state)
        arrays = {name: leaf for name, leaf in leaves.items() if eqx.is_array(leaf)}
        return _Past(resume.settings, resume.history, described, lambda like: arrays)
    header, entries = read(pathlib.Path(resume))
    meta, arrays_like = header["meta"], functools.partial(read_leaves, header, entries)
    return _Past(meta.get("settings", {}), meta.get("history", ()), header["leaves"], arrays_like)
