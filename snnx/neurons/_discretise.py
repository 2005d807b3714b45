"""From a differential equation to a step: one vocabulary, `"exponential" | "euler" | "exact"`."""

import math
from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
from jaxtyping import Array

from snnx.parameters import Parameter, at_least_float32, known, value

Method: TypeAlias = Literal["exponential", "euler", "exact"]
METHODS: tuple[Method, ...] = get_args(Method)


def relaxation(tau: Parameter, dt: float, method: Method) -> "float | Array":
    r"""The share $\lambda$ of the way to rest that one step covers.

    $$ \lambda = 1 - e^{-\Delta t / \tau}\ (\texttt{exponential}, \texttt{exact}), \qquad
       \lambda = \Delta t / \tau\ (\texttt{euler}) $$

    A constant `tau` gives a Python number, an array an array of at least float32.
    """
    tau = value(tau)
    if isinstance(tau, (int, float)):
        return dt / tau if method == "euler" else -math.expm1(-dt / tau)
    tau = at_least_float32(tau)
    return dt / tau if method == "euler" else -jnp.expm1(-dt / tau)


def gain(r: Parameter | None, lam: "float | Array") -> "float | Array":
    """What one step makes of an input: `1` where `r` is None (a voltage step), else `lam * r`."""
    return 1.0 if r is None else lam * value(r)


def exact_pair_gain(tau_mem: Parameter, tau_syn: Parameter, r: Parameter | None, dt: float) -> "float | Array":
    r"""What one step makes of the current $i$ at its start, when $i$ decays within the step.

    $$ g = r\, \frac{\tau_s}{\tau_s - \tau_m} \left(e^{-\Delta t/\tau_s} - e^{-\Delta t/\tau_m}\right)
         = r\, a\, e^{-\min(a, b)} \varphi(|a - b|), \quad
       a = \Delta t/\tau_m,\ b = \Delta t/\tau_s,\ \varphi(z) = (1 - e^{-z})/z $$

    The second form neither divides by zero at equal time constants nor overflows at any. Where `r` is None it stands for
    $1/\lambda_m$, as everywhere. Source: Rotter & Diesmann, Biol. Cybern. 81 (1999).
    """
    a, b = (dt / at_least_float32(jnp.asarray(value(tau), dtype=None)) for tau in (tau_mem, tau_syn))
    slower, faster = jnp.where(a < b, a, b), jnp.where(a < b, b, a)
    z = faster - slower
    small = z < 1e-4
    safe = jnp.where(small, 1.0, z)
    phi = jnp.where(small, 1.0 - z / 2.0 + z * z / 6.0, -jnp.expm1(-safe) / safe)
    resistance = -1.0 / jnp.expm1(-a) if r is None else value(r)
    return resistance * a * jnp.exp(-slower) * phi


def check_euler(where: str, method: Method, dt: float, **taus: Parameter) -> None:
    """Refuse forward Euler with a time constant of half a step or less, where each step overshoots by more than the last."""
    for name, tau in taus.items() if method == "euler" else ():
        numbers = known(tau)
        if numbers is not None and numbers.size and numbers.min() <= dt / 2:
            raise ValueError(
                f"{where}: {name} is {numbers.min():g} and dt is {dt:g}: forward Euler is unstable where tau <= dt/2; take"
                " method='exponential' or a smaller dt."
            )
