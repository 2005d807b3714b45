"""Every public class that is built and run: one line each. A new one is one line more, and is then tested against all."""

import equinox as eqx
import jax
import jax.numpy as jnp

import snnx

KEY = jax.random.key(7)
WIDE = (4,)


def linear(fan_in, fan_out):
    return eqx.nn.Linear(fan_in, fan_out, key=jax.random.fold_in(KEY, fan_in * 31 + fan_out))


def bump(x):
    return jnp.exp(-x * x)


FORWARD = [("input", "in"), ("in", "lif"), ("input", "skip"), ("lif", "output"), ("skip", "output")]
CYCLES = [
    ("input", "in"),
    ("in", "a"),
    ("a", "back"),
    ("back", "a"),
    ("a", "b"),
    ("b", "a"),
    ("a", "out"),
    ("out", "output"),
]


# name -> (factory, shape of one input step)
CELLS = {
    "IF": (lambda: snnx.IF(threshold=jnp.array(0.9), reset=snnx.NoReset()), WIDE),
    "LI": (lambda: snnx.LI(tau=snnx.Positive(jnp.full(4, 5.0))), WIDE),
    "LIF": (lambda: snnx.LIF(tau=jnp.array(5.0), refractory=2), WIDE),
    "LIF, map": (lambda: snnx.LIF(tau=snnx.Positive(jnp.full((2, 1, 1), 5.0)), v_leak=0.1, r=4.0), (2, 3, 3)),
    "LIF, random": (lambda: snnx.LIF(surrogate=snnx.StochasticEscape(4.0)), WIDE),
    "CubaLI": (lambda: snnx.CubaLI(tau_mem=jnp.full(4, 6.0), tau_syn=3.0), WIDE),
    "CubaLIF": (lambda: snnx.CubaLIF(tau_mem=6.0, tau_syn=jnp.array(3.0), method="exact"), WIDE),
    "CubaLIF, exact gradient": (
        lambda: snnx.CubaLIF(jnp.full(4, 6.0), 3.0, 0.3, method="exact", gradient=snnx.EventProp(), refractory=1),
        WIDE,
    ),
    "ALIF": (lambda: snnx.ALIF(tau=5.0, strength=jnp.full(4, 0.5), reset=snnx.ValueReset(jnp.array(0.1))), WIDE),
    "AdLIF": (lambda: snnx.AdLIF(tau=5.0, tau_w=20.0, a=snnx.Bounded(2.0, 0.0, 5.0), coupling="symplectic"), WIDE),
    "GaussianNoise": (lambda: snnx.GaussianNoise(jnp.array(0.3)), WIDE),
    "Sequential": (lambda: snnx.Sequential([linear(4, 6), snnx.LIF(5.0), eqx.nn.Dropout(0.5), linear(6, 3)]), WIDE),
    "Residual": (lambda: snnx.Residual(snnx.Sequential([linear(4, 4), snnx.LIF(5.0)])), WIDE),
    "Parallel": (lambda: snnx.Parallel([linear(4, 3), snnx.LIF(5.0)], join=snnx.Concat()), WIDE),
    "Recurrent": (lambda: snnx.Recurrent(snnx.ALIF(tau=5.0), linear(4, 4)), WIDE),
    "Integrator": (lambda: snnx.Integrator(r=jnp.full(4, 0.5)), WIDE),
    "Delay": (lambda: snnx.Delay([0, 2, 1, 4]), WIDE),
    "Graph": (lambda: snnx.Graph({"in": linear(4, 3), "lif": snnx.LIF(5.0), "skip": linear(4, 3)}, FORWARD), WIDE),
    "Graph, cycles": (
        lambda: snnx.Graph(
            {"in": linear(4, 3), "a": snnx.LIF(5.0), "back": linear(3, 3), "b": snnx.Delay(1), "out": snnx.LI(5.0)},
            CYCLES,
        ),
        WIDE,
    ),
    "Policy": (
        lambda: snnx.Policy(snnx.Sequential([linear(4, 6), snnx.LIF(5.0), linear(6, 3)]), ticks=2),
        WIDE,
    ),
    "PopulationEncoder": (lambda: snnx.control.PopulationEncoder(-1.0, 2.0, fields=5), WIDE),
}

# Plain layers: name -> (factory, shape of one input step)
LAYERS = {
    "Flatten": (lambda: snnx.Flatten(), (2, 3, 3)),
    "Scale": (lambda: snnx.Scale(jnp.full(4, 0.7)), WIDE),
    "Threshold": (lambda: snnx.Threshold(jnp.full(4, 0.3)), WIDE),
    "SumPool2d": (lambda: snnx.SumPool2d(2), (2, 4, 4)),
    "ThresholdNorm": (lambda: snnx.ThresholdNorm(4), WIDE),
    "Add": (lambda: snnx.Add(), WIDE),
    "Concat": (lambda: snnx.Concat(), WIDE),
}

SURROGATES = {
    "ATan": lambda: snnx.ATan(jnp.array(2.0)),
    "Arctan": lambda: snnx.Arctan(),
    "Boxcar": lambda: snnx.Boxcar(width=1.0),
    "Custom": lambda: snnx.Custom(bump),
    "FastSigmoid": lambda: snnx.FastSigmoid(2.0),
    "Gaussian": lambda: snnx.Gaussian(),
    "LeakyGradient": lambda: snnx.LeakyGradient(),
    "MultiGaussian": lambda: snnx.MultiGaussian(),
    "PiecewiseQuadratic": lambda: snnx.PiecewiseQuadratic(),
    "Sigmoid": lambda: snnx.Sigmoid(jnp.full(4, 4.0)),
    "SlayerExponential": lambda: snnx.SlayerExponential(),
    "SoftSign": lambda: snnx.SoftSign(),
    "SparseFastSigmoid": lambda: snnx.SparseFastSigmoid(),
    "StochasticEscape": lambda: snnx.StochasticEscape(),
    "StraightThrough": lambda: snnx.StraightThrough(),
    "SuperSpike": lambda: snnx.SuperSpike(),
    "Tanh": lambda: snnx.Tanh(),
    "Triangular": lambda: snnx.Triangular(),
}

LOSSES = {
    "CrossEntropy": lambda: snnx.CrossEntropy(snnx.Mean(), label_smoothing=0.1),
    "StepCrossEntropy": lambda: snnx.StepCrossEntropy(),
    "FirstSpikeCrossEntropy": lambda: snnx.FirstSpikeCrossEntropy(tau=3.0),
    "FirstSpikeMSE": lambda: snnx.FirstSpikeMSE(correct=2.0, incorrect=8.0),
    "CountMSE": lambda: snnx.CountMSE(correct=5.0, incorrect=1.0),
    "RateMSE": lambda: snnx.RateMSE(correct=0.5, incorrect=0.1),
    "MSE": lambda: snnx.MSE(snnx.Mean()),
    "TraceMSE": lambda: snnx.TraceMSE(),
    "VanRossum": lambda: snnx.VanRossum(5.0),
    "UpperRate": lambda: snnx.UpperRate(0.1),
    "LowerRate": lambda: snnx.LowerRate(0.9),
    "TargetRate": lambda: snnx.TargetRate(0.1),
    "WakeSilent": lambda: snnx.WakeSilent(0.1),
    "RateL1": lambda: snnx.RateL1(),
    "RateL2": lambda: snnx.RateL2(),
    "PopulationRate": lambda: snnx.PopulationRate(0.1),
    "PopulationUpperRate": lambda: snnx.PopulationUpperRate(0.1),
    "WeightedSum": lambda: snnx.CrossEntropy(snnx.Max()) + 0.1 * snnx.UpperRate(0.1),
}

REDUCTIONS = {
    "Stack": snnx.Stack,
    "Sum": snnx.Sum,
    "Mean": snnx.Mean,
    "Max": snnx.Max,
    "Last": snnx.Last,
    "Weighted": snnx.Weighted.exponential,
    "FirstSpike": snnx.FirstSpike,
}
