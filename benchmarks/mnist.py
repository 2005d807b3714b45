"""A small spiking CNN on the 10,000 test pictures of MNIST: 7200 to train, 800 to validate, 2000 to test.

    python benchmarks/mnist.py --root FOLDER [--seeds 1] [--epochs 12]

FOLDER holds `t10k-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte.gz`. Pictures are shown as a constant current for 8 steps;
28x28-C16-P2-C32-P2-10 with LIF neurons, read out by a leaky integrator; the epoch of the lowest validation loss is tested.
"""

import argparse
import gzip
import pathlib
import statistics

import equinox as eqx
import jax
import numpy as np
import optax

import snnx

STEPS = 8


def read(path: pathlib.Path, head: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=head)


def run(images: np.ndarray, labels: np.ndarray, seed: int, epochs: int) -> tuple[float, float]:
    """Test accuracy, and seconds per epoch."""
    key_split, key_fit, k1, k2, k3 = jax.random.split(jax.random.key(seed), 5)
    data = snnx.data.from_constant(images, labels, steps=STEPS)
    train, valid, test = data.split((0.72, 0.08, 0.2), key=key_split)
    model = snnx.Sequential(
        [
            eqx.nn.Conv2d(1, 16, 5, key=k1),
            snnx.LIF(tau=5.0),
            snnx.layers.SumPool2d(2),
            eqx.nn.Conv2d(16, 32, 5, key=k2),
            snnx.LIF(tau=5.0),
            snnx.layers.SumPool2d(2),
            snnx.Flatten(),
            eqx.nn.Dropout(0.3),
            eqx.nn.Linear(512, 10, key=k3),
            snnx.LI(tau=5.0),
        ]
    )
    updates = epochs * -(-len(train) // 64)
    result = snnx.fit(
        model,
        train,
        loss=snnx.CrossEntropy(snnx.Mean()),
        optimizer=optax.adamw(optax.cosine_decay_schedule(2e-3, updates), weight_decay=1e-3),
        epochs=epochs,
        batch_size=64,
        validation=valid,
        augment=[snnx.augment.Translate(2, 2)],
        key=key_fit,
    )
    scored = snnx.evaluate(result.model, test)
    print(f"seed {seed}: {scored}; best epoch {result.best_epoch}", flush=True)
    assert scored.accuracy is not None
    return scored.accuracy, statistics.median(record["seconds"] for record in result.history)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    snnx.use_cores()
    images = read(args.root / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    labels = read(args.root / "t10k-labels-idx1-ubyte.gz", 8).astype(int)
    found = [run(images, labels, seed, args.epochs) for seed in range(args.seeds)]
    accuracy, seconds = statistics.mean(a for a, _ in found), statistics.median(s for _, s in found)
    print(f"mean accuracy {100 * accuracy:.2f} %, {seconds:.1f} s an epoch")


if __name__ == "__main__":
    main()
