"""The gradient of EventProp on the grid against that of continuous time, over the step of time.

    python benchmarks/gradient_convergence.py [--networks 6] [--plot convergence.png]

Small networks of recurrent CubaLIF neurons, solved from event to event by the tests' reference, whose gradients are finite
differences. A spike makes a current jump by as much at every step of time (`r` given, `w_in` None). The error is the distance
of the two gradients over the length of the exact one; networks that lose or gain a spike at some step are told and left out.
"""

import argparse
import pathlib
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import snnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
from eventprop_reference import Layer, Network, Readout

STEPS = (0.32, 0.16, 0.08, 0.04, 0.02, 0.01)
DURATION, CHANNELS, WIDTH, OUT = 32.0, 4, 5, 3
PARAMETERS = ("weights", "feedback", "tau_mem", "tau_syn", "threshold", "v_leak")


def draw(seed: int) -> tuple[Network, list[tuple[float, int]]]:
    """A network whose neurons differ, and events that lie on every grid."""
    rng = np.random.default_rng(seed)
    hidden = Layer(
        rng.normal(1.0, 0.8, (WIDTH, CHANNELS)),
        tau_mem=rng.uniform(10, 20, WIDTH),
        tau_syn=rng.uniform(3, 7, WIDTH),
        threshold=rng.uniform(0.8, 1.2, WIDTH),
        v_leak=rng.uniform(-0.1, 0.1, WIDTH),
        feedback=rng.normal(0, 0.4, (WIDTH, WIDTH)),
    )
    inputs = [(float(t), k % CHANNELS) for k, t in enumerate(rng.integers(1, 62, 12) * max(STEPS))]
    return Network([hidden, Readout(rng.normal(0, 1, (OUT, WIDTH)))]), inputs


def linear(weights: jax.Array) -> eqx.nn.Linear:
    layer = eqx.nn.Linear(*weights.shape[::-1], use_bias=False, key=jax.random.key(0))
    return eqx.tree_at(lambda part: part.weight, layer, weights)


def on_the_grid(net: Network, inputs: list[tuple[float, int]], dt: float) -> tuple[dict[str, jax.Array], np.ndarray]:
    """The gradient of the first output's shaped integral, and the spikes of each neuron."""
    hidden, out = net.layers
    xs = np.zeros((round(DURATION / dt), CHANNELS))
    for t, channel in inputs:
        xs[round(t / dt), channel] += 1

    def run(params: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        own: dict[str, Any] = {name: params[name] for name in ("tau_mem", "tau_syn", "threshold", "v_leak")}
        neuron = snnx.CubaLIF(r=1.0, method="exact", dt=dt, gradient=snnx.EventProp(), **own)
        readout = snnx.CubaLI(out.tau_mem, out.tau_syn, 1.0, method="exact", dt=dt)
        recurrent = snnx.Recurrent(neuron, linear(params["feedback"]))
        model = snnx.Sequential([linear(params["weights"]), recurrent, linear(jnp.asarray(out.weights)), readout])
        weighted = snnx.reductions.Weighted.exponential(mean=True)
        ys, _, seen = snnx.simulate(model, jnp.asarray(xs), readout=weighted, record={"1": snnx.Sum()}, chunk=len(xs))
        return ys[0], seen["1"]

    params = {name: jnp.asarray(getattr(hidden, name)) for name in PARAMETERS}
    found, counted = jax.jit(jax.grad(run, has_aux=True))(params)
    return found, np.asarray(counted)


def errors_of(net: Network, inputs: list[tuple[float, int]]) -> dict[str, list[float]] | None:
    """Of every parameter, at every step of time; None where spikes are lost or gained."""
    expected = {p: net.gradient(lambda run: run.weighted()[0], (0, p), inputs, DURATION) for p in PARAMETERS}
    spikes = net.run(inputs, DURATION).counts(0, WIDTH)
    errors: dict[str, list[float]] = {p: [] for p in PARAMETERS}
    for dt in STEPS:
        found, counted = on_the_grid(net, inputs, dt)
        if not np.array_equal(counted, spikes):
            return None
        for p in PARAMETERS:
            errors[p].append(float(np.linalg.norm(found[p] - expected[p]) / np.linalg.norm(expected[p])))
    return errors


def slope(errors: np.ndarray) -> float:
    return float(np.polyfit(np.log(STEPS), np.log(errors), 1)[0])


def draw_figure(path: pathlib.Path, means: dict[str, np.ndarray]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
    ax = figure.subplots()
    for name, errors in means.items():
        ax.loglog(STEPS, errors, "o-", markersize=4, label=f"{name}, slope {slope(errors):.2f}")
    middle = np.exp(np.mean([np.log(errors) for errors in means.values()]))
    steps = np.array(STEPS)
    ax.loglog(steps, middle * steps / np.exp(np.mean(np.log(steps))), "--", color="black", linewidth=1, label="slope 1")
    ax.set(xlabel="step of time", ylabel="relative error of the gradient", xticks=STEPS)
    ax.set_xticks([], minor=True)
    ax.set_xticklabels([str(dt) for dt in STEPS])
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=6, help="how many are drawn (default %(default)s)")
    parser.add_argument("--plot", type=pathlib.Path, help="a PNG of the error over the step")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    kept = []
    for seed in range(args.networks):
        errors = errors_of(*draw(seed))
        if errors is None:
            print(f"network {seed} loses or gains a spike on the grid", file=sys.stderr)
        else:
            kept.append(errors)
    if not kept:
        raise SystemExit("every network loses or gains a spike on the grid; draw more of them with --networks")
    means = {p: np.exp(np.mean([np.log(errors[p]) for errors in kept], axis=0)) for p in PARAMETERS}
    print(f"| parameter | {' | '.join(str(dt) for dt in STEPS)} | slope |")
    print("|---" * (len(STEPS) + 2) + "|")
    for p, errors in means.items():
        print(f"| {p} | {' | '.join(f'{error:.4f}' for error in errors)} | {slope(errors):.2f} |")
    print(f"\n{len(kept)} of {args.networks} networks; geometric means.")
    if args.plot:
        draw_figure(args.plot, means)


if __name__ == "__main__":
    main()
