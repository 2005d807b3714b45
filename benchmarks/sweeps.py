"""How cost grows: with time steps, width, batch and depth; compile time and memory besides.

    python -m benchmarks.sweeps [--rounds 5] [--out FOLDER] [--quick]

Training steps (forward, backward, Adam; many in one program) of Linear + LIF layers with a readout, by snnx with its
defaults and by the naive scan, one size varied at a time. The slope is that of a straight line through the logarithms of
the upper half of the sizes: 1 where the time is proportional. Memory is XLA's count of temporaries.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import snnx
from benchmarks import report
from benchmarks.peers import naive_jax, snnx_peer
from benchmarks.peers.jax_common import Train, batches
from benchmarks.workloads import Layer, Workload, draw

BASE = {"steps": 128, "width": 128, "batch": 64, "depth": 2}
SIZES = {
    "steps": (32, 64, 128, 256, 512, 1024),
    "width": (32, 64, 128, 256, 512, 1024),
    "batch": (8, 16, 32, 64, 128, 256),
    "depth": (1, 2, 4, 8),
}
QUICK = {"steps": (8, 16), "width": (8, 16), "batch": (2, 4), "depth": (1, 2)}
MEMORY_STEPS, TRUNCATE = (64, 128, 256, 512, 1024, 2048), 64
WAYS = {
    "naive scan": None,
    "all kept": {"keep": "all"},
    "membranes kept": {"keep": "membranes"},
    "borders kept (the default)": {"keep": "borders"},
    f"borders kept, truncated after {TRUNCATE}": {"keep": "borders", "truncate": TRUNCATE},
}


def workload(steps: int, width: int, batch: int, depth: int) -> Workload:
    hidden = tuple(Layer((width, width)) for _ in range(depth))
    return Workload(
        "sweep", "", "train", (*hidden, Layer((20, width), fires=False)), (width,), steps, batch, 0.1, 4, batches=1
    )


def measure(axis: str, sizes: tuple[int, ...], base: dict[str, int], rounds: int) -> dict[str, Any]:
    """Of both, at every size: compile time, temporaries, the median of the rounds."""
    jobs = {}
    for size in sizes:
        work = workload(**base | {axis: size})
        data = draw(work)
        for name, module in (("snnx", snnx_peer), ("naive scan", naive_jax)):
            job = module.build(work, data, "")
            start = time.perf_counter()
            job.run()
            jobs[name, size] = work, job, time.perf_counter() - start
        print(f"{axis} {size}", file=sys.stderr, flush=True)
    times: dict[tuple[str, int], list[float]] = {key: [] for key in jobs}
    for _ in range(rounds):
        for key, (work, job, _) in jobs.items():
            start = time.perf_counter()
            job.run()
            times[key].append(1e3 * (time.perf_counter() - start) / work.round_steps)
    found: dict[str, Any] = {"sizes": sizes}
    for name in ("snnx", "naive scan"):
        medians = [statistics.median(times[name, size]) for size in sizes]
        found[name] = {
            "median_ms": medians,
            "min_ms": [min(times[name, size]) for size in sizes],
            "first_call_s": [jobs[name, size][2] for size in sizes],
            "temporaries_mb": [jobs[name, size][1].temporaries_mb for size in sizes],
            "slope": slope(sizes, medians),
        }
    return found


def slope(sizes: tuple[int, ...], values: list[float]) -> float:
    """Of a straight line through the logarithms of the upper half."""
    upper = len(sizes) // 2 if len(sizes) > 2 else 0
    return float(np.polyfit(np.log(sizes[upper:]), np.log(values[upper:]), 1)[0])


def memory(sizes: tuple[int, ...], base: dict[str, int]) -> dict[str, Any]:
    """Temporaries over the time steps, for every way to keep what the backward pass needs."""
    found: dict[str, Any] = {"sizes": sizes}
    for name, settings in WAYS.items():
        found[name] = []
        for steps in sizes:
            work = workload(**base | {"steps": steps})
            data = draw(work)
            if settings is None:
                job = naive_jax.build(work, data, "")
            else:
                job = _job(work, data, settings)
            job.run()
            found[name].append(job.temporaries_mb)
        print(f"memory, {name}", file=sys.stderr, flush=True)
    return found


def _job(work: Workload, data: dict[str, np.ndarray], settings: dict[str, Any]) -> Train:
    params, static = eqx.partition(snnx_peer.make_model(work, data), eqx.is_inexact_array)

    def forward(params: Any, xs: jax.Array, with_rates: bool) -> tuple[jax.Array, list]:
        model = eqx.combine(params, static)
        given = {"chunk": snnx.simulation.default_chunk(model, work.steps, work.batch)} | settings
        return jax.vmap(lambda x: snnx.simulate(model, x, readout=snnx.Mean(), **given)[0])(xs), []

    return Train(work, batches(work, data, time_axis=1), jax.tree.map(jnp.array, params), forward, batch_axis=0)


def as_markdown(run: dict[str, Any]) -> str:
    on, base = run["machine"], ", ".join(f"{name} {size}" for name, size in run["base"].items())
    lines = [
        "# How cost grows",
        "",
        f"{on['cpu']}, {on['cores']} cores, {on['date']}; JAX {run['jax']}; `{run['command']}`. Where not varied: {base}.",
    ]
    for axis, found in run["sweeps"].items():
        lines += ["", f"## {axis}", "", f"| {axis} | snnx ms | naive ms | snnx / naive | snnx MB | naive MB |"]
        lines += ["|---|---|---|---|---|---|"]
        ours, naive = found["snnx"], found["naive scan"]
        for i, size in enumerate(found["sizes"]):
            a, b = ours["median_ms"][i], naive["median_ms"][i]
            mb = [f"{f['temporaries_mb'][i]:.1f}" for f in (ours, naive)]
            lines.append(f"| {size} | {a:.3g} | {b:.3g} | {a / b:.2f} | {mb[0]} | {mb[1]} |")
        lines += ["", f"Slopes: snnx {ours['slope']:.2f}, naive scan {naive['slope']:.2f}."]
        seconds = ", ".join(f"{size}: {s:.2f} s" for size, s in zip(found["sizes"], ours["first_call_s"], strict=True))
        lines += [f"First call of snnx (tracing, compiling and four steps): {seconds}."]
    found = run["memory"]
    lines += ["", "## Temporaries in MB, over the time steps", ""]
    lines += ["| kept for the backward pass | " + " | ".join(map(str, found["sizes"])) + " |"]
    lines += ["|---" * (1 + len(found["sizes"])) + "|"]
    for name in WAYS:
        lines.append(f"| {name} | " + " | ".join(f"{mb:.1f}" for mb in found[name]) + " |")
    return "\n".join(lines) + "\n"


def draw_figure(path: pathlib.Path, run: dict[str, Any]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 6.4), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    colors = {"snnx": "#1f5f9f", "naive scan": "#8a949e"}
    for ax, (axis, found) in zip(axes, run["sweeps"].items(), strict=False):
        for name, color in colors.items():
            label = f"{name}, slope {found[name]['slope']:.2f}"
            ax.loglog(found["sizes"], found[name]["median_ms"], "o-", color=color, label=label, markersize=4)
        ax.set(title=f"time over {axis}", xlabel=axis, ylabel="ms per training step", xticks=found["sizes"])
        ax.set_xticks([], minor=True)
        ax.set_xticklabels(found["sizes"])
    for axis, style in (("steps", "o-"), ("depth", "s--")):
        found = run["sweeps"][axis]
        axes[4].semilogx(
            found["sizes"], found["snnx"]["first_call_s"], style, color=colors["snnx"], label=f"over {axis}", base=2
        )
    axes[4].set(title="first call of snnx", xlabel="steps, or depth", ylabel="s", ylim=(0, None))
    for name in WAYS:
        axes[5].loglog(run["memory"]["sizes"], run["memory"][name], "o-", label=name, markersize=4)
    axes[5].set(title="temporary memory over steps", xlabel="steps", ylabel="MB", ylim=(1, None))
    for ax in axes:
        ax.legend(frameon=False, fontsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default=".benchmarks/sweeps", help="folder for the figures (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small sizes: that it runs")
    args = parser.parse_args()
    sizes = QUICK if args.quick else SIZES
    base = {"steps": 8, "width": 4, "batch": 2, "depth": 1} if args.quick else BASE
    run = {
        "command": "python -m benchmarks.sweeps",
        "machine": report.machine(),
        "jax": jax.__version__,
        "base": base,
        "sweeps": {axis: measure(axis, sizes[axis], base, args.rounds) for axis in BASE},
        "memory": memory((8, 16) if args.quick else MEMORY_STEPS, base),
    }
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sweeps.json").write_text(json.dumps(run, indent=1) + "\n")
    (out / "sweeps.md").write_text(as_markdown(run))
    draw_figure(out / "sweeps.png", run)
    print(as_markdown(run))


if __name__ == "__main__":
    main()
