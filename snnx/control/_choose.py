from typing import Any

from snnx._errors import describe
from snnx.control._brax import from_brax, is_brax
from snnx.control._environment import Environment
from snnx.control._gymnax import from_gymnax, is_gymnax


def as_environment(given: Any) -> Environment:
    """An environment from what the user gave: one of ours, of Gymnax, of Brax or alike, or a pair of functions."""
    if isinstance(given, Environment):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        if is_gymnax(given[0]) and not callable(given[1]):  # what gymnax.make gives
            return from_gymnax(*given)
        if all(map(callable, given)):
            return Environment(*given)
    if is_brax(given):
        return from_brax(given)
    if is_gymnax(given):
        return from_gymnax(given)
    raise TypeError(
        f"rollout: env is {describe(given)}; expected an environment of Gymnax or Brax (snnx.control.from_gymnax(name),"
        " from_brax(name)), or two functions: snnx.control.Environment(reset, step)."
    )
