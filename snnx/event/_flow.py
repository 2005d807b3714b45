"""Between events: membrane and current in closed form, and when the membrane gets to its threshold."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

_NEWTON = {jnp.dtype("float64"): 12}  # steps; of other dtypes 8
_SERIES = 1e-3


def response(span: Array, tau_mem: Array, tau_syn: Array) -> Array:
    r"""What a current of 1, decaying with `tau_syn`, makes of a membrane at rest after `span`.

    $$ K(\Delta) = \frac{\tau_s}{\tau_s - \tau_m} \left(e^{-\Delta/\tau_s} - e^{-\Delta/\tau_m}\right)
                 = a\, \frac{e^{-b} - e^{-a}}{a - b} = a\, e^{-(a + b)/2}\, \frac{\sinh(z/2)}{z/2}, \quad
       a = \Delta/\tau_m,\ b = \Delta/\tau_s,\ z = a - b $$

    The last form where $z$ is small, as a series: smooth at equal time constants.
    """
    a, b = span / tau_mem, span / tau_syn
    z = a - b
    small = jnp.abs(z) < 0.5
    x = jnp.where(small, z * z / 4.0, 0.0)
    series = 1.0 + x / 6.0 * (1.0 + x / 20.0 * (1.0 + x / 42.0 * (1.0 + x / 72.0 * (1.0 + x / 110.0))))
    apart = (jnp.exp(-b) - jnp.exp(-a)) / jnp.where(small, 1.0, z)
    return a * jnp.where(small, jnp.exp(-(a + b) / 2.0) * series, apart)


def time_of_extremum(u: Array, drive: Array, tau_mem: Array, tau_syn: Array) -> Array:
    r"""When the membrane's slope is zero; NaN where it never is, < 0 where it was.

    With $u$ the membrane above rest and $r = R i$ the drive at the start,

    $$ \Delta^* = -\frac{\tau_m}{\epsilon} \log(1 - \epsilon y), \quad \epsilon = \frac{\tau_m}{\tau_s} - 1, \quad
       y = \frac{r - u}{r\, \tau_m / \tau_s} $$
    """
    ratio = tau_mem / tau_syn
    epsilon = ratio - 1.0
    scale = drive * ratio
    y = (drive - u) / jnp.where(scale == 0.0, 1.0, scale)
    z = epsilon * y
    small = jnp.abs(z) < _SERIES
    inside = jnp.where(small | (z >= 1.0), 0.5, z)
    curve = -jnp.log1p(-inside) / jnp.where(epsilon == 0.0, 1.0, epsilon)
    series = y * (1.0 + z * (1.0 / 2.0 + z * (1.0 / 3.0 + z / 4.0)))
    return jnp.where((z >= 1.0) | (scale == 0.0), jnp.nan, tau_mem * jnp.where(small, series, curve))


def crossing(
    u: Array, drive: Array, level: Array, span: Array, tau_mem: Array, tau_syn: Array
) -> tuple[Array, Array, Array]:
    """Whether a membrane not above `level` rises above it within `span`, and from when to when to look for that.

    Once a membrane has turned it does not turn again, so that it is enough to look at its maximum, or at the end; and
    after its minimum where it falls first.
    """
    peak = time_of_extremum(u, drive, tau_mem, tau_syn)
    rising = (drive > 0.0) & (u < drive) & (peak < span)
    until = jnp.where(rising, peak, span)
    # at a maximum the slope is zero: the membrane equals the drive
    highest = jnp.where(
        rising,
        drive * jnp.exp(-until / tau_syn),
        u * jnp.exp(-until / tau_mem) + drive * response(until, tau_mem, tau_syn),
    )
    # to a level below rest it gets before what holds it down has faded, K being below max(1, tau_s/tau_m) e^(-t / 2 tau)
    slow, weight = jnp.maximum(tau_mem, tau_syn), jnp.maximum(1.0, tau_syn / tau_mem)
    held = jnp.abs(u) + jnp.abs(drive) * weight
    faded = 2.0 * slow * jnp.log(jnp.where(level < 0.0, held / jnp.where(level < 0.0, -level, 1.0), 1.0))
    until = jnp.where(~rising & (level < 0.0), jnp.minimum(until, jnp.maximum(faded, 0.0)), until)
    falling = (drive < 0.0) & (u > drive) & (peak > 0.0)
    return highest > level, jnp.where(falling, jnp.minimum(peak, until), 0.0), until


def time_to_level(
    u: Array, drive: Array, level: Array, after: Array, until: Array, tau_mem: Array, tau_syn: Array
) -> Array:
    r"""When the membrane reaches `level` from below, which it does between `after` and `until`.

    Newton's method within a bracket that shrinks: where a step would leave it, the bracket is halved. Up to a maximum the
    membrane is concave, so that Newton comes from the left without ever leaving. It starts from the parabola at `until`
    where that is a maximum.
    """
    curvature = drive * jnp.exp(-until / tau_syn) / (tau_mem * tau_syn)  # minus the second derivative at a maximum
    end = u * jnp.exp(-until / tau_mem) + drive * response(until, tau_mem, tau_syn)
    slope = (drive * jnp.exp(-until / tau_syn) - end) / tau_mem
    flat = jnp.abs(slope) * tau_mem < 1e-3 * jnp.abs(end)
    back = jnp.sqrt(2.0 * jnp.maximum(end - level, 0.0) / jnp.where(curvature > 0, curvature, 1.0))
    straight = after + jnp.clip((level - u) / jnp.where(end == u, 1.0, end - u), 0.0, 1.0) * (until - after)
    start = jnp.where(flat & (curvature > 0), jnp.clip(until - back, 0.0, until), straight)
    low, high, time = after, until, start
    slack = 16.0 * jnp.finfo(u.dtype).eps * until
    for _ in range(_NEWTON.get(jnp.dtype(u.dtype), 8)):
        away = jnp.exp(-time / tau_mem)
        v = u * away + drive * response(time, tau_mem, tau_syn)
        slope = (drive * jnp.exp(-time / tau_syn) - v) / tau_mem
        low, high = jnp.where(v < level, time, low), jnp.where(v < level, high, time)
        step = time - (v - level) / jnp.where(slope == 0.0, 1.0, slope)
        inside = (step >= low - slack) & (step <= high + slack) & (slope != 0.0)
        time = jnp.where(inside, jnp.clip(step, low, high), 0.5 * (low + high))
    return jax.lax.stop_gradient(time)
