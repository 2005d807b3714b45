"""Between events: the membrane's closed form and its next spike, against 60 digits, brentq and solutions on paper."""

import functools
from decimal import Decimal, getcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.special import lambertw

from snnx.event._dynamics import Dynamics
from snnx.event._flow import response, time_of_extremum

getcontext().prec = 60
FLOATS = ["float32", "float64"]


@pytest.fixture(params=FLOATS)
def dtype(request):
    """Each precision in its own mode."""
    with jax.enable_x64(request.param == "float64"):
        yield np.dtype(request.param)


def exactly(span, tau_mem, tau_syn):
    """The difference of exponentials with 60 digits."""
    span, tau_mem, tau_syn = map(Decimal, (span, tau_mem, tau_syn))
    if tau_mem == tau_syn:
        return span / tau_mem * (-span / tau_mem).exp()
    return tau_syn / (tau_syn - tau_mem) * ((-span / tau_syn).exp() - (-span / tau_mem).exp())


def rounded(dtype, *numbers):
    """The numbers that a program in this precision is given."""
    return [float(np.asarray(x, dtype)) for x in numbers]


def next_spike(u, drive, level, span, tau_mem, tau_syn, *, twice=False):
    """Whether membranes `u` above rest get to a level within `span`, and when; arrays `[neurons]`."""
    zero = jnp.zeros_like(u)
    names = ("tau_mem", "tau_syn", "rest", "resistance", "start_v", "start_j", "threshold", "after")
    given = (tau_mem, tau_syn, zero, zero + 1, zero, zero, level, zero)
    dynamics = Dynamics(**dict(zip(names, given, strict=True)), reset="subtract", refractory=0.0, twice=twice)
    end, _ = dynamics.flow(u, drive, span)
    return dynamics.reaches(u, drive, span, end), dynamics.time_to_threshold(u, drive, span)


run = jax.jit(next_spike, static_argnames="twice")


def found_time(dtype, *numbers, twice=False):
    """The time of the one spike, infinity without."""
    reaches, time = run(*(jnp.asarray([x], dtype) for x in numbers), twice=twice)
    return float(time[0]) if reaches[0] else np.inf


RATIOS = st.one_of(
    st.floats(0.1, 10),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.floats(-16, -1).map(lambda power: 1 + 10**power),
    st.floats(-16, -1).map(lambda power: 1 - 10**power),
)


def check_response(dtype, tau_mem, ratio, lasting):
    tau_mem, tau_syn, span = rounded(dtype, tau_mem, tau_mem / ratio, lasting * tau_mem)
    found = response(*(jnp.asarray(x, dtype) for x in (span, tau_mem, tau_syn)))
    assert found.dtype == dtype
    expected = float(exactly(span, tau_mem, tau_syn))
    exponent = span / min(tau_mem, tau_syn) if span / max(tau_mem, tau_syn) < 0.5 else span / max(tau_mem, tau_syn)
    np.testing.assert_allclose(found, expected, rtol=8 * (2 + exponent) * np.finfo(dtype).eps)


@example(20.0, 1.0, 1.0)
@example(20.0, 2.0, 0.5)  # where the series ends: |span/tau_mem - span/tau_syn| is 1/2
@example(20.0, 0.5, 1.0)
@example(20.0, 1.0, 0.0)
@given(st.floats(1, 100), RATIOS, st.floats(1e-6, 8))
def test_response_has_all_digits(tau_mem, ratio, lasting):
    for name in FLOATS:
        with jax.enable_x64(name == "float64"):
            check_response(np.dtype(name), tau_mem, ratio, lasting)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 1.3, 4.0])
def test_response_solves_the_equation(ratio, x64):
    """As the exponential of the system's matrix, and as the convolution of two kernels."""
    tau_mem, tau_syn = 12.0, 12.0 / ratio
    system = np.array([[-1 / tau_mem, 1 / tau_mem], [0.0, -1 / tau_syn]])
    for span in (0.3, 5.0, 40.0):
        found = response(jnp.asarray(span), jnp.asarray(tau_mem), jnp.asarray(tau_syn))
        np.testing.assert_allclose(found, expm(system * span)[0, 1], rtol=1e-12)

        def drive(s, span=span):
            return np.exp(-(span - s) / tau_mem) * np.exp(-s / tau_syn) / tau_mem

        np.testing.assert_allclose(found, quad(drive, 0, span, epsabs=1e-14)[0], rtol=1e-10)


@pytest.mark.parametrize("argument", [0, 1, 2], ids=["span", "tau_mem", "tau_syn"])
def test_response_is_smooth_where_the_constants_meet(argument, x64):
    """First and second derivatives against differences with 60 digits, at, near and far from equality, and at the seam."""
    first = jax.jit(jax.grad(response, argument))
    second = jax.jit(jax.grad(lambda *args: jax.grad(response, argument)(*args), argument))
    seam = 1 / (1 + 0.5 * 20.0 / 7.0)  # of tau_syn to tau_mem, where |a - b| is 1/2
    for share in (1.0, 1 + 1e-15, 1 + 1e-11, 1 - 1e-7, 1 + 1e-3, seam * (1 - 1e-9), seam * (1 + 1e-9), 0.2, 5.0):
        given = [7.0, 20.0, 20.0 * share]
        step = Decimal("1e-12")

        def at(shift, given=given):
            moved = [Decimal(x) for x in given]
            moved[argument] += shift
            return exactly(*moved)

        slope = (at(step) - at(-step)) / (2 * step)
        curvature = (at(step) - 2 * at(Decimal(0)) + at(-step)) / step**2
        numbers = [jnp.asarray(x) for x in given]
        np.testing.assert_allclose(first(*numbers), float(slope), rtol=1e-11)
        np.testing.assert_allclose(second(*numbers), float(curvature), rtol=1e-9, atol=1e-15)


def membrane(time, u, drive, tau_mem, tau_syn):
    """In double precision, with care where the constants are nearly equal."""
    z = time / tau_syn - time / tau_mem
    kernel = (
        time / tau_mem * np.exp(-time / tau_mem) * np.where(z == 0.0, 1.0, -np.expm1(-z) / np.where(z == 0.0, 1.0, z))
    )
    return u * np.exp(-time / tau_mem) + drive * kernel


@functools.cache
def cases(name, twice, count=500):
    """Random membranes below a level, levels above and below rest; as this precision rounds them."""
    rng = np.random.default_rng(5)
    tau_mem = np.exp(rng.uniform(np.log(2), np.log(50), count))
    special = rng.choice([1.0, 2.0, 0.5, 1 + 1e-4, 1 - 1e-6], count)
    ratio = np.where(rng.random(count) < 0.3, special, 10 ** rng.uniform(-1, 1, count))
    if twice:
        ratio[:] = 2.0
    level = rng.choice([1.0, 0.3, -0.5, -0.05], count)
    u = level - np.abs(rng.normal(0, 1, count)) * rng.choice([1.0, 1e-2, 1e-4, 3.0], count)
    drive, span = rng.normal(0, 6, count), np.exp(rng.uniform(-2, 6, count))
    return [np.asarray(x, name) for x in (u, drive, level, span, tau_mem, tau_mem / ratio)]


def first_time(u, drive, level, span, tau_mem, tau_syn):
    """The first time above the level by a grid and brentq; infinity, and by how much at least it stays below."""
    grid = np.unique(np.concatenate([np.linspace(0, span, 600), np.geomspace(1e-6 * span, span, 300)]))
    values = membrane(grid, u, drive, tau_mem, tau_syn)
    over = values > level
    if not over.any():
        return np.inf, (level - values.max()) / abs(level)
    k = int(over.argmax())
    if k == 0:
        return 0.0, 0.0

    def above(time):
        return membrane(time, u, drive, tau_mem, tau_syn) - level

    return brentq(above, grid[k - 1], grid[k], xtol=1e-16, rtol=1e-14), (values.max() - level) / abs(level)


@pytest.mark.parametrize("twice", [False, True])
def test_the_next_spike_is_where_brentq_finds_it(dtype, twice):
    given = cases(dtype.name, twice)
    eps = np.finfo(dtype).eps
    crosses, time = run(*map(jnp.asarray, given), twice=twice)
    assert time.dtype == dtype
    crosses, time = np.asarray(crosses), np.asarray(time, np.float64)
    numbers = np.asarray(given, np.float64)
    expected, margin = np.array([first_time(*row) for row in numbers.T]).T
    known = margin > 1e-3 if dtype == "float32" else margin > 1e-5  # the grid's own resolution
    assert known.mean() > 0.85
    np.testing.assert_array_equal(crosses[known], np.isfinite(expected)[known])
    both = crosses & np.isfinite(expected)
    assert both.sum() > 150
    u, drive, level, span, tau_mem, tau_syn = numbers[:, both]
    slope = np.abs(drive * np.exp(-expected[both] / tau_syn) - level)  # times tau_mem, at the level
    scale = np.abs(u) + np.abs(drive) + np.abs(level)
    allowed = 64 * eps * (expected[both] + tau_mem * scale / slope)
    assert np.all(np.abs(time[both] - expected[both]) < allowed)
    assert np.median(np.abs(time[both] - expected[both]) / tau_mem) < eps


PAPER = [(0.2, 5.0, 1.0), (-3.0, 9.5, 1.0), (-2.0, 1.0, -0.5), (-1.0, -4.0, -0.3), (0.0, 2.9, 1.0), (0.0, 2.6, 1.0)]


@pytest.mark.parametrize(("u", "drive", "level"), PAPER)
def test_equal_constants_have_lamberts_function(u, drive, level, x64):
    r"""$(u + r s) e^{-s} = \theta$: with $y = s + u / r$, $-y e^{-y} = -\theta / r\, e^{-u / r}$."""
    tau = 13.0
    y = -lambertw(-level / drive * np.exp(-u / drive), 0 if drive > 0 else -1)
    expected = tau * (y.real - u / drive) if y.imag == 0 else np.inf
    np.testing.assert_allclose(found_time(float, u, drive, level, 200.0, tau, tau), expected, rtol=1e-12)


@pytest.mark.parametrize(("ratio", "twice"), [(2.0, True), (2.0, False), (0.5, False)])
@pytest.mark.parametrize(("u", "drive", "level"), [*PAPER, (0.0, 4.1, 1.0), (0.0, 1.9, 1.0)])
def test_constants_of_ratio_two_have_a_quadratic(ratio, twice, u, drive, level, x64):
    r"""With $x = e^{-s}$, $s$ in units of the slower constant: $u x + r(x - x^2) = \theta$, or $u x^2 + 2 r (x - x^2)$."""
    tau_mem = 13.0
    slower = max(tau_mem, tau_mem / ratio)
    a, b = (-drive, u + drive) if ratio == 2.0 else (u - 2 * drive, 2 * drive)
    roots = np.roots([a, b, -level])
    rising = [x.real for x in roots if x.imag == 0 and 0 < x.real < 1 and 2 * a * x.real + b < 0]
    expected = -slower * np.log(max(rising)) if rising else np.inf
    np.testing.assert_allclose(
        found_time(float, u, drive, level, 400.0, tau_mem, tau_mem / ratio, twice=twice), expected, rtol=1e-12
    )


def test_a_membrane_that_only_just_reaches_its_level(dtype):
    """A hair below its maximum it is reached, at about the maximum; a hair above it is not."""
    eps = float(np.finfo(dtype).eps)
    for tau_mem, tau_syn, twice in [
        (10.0, 10.0, False),
        (10.0, 5.0, False),
        (10.0, 5.0, True),
        (20.0, 4.0, False),
        (5.0, 30.0, False),
        (10.0, 9.999, False),
    ]:
        tau_mem, tau_syn = rounded(dtype, tau_mem, tau_syn)
        top = tau_mem if tau_mem == tau_syn else np.log(tau_mem / tau_syn) / (1 / tau_syn - 1 / tau_mem)
        maximum = 3.0 * float(membrane(top, 0.0, 1.0, tau_mem, tau_syn))
        for hair in (8 * eps, 1e3 * eps):
            level = maximum * (1 - hair)
            time = found_time(dtype, 0.0, 3.0, level, 1e3, tau_mem, tau_syn, twice=twice)
            width = np.sqrt(2 * hair * tau_mem * tau_syn)  # of the parabola
            assert abs(time - (top - width)) < 0.5 * width + 1e-3 * np.sqrt(eps) * top
            assert found_time(dtype, 0.0, 3.0, maximum * (1 + hair), 1e3, tau_mem, tau_syn) == np.inf


@pytest.mark.parametrize("twice", [False, True])
def test_a_membrane_at_its_level_fires_at_once_if_it_rises(dtype, twice):
    assert abs(found_time(dtype, 1.0, 3.0, 1.0, 5.0, 10.0, 5.0, twice=twice)) < 1e-5
    assert found_time(dtype, 1.0, 0.5, 1.0, 100.0, 10.0, 5.0, twice=twice) == np.inf
    # it falls, turns and comes back, to a level below rest
    u, drive = -0.5, -2.0
    time = found_time(dtype, u, drive, u, 200.0, 10.0, 5.0, twice=twice)
    expected = -10.0 * np.log(np.roots([-drive, u + drive, -u]).min())
    np.testing.assert_allclose(time, expected, rtol=1e-5)


def test_there_is_no_spike_without_a_drive_but_to_a_level_below_rest(dtype):
    assert found_time(dtype, 0.5, 0.0, 1.0, 1e4, 10.0, 5.0) == np.inf
    assert found_time(dtype, -0.5, -3.0, 1.0, 1e4, 10.0, 5.0) == np.inf
    assert found_time(dtype, 0.0, 0.0, 1.0, 1e4, 10.0, 5.0) == np.inf
    for twice in (False, True):
        found = found_time(dtype, -0.8, 0.0, -0.2, 1e4, 10.0, 5.0, twice=twice)
        np.testing.assert_allclose(found, 10.0 * np.log(4), rtol=1e-5)
    before = 10.0 * np.log(4) * (1 - 1e-4)
    assert found_time(dtype, -0.8, 0.0, -0.2, before, 10.0, 5.0) == np.inf


@given(st.floats(-2, 1), st.floats(-5, 5), RATIOS)
def test_the_slope_is_zero_at_the_extremum(u, drive, ratio):
    tau_mem, tau_syn = 10.0, 10.0 / ratio
    with jax.enable_x64(True):
        time = float(time_of_extremum(*(jnp.asarray(x) for x in (u, drive, tau_mem, tau_syn))))
    grid = np.linspace(0, 300, 3000)
    rises = np.diff(membrane(grid, u, drive, tau_mem, tau_syn)) > 0
    turns = np.flatnonzero(rises[1:] != rises[:-1])
    if not 0 < time < 300:
        assert turns.size == 0 or min(abs(u), abs(drive)) < 1e-3  # what has faded turns by rounding
        return
    slope = drive * np.exp(-time / tau_syn) - membrane(time, u, drive, tau_mem, tau_syn)
    assert abs(slope) < 1e-9 * (abs(u) + abs(drive))


def test_times_have_no_gradient_of_their_own(x64):
    """The solvers give them one."""
    given = [jnp.asarray([x]) for x in (0.2, 5.0, 1.0, 8.0, 10.0, 5.0)]
    found = jax.jit(jax.grad(lambda *args: next_spike(*args)[1].sum(), tuple(range(6))))(*given)
    assert all(np.all(x == 0) for x in found)
