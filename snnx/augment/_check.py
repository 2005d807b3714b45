"""What augmentations refuse: numbers, layouts, shapes, partners."""

import math
from typing import Any

import jax

from snnx._errors import ShapeError, describe
from snnx.inputs import AbstractInputs


def check_whole(where: str, name: str, number: Any, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"{where}: {name} is {number!r}, expected a whole number >= {least}.")


def check_number(where: str, name: str, number: Any, least: float, most: float = math.inf) -> None:
    """Refuse what is not a finite number between two others."""
    fits = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    if not fits or not least <= number <= most:
        kind = f"a number >= {least:g}" if math.isinf(most) else f"a number in [{least:g}, {most:g}]"
        raise ValueError(f"{where}: {name} is {number!r}, expected {kind}.")


def check_positive(where: str, name: str, number: Any) -> None:
    """Refuse what is not a finite number above 0."""
    check_number(where, name, number, 0.0)
    if number == 0:
        raise ValueError(f"{where}: {name} is {number!r}, expected a number > 0.")


def check_vector(where: str, inputs: AbstractInputs, instead: str) -> None:
    """Refuse images."""
    if len(inputs.sample_shape) != 1:
        raise ShapeError(
            f"{where}: one step has shape {inputs.sample_shape}, expected a vector, (channels,); for images: {instead}."
        )


def check_image(where: str, inputs: AbstractInputs) -> None:
    """Refuse vectors."""
    if len(inputs.sample_shape) < 2:
        raise ShapeError(
            f"{where}: one step has shape {inputs.sample_shape}, expected an image, (..., height, width); a vector has no"
            " rows and columns."
        )


def check_window(where: str, name: str, size: int, room: int, what: str) -> None:
    """Refuse a window that is larger than what it is a part of."""
    if size > room:
        raise ValueError(f"{where}: {name} is {size}, but an example has {room} {what}; expected at most as many.")


def check_partner(where: str, inputs: AbstractInputs, partner: AbstractInputs) -> None:
    """Refuse a partner of another layout or shape."""
    same = jax.tree.structure(inputs) == jax.tree.structure(partner)
    arrays = [[(x.shape, x.dtype) for x in jax.tree.leaves(example)] for example in (inputs, partner) if same]
    if not same or arrays[0] != arrays[1]:
        raise ShapeError(
            f"{where}: partner is {describe_inputs(partner)}, but inputs is {describe_inputs(inputs)}; mix examples of one"
            " data set, changed by the same augmentations."
        )


def describe_inputs(inputs: AbstractInputs) -> str:
    """Layout, steps, shape of a step, and arrays, in the words of an error message."""
    arrays = ", ".join(describe(x) for x in jax.tree.leaves(inputs))
    return f"{type(inputs).__name__} of {inputs.num_steps} steps of {tuple(inputs.sample_shape)}, {arrays}"
