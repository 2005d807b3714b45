"""Between events: membrane and current in closed form, and when the membrane gets to its threshold."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from snnx._varying import varying_like

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
    of_a, of_b = jnp.exp(-a), jnp.exp(-b)
    apart = (of_b - of_a) / jnp.where(small, 1.0, z)
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
    shrunk = 1.0 - inside  # log1p(-z) as log(x) (-z) / (x - 1): three times faster on a CPU, and as exact
    curve = jnp.log(shrunk) * inside / (shrunk - 1.0) / jnp.where(epsilon == 0.0, 1.0, epsilon)
    series = y * (1.0 + z * (1.0 / 2.0 + z * (1.0 / 3.0 + z / 4.0)))
    return jnp.where((z >= 1.0) | (scale == 0.0), jnp.nan, tau_mem * jnp.where(small, series, curve))


def _turns(u: Array, drive: Array, span: Array, tau_mem: Array, tau_syn: Array) -> tuple[Array, Array]:
    """Whether a membrane has its maximum within `span`, and its extremum, wherever that is."""
    extremum = time_of_extremum(u, drive, tau_mem, tau_syn)
    return (drive > 0.0) & (u < drive) & (extremum < span), extremum


def highest(u: Array, drive: Array, end: Array, span: Array, tau_mem: Array, tau_syn: Array) -> Array:
    """The highest that a membrane gets that is not falling from where it is: at its maximum, or at the end, where it is `end`.

    Once a membrane has turned it does not turn again. At its maximum its slope is zero, so that it equals the drive.
    """
    turns, peak = _turns(u, drive, span, tau_mem, tau_syn)
    return jnp.where(turns, drive * jnp.exp(-jnp.where(turns, peak, 0.0) / tau_syn), end)


def bracket(u: Array, drive: Array, level: Array, span: Array, tau_mem: Array, tau_syn: Array) -> tuple[Array, Array]:
    """Between which times a membrane that rises above `level` within `span` does so: after its minimum, before its maximum."""
    turns, extremum = _turns(u, drive, span, tau_mem, tau_syn)
    until = jnp.where(turns, extremum, span)
    # It is at a level below rest before what holds it down has faded: K is less than max(1, tau_s / tau_m) e^(-t / 2 tau).
    slow, weight = jnp.maximum(tau_mem, tau_syn), jnp.maximum(1.0, tau_syn / tau_mem)
    held = jnp.abs(u) + jnp.abs(drive) * weight
    faded = 2.0 * slow * jnp.log(jnp.where(level < 0.0, held / jnp.where(level < 0.0, -level, 1.0), 1.0))
    until = jnp.where(~turns & (level < 0.0), jnp.minimum(until, jnp.maximum(faded, 0.0)), until)
    falling = (drive < 0.0) & (u > drive) & (extremum > 0.0)
    return jnp.where(falling, jnp.minimum(extremum, until), 0.0), until


def time_at_twice(u: Array, drive: Array, level: Array, span: Array, tau_mem: Array) -> Array:
    r"""When the membrane first rises to `level`, which it does within `span`, where $\tau_m = 2 \tau_s$: in closed form.

    Then $u(t) = (u + r)\, x - r x^2$ with $x = e^{-t/\tau_m}$ and the drive $r$ (`response`): of the two $x$ the one that comes
    first while the membrane rises, in the form in which nothing cancels. Twice as fast as Newton's method in loops.
    """
    sum_ = u + drive
    root = jnp.sqrt(jnp.maximum(sum_ * sum_ - 4.0 * drive * level, 0.0))
    half = 0.5 * (sum_ + jnp.where(sum_ > 0.0, root, -root))
    over = jnp.where(sum_ > 0.0, drive, half)
    x = jnp.where(sum_ > 0.0, half, level) / jnp.where(over == 0.0, 1.0, over)
    time = -tau_mem * jnp.log(jnp.where(x > 0.0, x, 1.0))
    return jax.lax.stop_gradient(jnp.clip(time, 0.0, span))


def time_to_level(
    u: Array, drive: Array, level: Array, after: Array, until: Array, tau_mem: Array, tau_syn: Array
) -> Array:
    r"""When the membrane reaches `level` from below, which it does between `after` and `until`.

    Newton's method within a bracket that shrinks: where a step would leave it, the bracket is halved. Up to a maximum the
    membrane is concave, so that Newton comes from the left without ever leaving. It starts from the parabola at `until`
    where that is a maximum.
    """
    numbers = jnp.broadcast_arrays(u, drive, level, after, until, tau_mem, tau_syn)
    u, drive, level, after, until, tau_mem, tau_syn = jax.lax.stop_gradient(numbers)
    curvature = drive * jnp.exp(-until / tau_syn) / (tau_mem * tau_syn)  # minus the second derivative at a maximum
    end = u * jnp.exp(-until / tau_mem) + drive * response(until, tau_mem, tau_syn)
    slope = (drive * jnp.exp(-until / tau_syn) - end) / tau_mem
    flat = jnp.abs(slope) * tau_mem < 1e-3 * jnp.abs(end)
    back = jnp.sqrt(2.0 * jnp.maximum(end - level, 0.0) / jnp.where(curvature > 0, curvature, 1.0))
    straight = after + jnp.clip((level - u) / jnp.where(end == u, 1.0, end - u), 0.0, 1.0) * (until - after)
    start = jnp.where(flat & (curvature > 0), jnp.clip(until - back, 0.0, until), straight)
    slack = 16.0 * jnp.finfo(u.dtype).eps * until

    def closer(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, high, time = state
        away = jnp.exp(-time / tau_mem)
        v = u * away + drive * response(time, tau_mem, tau_syn)
        slope = (drive * jnp.exp(-time / tau_syn) - v) / tau_mem
        low, high = jnp.where(v < level, time, low), jnp.where(v < level, high, time)
        step = time - (v - level) / jnp.where(slope == 0.0, 1.0, slope)
        inside = (step >= low - slack) & (step <= high + slack) & (slope != 0.0)
        return low, high, jnp.where(inside, jnp.clip(step, low, high), 0.5 * (low + high))

    bracket = varying_like((after, until, start), numbers)
    # A loop: written out, it would take five times longer to compile.
    return jax.lax.fori_loop(0, _NEWTON.get(jnp.dtype(u.dtype), 8), closer, bracket)[2]
