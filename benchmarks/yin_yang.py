"""Yin-Yang with exact gradients: event-driven, EventProp on the clock's grid, and a surrogate, on one network.

    python benchmarks/yin_yang.py --epochs 60 --seeds 3

5-120-3: four latencies and a bias spike, each neuron fires at most once, a readout whose maximum over time decides. The training
set is shuffled, the epoch with the lowest validation loss is tested. CPU seconds are those of the process, compiling apart.
"""

import argparse
import functools
import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import snnx

HIDDEN, BATCH, STEPS = 120, 50, 60
EARLY, LATE = 2.0, 42.0
SETS = {"train": (5000, 42), "validation": (1000, 41), "test": (1000, 40)}


def network(seed: int) -> snnx.Sequential:
    """5-120-3; with `dt=1`, a time constant of 20 is 20 steps."""
    key_1, key_2 = jax.random.split(jax.random.key(seed))
    first = eqx.nn.Linear(5, HIDDEN, use_bias=False, key=key_1)
    first = eqx.tree_at(lambda layer: layer.weight, first, 4.5 + 3.6 * jax.random.normal(key_1, (HIDDEN, 5)))
    second = eqx.nn.Linear(HIDDEN, 3, use_bias=False, key=key_2)
    second = eqx.tree_at(lambda layer: layer.weight, second, 0.2 + 0.4 * jax.random.normal(key_2, (3, HIDDEN)))
    once = snnx.CubaLIF(20.0, 5.0, r=1.0, reset=snnx.ValueReset(0.0), refractory=2 * STEPS, method="exact")
    return snnx.Sequential([first, once, second, snnx.CubaLI(20.0, 5.0, r=1.0, method="exact")])


def optimizer(epochs: int) -> optax.GradientTransformation:
    """The same for all three."""
    rate = optax.cosine_decay_schedule(1e-2, epochs * SETS["train"][0] // BATCH)
    return optax.chain(optax.clip_by_global_norm(5.0), optax.adam(rate))


def events(split: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sorted times, channels, labels."""
    points, labels = snnx.data.yin_yang_points(*SETS[split])
    bias = np.full((len(points), 1), EARLY)
    times = np.concatenate([EARLY + points * (LATE - EARLY), bias], axis=1)
    order = np.argsort(times, axis=1, kind="stable")
    return (
        jnp.asarray(np.take_along_axis(times, order, 1), jnp.float32),
        jnp.asarray(order, jnp.int32),
        jnp.asarray(labels),
    )


def example_loss(model: snnx.Sequential, times: jax.Array, channels: jax.Array, label: jax.Array) -> tuple:
    """Loss, and whether the class is right, of one example."""
    given = snnx.event.make_events(times, channels, size=5)
    run = snnx.event.simulate(model, given, duration=float(STEPS), most=1, capacity=HIDDEN)
    scores = run.output.maximum()
    return optax.softmax_cross_entropy_with_integer_labels(scores, label), jnp.argmax(scores) == label


@eqx.filter_jit
def score(model: snnx.Sequential, data: tuple) -> tuple[jax.Array, jax.Array]:
    """Mean loss and accuracy of a set."""
    losses, right = jax.vmap(functools.partial(example_loss, model))(*data)
    return losses.mean(), right.mean()


@eqx.filter_jit
def one_epoch(update, data: tuple, model: snnx.Sequential, state, key: jax.Array) -> tuple:
    """An epoch as one program."""
    order = jax.random.permutation(key, len(data[0])).reshape(-1, BATCH)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def step(carry: tuple, index: jax.Array) -> tuple:
        params, state = carry

        def batch_loss(params):
            whole = eqx.combine(params, static)
            return jax.vmap(functools.partial(example_loss, whole))(*(x[index] for x in data))[0].mean()

        updates, state = update(jax.grad(batch_loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (params, state), order)
    return eqx.combine(params, static), state


def event_driven(seed: int, epochs: int) -> tuple[float, float]:
    """Test accuracy, CPU seconds per epoch."""
    train, valid, test = map(events, ("train", "validation", "test"))
    model, optim = network(seed), optimizer(epochs)
    state, best, spent = optim.init(eqx.filter(model, eqx.is_inexact_array)), (np.inf, model), []
    for epoch in range(epochs):
        begin = time.process_time()
        model, state = one_epoch(optim.update, train, model, state, jax.random.fold_in(jax.random.key(seed), epoch))
        jax.block_until_ready(state)
        spent.append(time.process_time() - begin)
        loss = float(score(model, valid)[0])
        best = (loss, model) if loss < best[0] else best
    return float(score(best[1], test)[1]), statistics.median(spent[1:])


def on_the_clock(seed: int, epochs: int, gradient: snnx.EventProp | None) -> tuple[float, float]:
    """The same network, in 60 steps."""
    data = [
        snnx.data.yin_yang(split, steps=STEPS, t_early=EARLY, t_late=LATE, t_bias=EARLY)
        for split in ("train", "validation", "test")
    ]
    begin = time.process_time()
    result = snnx.fit(
        snnx.with_gradient(network(seed), gradient),
        data[0],
        loss=snnx.CrossEntropy(snnx.Max()),
        optimizer=optimizer(epochs),
        epochs=epochs,
        batch_size=BATCH,
        validation=data[1],
        key=jax.random.key(seed),
        progress=False,
    )
    seconds = (time.process_time() - begin - result.compilation.total) / epochs
    return float(snnx.evaluate(result.model, data[2], loss=snnx.CrossEntropy(snnx.Max())).accuracy), seconds


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="the beginning of the names of those to run")
    chosen = parser.parse_args()
    ways = {
        "event-driven": event_driven,
        "EventProp on the clock": functools.partial(on_the_clock, gradient=snnx.EventProp()),
        "surrogate (ATan)": functools.partial(on_the_clock, gradient=None),
    }
    print("| gradient | test accuracy, mean | seeds | CPU seconds per epoch |\n|---|---|---|---|")
    for name, train in ways.items():
        if not name.startswith(chosen.only):
            continue
        found = [train(seed, chosen.epochs) for seed in range(chosen.seeds)]
        accuracies = [accuracy for accuracy, _ in found]
        each = ", ".join(f"{100 * a:.1f}" for a in accuracies)
        seconds = statistics.median(s for _, s in found)
        print(f"| {name} | {100 * statistics.mean(accuracies):.2f} % | {each} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
