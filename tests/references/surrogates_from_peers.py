"""Pseudo-derivatives of other libraries, evaluated once and frozen in surrogates_from_peers.json.

    python surrogates_from_peers.py

in an environment with any of the libraries below; what is not installed keeps its numbers in the file. Spyx needs JAX
and the others PyTorch, so two environments are usual. Each row is one call, with the snnx surrogate that equals it (or
None) and the factor between the two. All in float64, at a threshold of 1 unless the call says otherwise.
"""

import importlib
import importlib.metadata
import json
import math
import os
import pathlib

FILE = pathlib.Path(__file__).with_suffix(".json")

# Off 0 and off every edge of a window: what happens exactly there is a convention of its own, see "fires_at_threshold".
GRID = [-2.5, -1.2, -0.6, -0.25, -0.02, 0.1, 0.45, 0.8, 1.7]

IMPORTS = {
    "spyx": {"axn": "spyx.axn", "jnp": "jax.numpy"},
    "snntorch": {"surrogate": "snntorch.surrogate"},
    "spikingjelly": {"surrogate": "spikingjelly.activation_based.surrogate"},
    "norse": {"functional": "norse.torch.functional.threshold"},
    "sinabs": {"activation": "sinabs.activation"},
}

FIRES = {
    "spyx": "axn.superspike()(x)",
    "snntorch": "surrogate.atan()(x)",
    "spikingjelly": "surrogate.ATan()(x)",
    "norse": "functional.threshold(x, 'super', 100.0)",
    "sinabs": "activation.SingleSpike.apply(1 + x, 1.0, activation.SingleExponential())",
}


def sinabs(surrogate: str, threshold: float = 1.0) -> str:
    return f"activation.SingleSpike.apply({threshold} + x, {threshold}, activation.{surrogate})"


ROWS = [
    ("spyx", "axn.superspike()(x)", "SuperSpike", {"slope": 25.0}, 1.0),
    ("spyx", "axn.superspike(k=10)(x)", "SuperSpike", {"slope": 10.0}, 1.0),
    ("spyx", "axn.arctan()(x)", "Arctan", {"slope": 2.0}, 1.0),
    ("spyx", "axn.arctan(k=5)(x)", "Arctan", {"slope": 5.0}, 1.0),
    ("spyx", "axn.tanh()(x)", "Tanh", {"slope": 1.0}, 1.0),
    ("spyx", "axn.tanh(k=3)(x)", "Tanh", {"slope": 3.0}, 1.0),
    ("spyx", "axn.boxcar()(x)", "Boxcar", {"width": 2.0, "height": 0.5}, 1.0),
    ("spyx", "axn.triangular()(x)", "Triangular", {"slope": 2.0}, 1.0),
    ("spyx", "axn.custom(jnp.ones_like)(x)", "StraightThrough", {}, 1.0),
    ("spyx", "axn.custom()(x)", None, {}, 1.0),
    ("snntorch", "surrogate.atan()(x)", "ATan", {"slope": 2.0}, 1.0),
    ("snntorch", "surrogate.atan(alpha=5.0)(x)", "ATan", {"slope": 5.0}, 1.0),
    ("snntorch", "surrogate.fast_sigmoid()(x)", "SuperSpike", {"slope": 25.0}, 1.0),
    ("snntorch", "surrogate.fast_sigmoid(slope=10)(x)", "SuperSpike", {"slope": 10.0}, 1.0),
    ("snntorch", "surrogate.sigmoid()(x)", "Sigmoid", {"slope": 25.0}, 1.0),
    ("snntorch", "surrogate.sigmoid()(2 * x.float())", None, {}, 1.0),
    ("snntorch", "surrogate.straight_through_estimator()(x)", "StraightThrough", {}, 1.0),
    ("snntorch", "surrogate.heaviside()(x)", "LeakyGradient", {"below": 0.0, "above": 1.0}, 1.0),
    ("snntorch", "surrogate.LSO()(x)", None, {}, 1.0),
    ("snntorch", "surrogate.LeakySpikeOperator.apply(x, 0.1)", None, {}, 1.0),
    ("snntorch", "surrogate.SFS()(x)", None, {}, 1.0),
    ("snntorch", "surrogate.spike_rate_escape()(x)", None, {}, 1.0),
    ("snntorch", "surrogate.triangular()(x)", None, {}, 1.0),
    ("spikingjelly", "surrogate.ATan()(x)", "ATan", {"slope": 2.0}, 1.0),
    ("spikingjelly", "surrogate.Sigmoid()(x)", "Sigmoid", {"slope": 4.0}, 1.0),
    ("spikingjelly", "surrogate.SoftSign()(x)", "SoftSign", {"slope": 2.0}, 1.0),
    ("spikingjelly", "surrogate.SuperSpike()(x)", "SuperSpike", {"slope": 1.0}, 1.0),
    ("spikingjelly", "surrogate.SuperSpike(alpha=3.0)(x)", "SuperSpike", {"slope": 1.0}, 3.0),
    ("spikingjelly", "surrogate.QPseudoSpike()(x)", "SuperSpike", {"slope": 2.0}, 1.0),
    ("spikingjelly", "surrogate.PiecewiseQuadratic()(x)", "PiecewiseQuadratic", {"slope": 1.0}, 1.0),
    ("spikingjelly", "surrogate.PiecewiseQuadratic(alpha=2.0)(x)", "PiecewiseQuadratic", {"slope": 2.0}, 1.0),
    ("spikingjelly", "surrogate.PiecewiseExp()(x)", "SlayerExponential", {"slope": 1.0, "height": 0.5}, 1.0),
    ("spikingjelly", "surrogate.PiecewiseExp(alpha=3.0)(x)", "SlayerExponential", {"slope": 3.0, "height": 1.5}, 1.0),
    ("spikingjelly", "surrogate.Erf()(x)", "Gaussian", {"sigma": 1 / (2 * math.sqrt(2))}, 1.0),
    ("spikingjelly", "surrogate.Erf(alpha=1.0)(x)", "Gaussian", {"sigma": 1 / math.sqrt(2)}, 1.0),
    ("spikingjelly", "surrogate.Rect()(x)", "Boxcar", {"width": 1.0, "height": 1.0}, 1.0),
    ("spikingjelly", "surrogate.Rect(alpha=2.0)(x)", "Boxcar", {"width": 0.5, "height": 2.0}, 1.0),
    ("spikingjelly", "surrogate.LeakyKReLU()(x)", "LeakyGradient", {"below": 0.0, "above": 1.0}, 1.0),
    ("spikingjelly", "surrogate.LeakyKReLU(leak=0.2, k=0.7)(x)", "LeakyGradient", {"below": 0.2, "above": 0.7}, 1.0),
    ("spikingjelly", "surrogate.DeterministicPass()(x)", "StraightThrough", {}, 1.0),
    ("norse", "functional.threshold(x, 'super', 100.0)", "SuperSpike", {"slope": 1.0}, 1.0),
    ("norse", "functional.threshold(x, 'super', 1.0)", "SuperSpike", {"slope": 1.0}, 1.0),
    ("norse", "functional.triangle_fn(x)", "Triangular", {"slope": 1.0, "height": 0.3}, 1.0),
    ("norse", "functional.threshold(x, 'tanh', 1.0)", "Tanh", {"slope": 1.0}, 1.0),
    ("norse", "functional.threshold(x, 'tanh', 3.0)", "Tanh", {"slope": 3.0}, 1.0),
    ("norse", "functional.logistic_fn(x, 1.0)", "StochasticEscape", {"slope": 2.0}, 2.0),
    ("norse", "functional.logistic_fn(x, 2.0)", "StochasticEscape", {"slope": 4.0}, 1.0),
    ("norse", "functional.threshold(x, 'heavi_erfc', 1.0)", "Gaussian", {"sigma": 1 / math.sqrt(2)}, 2.0),
    ("norse", "functional.threshold(x, 'heavi_erfc', 2.0)", "Gaussian", {"sigma": 1 / (2 * math.sqrt(2))}, 1.0),
    ("norse", "functional.threshold(x, 'circ', 1.0)", None, {}, 1.0),
    ("sinabs", sinabs("SingleExponential()"), "SlayerExponential", {"slope": 2.0, "height": 2.0}, 1.0),
    ("sinabs", sinabs("SingleExponential()", 2.0), "SlayerExponential", {"slope": 1.0, "height": 1.0}, 1.0),
    ("sinabs", sinabs("Gaussian()"), "Gaussian", {"sigma": 0.5}, 1.0),
    ("sinabs", sinabs("MultiGaussian()"), "MultiGaussian", {"sigma": 0.5, "height": 0.15, "spread": 6.0}, 1.0),
    ("sinabs", sinabs("Heaviside()"), None, {}, 1.0),
]


def evaluate(call: str, names: dict, points: list[float], library: str) -> tuple[list[float], list[float]]:
    """Outputs and derivatives of the expression `call` in `x`."""
    if library == "spyx":
        import jax
        import jax.numpy as jnp

        outputs, pullback = jax.vjp(lambda x: eval(call, names | {"x": x}), jnp.asarray(points))
        (derivatives,) = pullback(jnp.ones_like(outputs))
        return outputs.tolist(), derivatives.tolist()
    import torch

    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    outputs = eval(call, names | {"x": x})
    outputs.sum().backward()
    return outputs.tolist(), x.grad.tolist()  # pyright: ignore[reportOptionalMemberAccess]


def main() -> None:
    os.environ["JAX_ENABLE_X64"] = "1"
    frozen = json.loads(FILE.read_text()) if FILE.exists() else {"versions": {}, "fires_at_threshold": {}, "rows": []}
    kept = {(row["library"], row["call"]): row for row in frozen["rows"]}
    frozen["grid"] = GRID
    for library, modules in IMPORTS.items():
        try:
            names = {name: importlib.import_module(module) for name, module in modules.items()}
        except ImportError:
            continue
        frozen["versions"][library] = importlib.metadata.version(library)
        frozen["fires_at_threshold"][library] = evaluate(FIRES[library], names, [0.0], library)[0][0] == 1.0
        for key in [key for key in kept if key[0] == library]:
            del kept[key]
        for _, call, snnx, arguments, factor in (row for row in ROWS if row[0] == library):
            row = {"library": library, "call": call, "snnx": snnx, "arguments": arguments, "factor": factor}
            try:
                derivative = evaluate(call, names, GRID, library)[1]
                row["derivative"] = [None if math.isnan(d) else d for d in derivative]
            except (TypeError, RuntimeError) as error:
                row["error"] = f"{type(error).__name__}: {error}"
            kept[library, call] = row
    frozen["rows"] = [kept[row[:2]] for row in ROWS if row[:2] in kept]
    lines = ",\n".join("  " + json.dumps(row) for row in frozen.pop("rows"))
    FILE.write_text(json.dumps(frozen, sort_keys=True)[:-1] + ',\n "rows": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
