"""When lists of active channels beat bits: a training step from either, over the width of the input and the longest list.

    python benchmarks/first_layer.py [--rounds 5] [--channels 128 700 2048]

Channels-128-20, T=64, B=128, forward, backward and Adam as in `simulate.py`, with snnx's own schedule. The ratio is the
time from lists over the time from bits: below 1 lists win. The rule in `snnx/inputs/_layout.py` comes from this table.
"""

import argparse
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from simulate import Runner, make_model, snnx_outputs

import snnx

SHARES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)  # of the channels, that the longest list holds
STEPS, BATCH, REPEAT = 64, 128, 4


def spikes_of(channels: int, longest: int) -> np.ndarray:
    """Every step has from none to `longest` spikes; the first has all of them."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, longest + 1, (BATCH, STEPS, 1))
    counts[:, 0] = longest
    return rng.random((BATCH, STEPS, channels)).argsort(-1) < counts


def measure(channels: int, rounds: int) -> None:
    model = make_model((channels, 128, 20), jax.random.key(0))
    labels = jax.random.randint(jax.random.key(1), (BATCH,), 0, 20)
    rows = []
    for longest in sorted({max(1, round(share * channels)) for share in SHARES}):
        spikes = spikes_of(channels, longest)
        bits = snnx.inputs.Bits(snnx.inputs.pack_bits(spikes), (channels,))
        lists = snnx.inputs.ActiveChannels(snnx.inputs.pack_active(spikes), (channels,))
        rows.append(
            [longest]
            + [Runner(str(longest), snnx_outputs(None), model, inputs, labels, REPEAT) for inputs in (bits, lists)]
        )
    for _ in range(rounds):
        for _, *runners in rows:
            for runner in runners:
                runner.time()
    print(
        f"\n{channels} channels\n| longest list | channels / list | bits ms | lists ms | lists / bits | bits MB | lists MB |"
    )
    print("|---|---|---|---|---|---|---|")
    for longest, bits, lists in rows:
        assert jnp.allclose(bits.first_loss, lists.first_loss, rtol=1e-4)
        slow, fast = statistics.median(bits.times), statistics.median(lists.times)
        print(
            f"| {longest} | {channels / longest:.1f} | {slow:.2f} | {fast:.2f} | {fast / slow:.2f}"
            f" | {bits.temporaries_mb:.1f} | {lists.temporaries_mb:.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--channels", type=int, nargs="+", default=[128, 700, 2048])
    args = parser.parse_args()
    for channels in args.channels:
        measure(channels, args.rounds)


if __name__ == "__main__":
    main()
