"""Memory and time of a gradient over the time steps: plain BPTT, BPTT with rematerialisation, EventProp on the grid, from event
to event.

    python benchmarks/gradient_memory.py [--rounds 3] [--plot memory.png] [--steps 125 250 500 1000 2000]

Linear(64, 256), 256 recurrent CubaLIF neurons with `method="exact"`, Linear(256, 20), a CubaLI that is averaged over time, a
batch of 16. Memory is XLA's count of temporaries for the compiled gradient; rounds of timing are interleaved. On the grid the
input goes on for as long as there are steps; event-driven, the spikes are the same for every duration: 128 at the input of each
example, all within the first 125 units, and room for 128 of the neurons.
"""

import argparse
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

IN, WIDTH, OUT, BATCH = 64, 256, 20, 16
STEPS = (125, 250, 500, 1000, 2000)
KEPT = {"keep": "all"}  # in one chunk: the number of steps is filled in below
WAYS: dict[str, tuple[snnx.neurons.EventProp | None, dict[str, Any]]] = {
    "BPTT": (None, KEPT),
    "BPTT, simulate's default": (None, {}),
    "EventProp": (snnx.neurons.EventProp(), KEPT),
    "EventProp, simulate's default": (snnx.neurons.EventProp(), {}),
}
EVENT_DRIVEN, EVENTS, ROOM = "EventProp, event-driven", 128, 128
COLORS = {"BPTT": "#8a949e", "EventProp": "#1f5f9f"}


def make_model(gradient: snnx.neurons.EventProp | None) -> snnx.Sequential:
    keys = jax.random.split(jax.random.key(0), 3)
    first, back, last = (
        eqx.nn.Linear(a, b, use_bias=False, key=k)
        for (a, b), k in zip(((IN, WIDTH), (WIDTH, WIDTH), (WIDTH, OUT)), keys, strict=True)
    )
    first = eqx.tree_at(lambda layer: layer.weight, first, 0.5 * jax.random.normal(keys[0], (WIDTH, IN)))
    neuron = snnx.CubaLIF(20.0, 5.0, r=1.0, method="exact", gradient=gradient)
    return snnx.Sequential([first, snnx.Recurrent(neuron, back), last, snnx.CubaLI(20.0, 5.0, 1.0, method="exact")])


def event_driven(duration: int) -> tuple[Any, tuple]:
    """`compiled` in continuous time."""
    params, static = eqx.partition(make_model(None), eqx.is_inexact_array)
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0.0, min(STEPS), (BATCH, EVENTS)), axis=1).astype(np.float32)
    indices, labels = rng.integers(0, IN, (BATCH, EVENTS)), jnp.asarray(rng.integers(0, OUT, BATCH))

    def of_batch(params: Any, times: jax.Array, indices: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(when: jax.Array, which: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
            events = snnx.event.make_events(when, which, size=IN)
            model = eqx.combine(params, static)
            run = snnx.event.simulate(model, events, duration=float(duration), capacity=ROOM, overflow="report")
            logits = run.output.integral(1.0 / duration)
            spikes = jnp.where(run.overflow, -1, run.spikes["1.neuron"].count)
            return jax.nn.logsumexp(logits) - logits[label], spikes

        losses, spikes = jax.vmap(one)(times, indices, labels)
        return jnp.mean(losses), spikes

    given = (params, jnp.asarray(times), jnp.asarray(indices), labels)
    return jax.jit(jax.grad(of_batch, has_aux=True)).lower(*given).compile(), given


def compiled(way: str, steps: int) -> tuple[Any, tuple]:
    """The compiled gradient of a batch's mean loss, and what it takes."""
    if way == EVENT_DRIVEN:
        return event_driven(steps)
    gradient, kept = WAYS[way]
    options: dict[str, Any] = kept | ({"chunk": steps} if kept else {})
    params, static = eqx.partition(make_model(gradient), eqx.is_inexact_array)
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.random((BATCH, steps, IN)) < 0.05, jnp.float32)
    labels = jnp.asarray(rng.integers(0, OUT, BATCH))
    loss = snnx.CrossEntropy(snnx.Mean())

    def of_batch(params: Any, xs: jax.Array, labels: jax.Array) -> jax.Array:
        def one(x: jax.Array, label: jax.Array) -> jax.Array:
            reduced, _ = snnx.simulate(eqx.combine(params, static), x, readout=loss.readout, **options)
            return loss(reduced, label, record={})

        return jnp.mean(jax.vmap(one)(xs, labels))

    given = (params, xs, labels)
    return jax.jit(jax.grad(of_batch)).lower(*given).compile(), given


def spike_rate(xs: jax.Array) -> float:
    """Spikes per neuron and step: a silent network would be no measurement."""
    model = make_model(None)
    seen = jax.jit(jax.vmap(lambda x: snnx.simulate(model, x, record={"1": snnx.Mean()})[2]["1"]))(xs)
    return float(jnp.mean(seen))


def measure(sizes: tuple[int, ...], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Of every way and number of steps: temporaries in MB, and milliseconds."""
    ways = (*WAYS, EVENT_DRIVEN)
    found = {way: {"mb": [], "ms": []} for way in ways}
    for steps in sizes:
        jobs = {way: compiled(way, steps) for way in ways}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for way, (program, given) in jobs.items():
            jax.block_until_ready(program(*given))
            found[way]["mb"].append(program.memory_analysis().temp_size_in_bytes / 1e6)
        for _ in range(rounds):
            for way, (program, given) in jobs.items():
                start = time.perf_counter()
                jax.block_until_ready(program(*given))
                times[way].append(1e3 * (time.perf_counter() - start))
        program, given = jobs[EVENT_DRIVEN]
        spikes = np.asarray(program(*given)[1])
        if np.any(spikes < 0):
            raise SystemExit(f"{EVENT_DRIVEN}: more than {ROOM} spikes in one example; raise ROOM.")
        rate = spike_rate(jobs["BPTT"][1][1])
        print(
            f"{steps} steps: {rate:.3f} spikes per neuron and step; {spikes.mean():.1f} event-driven", file=sys.stderr
        )
        for way in ways:
            found[way]["ms"].append(statistics.median(times[way]))
    return found


def as_markdown(sizes: tuple[int, ...], found: dict[str, dict[str, list[float]]]) -> str:
    lines = [
        "| steps | gradient | temporaries MB | of BPTT's | median ms | of BPTT's |",
        "|---" * 6 + "|",
    ]
    for i, steps in enumerate(sizes):
        for way in found:
            mb, ms = (found[way][what][i] for what in ("mb", "ms"))
            whole, slow = found["BPTT"]["mb"][i], found["BPTT"]["ms"][i]
            lines.append(f"| {steps} | {way} | {mb:.2f} | {mb / whole:.3f} | {ms:.0f} | {ms / slow:.2f} |")
    return "\n".join(lines)


def draw_figure(path: pathlib.Path, sizes: tuple[int, ...], found: dict[str, dict[str, list[float]]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    memory, duration = figure.subplots(1, 2)
    for ax, what, label in ((memory, "mb", "temporaries, MB"), (duration, "ms", "a gradient, ms")):
        for way in found:
            gradient, _, default = way.partition(", ")
            style = "^:" if way == EVENT_DRIVEN else "s--" if default else "o-"
            ax.loglog(sizes, found[way][what], style, color=COLORS[gradient], markersize=4, label=way)
        if what == "mb":
            quarter = [mb / 4 for mb in found["BPTT"]["mb"]]
            ax.loglog(sizes, quarter, ":", color="black", linewidth=1, label="a quarter of BPTT")
        ax.set(xlabel="time steps", ylabel=label, xticks=sizes)
        ax.set_xticks([], minor=True)
        ax.set_xticklabels([str(size) for size in sizes])
        ax.spines[["top", "right"]].set_visible(False)
    memory.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--plot", type=pathlib.Path, help="a PNG of memory and time over the steps")
    args = parser.parse_args()
    found = measure(tuple(args.steps), args.rounds)
    print(as_markdown(tuple(args.steps), found))
    if args.plot:
        draw_figure(args.plot, tuple(args.steps), found)


if __name__ == "__main__":
    main()
