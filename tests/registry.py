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
    "LIF, random": (lambda: snnx.LIF(surrogate=snnx.surrogates.StochasticEscape(4.0)), WIDE),
    "CubaLI": (lambda: snnx.CubaLI(tau_mem=jnp.full(4, 6.0), tau_syn=3.0), WIDE),
    "CubaLIF": (lambda: snnx.CubaLIF(tau_mem=6.0, tau_syn=jnp.array(3.0), method="exact"), WIDE),
    "CubaLIF, exact gradient": (
        lambda: snnx.CubaLIF(jnp.full(4, 6.0), 3.0, 0.3, method="exact", gradient=snnx.EventProp(), refractory=1),
        WIDE,
    ),
    "ALIF": (lambda: snnx.ALIF(tau=5.0, strength=jnp.full(4, 0.5), reset=snnx.ValueReset(jnp.array(0.1))), WIDE),
    "AdLIF": (lambda: snnx.AdLIF(tau=5.0, tau_w=20.0, a=snnx.Bounded(2.0, 0.0, 5.0), coupling="symplectic"), WIDE),
    "GaussianNoise": (lambda: snnx.layers.GaussianNoise(jnp.array(0.3)), WIDE),
    "Sequential": (lambda: snnx.Sequential([linear(4, 6), snnx.LIF(5.0), eqx.nn.Dropout(0.5), linear(6, 3)]), WIDE),
    "Residual": (lambda: snnx.Residual(snnx.Sequential([linear(4, 4), snnx.LIF(5.0)])), WIDE),
    "Parallel": (lambda: snnx.Parallel([linear(4, 3), snnx.LIF(5.0)], join=snnx.layers.Concat()), WIDE),
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
    "Scale": (lambda: snnx.layers.Scale(jnp.full(4, 0.7)), WIDE),
    "Threshold": (lambda: snnx.layers.Threshold(jnp.full(4, 0.3)), WIDE),
    "SumPool2d": (lambda: snnx.layers.SumPool2d(2), (2, 4, 4)),
    "ThresholdNorm": (lambda: snnx.layers.ThresholdNorm(4), WIDE),
    "Add": (lambda: snnx.layers.Add(), WIDE),
    "Concat": (lambda: snnx.layers.Concat(), WIDE),
}

SURROGATES = {
    "ATan": lambda: snnx.surrogates.ATan(jnp.array(2.0)),
    "Arctan": lambda: snnx.surrogates.Arctan(),
    "Boxcar": lambda: snnx.surrogates.Boxcar(width=1.0),
    "Custom": lambda: snnx.surrogates.Custom(bump),
    "FastSigmoid": lambda: snnx.surrogates.FastSigmoid(2.0),
    "Gaussian": lambda: snnx.surrogates.Gaussian(),
    "LeakyGradient": lambda: snnx.surrogates.LeakyGradient(),
    "MultiGaussian": lambda: snnx.surrogates.MultiGaussian(),
    "PiecewiseQuadratic": lambda: snnx.surrogates.PiecewiseQuadratic(),
    "Sigmoid": lambda: snnx.surrogates.Sigmoid(jnp.full(4, 4.0)),
    "SlayerExponential": lambda: snnx.surrogates.SlayerExponential(),
    "SoftSign": lambda: snnx.surrogates.SoftSign(),
    "SparseFastSigmoid": lambda: snnx.surrogates.SparseFastSigmoid(),
    "StochasticEscape": lambda: snnx.surrogates.StochasticEscape(),
    "StraightThrough": lambda: snnx.surrogates.StraightThrough(),
    "SuperSpike": lambda: snnx.surrogates.SuperSpike(),
    "Tanh": lambda: snnx.surrogates.Tanh(),
    "Triangular": lambda: snnx.surrogates.Triangular(),
}

LOSSES = {
    "CrossEntropy": lambda: snnx.CrossEntropy(snnx.Mean(), label_smoothing=0.1),
    "StepCrossEntropy": lambda: snnx.StepCrossEntropy(),
    "FirstSpikeCrossEntropy": lambda: snnx.FirstSpikeCrossEntropy(tau=3.0),
    "FirstSpikeMSE": lambda: snnx.losses.FirstSpikeMSE(correct=2.0, incorrect=8.0),
    "CountMSE": lambda: snnx.losses.CountMSE(correct=5.0, incorrect=1.0),
    "RateMSE": lambda: snnx.losses.RateMSE(correct=0.5, incorrect=0.1),
    "MSE": lambda: snnx.MSE(snnx.Mean()),
    "TraceMSE": lambda: snnx.losses.TraceMSE(),
    "VanRossum": lambda: snnx.losses.VanRossum(5.0),
    "UpperRate": lambda: snnx.UpperRate(0.1),
    "LowerRate": lambda: snnx.losses.LowerRate(0.9),
    "TargetRate": lambda: snnx.losses.TargetRate(0.1),
    "WakeSilent": lambda: snnx.losses.WakeSilent(0.1),
    "RateL1": lambda: snnx.losses.RateL1(),
    "RateL2": lambda: snnx.losses.RateL2(),
    "PopulationRate": lambda: snnx.losses.PopulationRate(0.1),
    "PopulationUpperRate": lambda: snnx.losses.PopulationUpperRate(0.1),
    "WeightedSum": lambda: snnx.CrossEntropy(snnx.Max()) + 0.1 * snnx.UpperRate(0.1),
}

REDUCTIONS = {
    "Stack": snnx.Stack,
    "Sum": snnx.Sum,
    "Mean": snnx.Mean,
    "Max": snnx.Max,
    "Last": snnx.Last,
    "Weighted": snnx.reductions.Weighted.exponential,
    "FirstSpike": snnx.FirstSpike,
}
