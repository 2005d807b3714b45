"""From a file of the size of SHD to the device: reading beside tonic's class, the cache, the batch's way to the step, streams.

    python benchmarks/data.py [--recordings 8156] [--rounds 5]

The file is made up: recordings of 0.3 to 1.3 s with 8000 spikes on average, in SHD's format. tonic's class is looped over with
its `ToFrame` (a dense raster, which a data set for training then still has to be made of) and without (events only); it and
snnx read the same file, warm in the system's cache. Every measurement is a process of its own, so that peak memory is its own.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

UNITS, STEPS, DT = 700, 140, 0.01


def write(path: pathlib.Path, recordings: int) -> None:
    """A file in SHD's format."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    times, units = np.empty(recordings, object), np.empty(recordings, object)
    for i in range(recordings):
        count = max(500, int(rng.normal(8000, 2000)))
        times[i] = np.sort(rng.uniform(0, 0.3 + rng.uniform(), count)).astype(np.float16)
        units[i] = rng.integers(0, UNITS, count).astype(np.uint16)
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("spikes/times", data=times, dtype=h5py.vlen_dtype(np.float16))
        file.create_dataset("spikes/units", data=units, dtype=h5py.vlen_dtype(np.uint16))
        file["labels"] = rng.integers(0, 20, recordings)
        file["extra/speaker"] = rng.integers(0, 12, recordings)
        file["extra/keys"] = np.array([f"class {i}".encode() for i in range(20)])
    path.with_name(path.name + ".zip").touch()  # which tonic looks for


def tonic_loop(root: str, frames: bool, recordings: int) -> None:
    import tonic
    from tonic.transforms import ToFrame

    transform = ToFrame(sensor_size=(UNITS, 1, 1), time_window=DT * 1e6) if frames else None
    data = tonic.datasets.SHD(save_to=root, train=True, transform=transform)
    start = time.perf_counter()
    for i in range(recordings):
        data[i]
    report(time.perf_counter() - start)


def snnx_read(root: str, layout: str, cache: bool) -> None:
    import warnings

    import jax

    import snnx

    warnings.simplefilter("ignore", snnx.DataLossWarning)
    jax.block_until_ready(jax.numpy.zeros(1))
    start = time.perf_counter()
    binarize = layout == "bits"
    data = snnx.data.shd(root, dt=DT, layout=layout, binarize=binarize, cache=cache, progress=False)
    jax.block_until_ready(data)
    report(time.perf_counter() - start, f"{data.nbytes / 1e6:.0f} MB")


def report(seconds: float, more: str = "") -> None:
    import resource

    print(f"{seconds:.4f} | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} | {more}")


def gather(root: str) -> None:
    """The share of a training step that gathering its batch from the whole data set and unpacking it takes."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    import snnx

    key = jax.random.split(jax.random.key(0), 4)
    model = snnx.Sequential(
        [
            eqx.nn.Linear(128, 64, key=key[0]),
            snnx.LIF(),
            eqx.nn.Linear(64, 64, key=key[1]),
            snnx.LIF(),
            eqx.nn.Linear(64, 20, key=key[2]),
            snnx.LI(),
        ]
    )
    spikes = np.random.default_rng(0).random((2048, 128, 128), np.float32) < 0.05
    labels = np.arange(2048) % 20
    for layout in ("lists", "bits", "counts", "events", "floats"):
        data = snnx.data.from_spikes(spikes, labels, sample_shape=(128,), layout="bits").as_layout(layout)
        settings = dict(loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.adam(1e-3), batch_size=256, progress=False)
        steps = []
        for _ in range(3):
            history = snnx.fit(model, data, epochs=4, key=key[3], devices=jax.devices()[:1], **settings).history
            steps += [record["seconds"] / 8 for record in history[1:]]

        dense = layout != "lists"  # which the first layer takes as they are

        def batches(data, order, dense=dense):
            def one(total, index):
                inputs = data.take(index).inputs
                xs = jax.vmap(lambda x: x.dense())(inputs) if dense else inputs.channels
                return total + jnp.sum(xs.astype(jnp.float32)), None

            return jax.lax.scan(one, jnp.zeros(()), order.reshape(8, 256))[0]

        batches = jax.jit(batches, static_argnames="dense")
        order = jnp.asarray(np.random.default_rng(1).permutation(2048))
        batches(data, order).block_until_ready()
        alone = []
        for _ in range(9):
            start = time.perf_counter()
            batches(data, order).block_until_ready()
            alone.append((time.perf_counter() - start) / 8)
        step, own = statistics.median(steps), statistics.median(alone)
        print(
            f"| {layout} | {1e3 * step:.1f} | {1e3 * own:.2f} | {own / step:.1%} | {data.nbytes / 1e6:.1f} |",
            flush=True,
        )


def streams(root: str) -> None:
    """An epoch over a data set on the device, streamed from the host's memory, and from a loader that takes its time."""
    import equinox as eqx
    import jax
    import optax

    import snnx

    key = jax.random.split(jax.random.key(0), 4)
    data = snnx.data.shd(root, dt=DT, layout="counts", progress=False)
    count = min(len(data), 4096) // 8
    data = data.subset(range(8 * count))
    model = snnx.Sequential(
        [
            eqx.nn.Linear(UNITS, 128, key=key[0]),
            snnx.LIF(tau=0.02, dt=DT),
            eqx.nn.Linear(128, 20, key=key[1]),
            snnx.LI(tau=0.02, dt=DT),
        ]
    )
    parts = [data.subset(range(i * count, (i + 1) * count)) for i in range(8)]

    def slowly(number: int) -> snnx.SpikeDataset:
        time.sleep(0.3)
        return parts[number]

    for name, given in (
        ("on the device", data),
        ("streamed, 8 chunks", snnx.data.stream(data, count)),
        ("loaded, 0.3 s each of 8 chunks", snnx.data.stream_chunks(slowly, [count] * 8)),
    ):
        history = snnx.fit(
            model,
            given,
            loss=snnx.CrossEntropy(snnx.Mean()),
            optimizer=optax.adam(1e-3),
            epochs=4,
            batch_size=128,
            key=key[3],
            progress=False,
        ).history
        print(f"| {name} | {statistics.median(r['seconds'] for r in history[1:]):.2f} |", flush=True)


def child(*arguments: object) -> tuple[float, float, str]:
    """Seconds, peak memory in MB, and a remark, of one measurement in a process of its own."""
    call = [sys.executable, __file__, "--child", *map(str, arguments)]
    found = subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]
    seconds, peak, more = (part.strip() for part in found.split("|"))
    return float(seconds), float(peak), more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=8156)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        what, root, *rest = args.child
        if what == "tonic":
            tonic_loop(root, rest[0] == "frames", int(rest[1]))
        elif what == "snnx":
            snnx_read(root, rest[0], rest[1] == "cache")
        else:
            {"gather": gather, "streams": streams}[what](root)
        return
    with tempfile.TemporaryDirectory() as root:
        file = pathlib.Path(root) / "SHD" / "shd_train.h5"
        write(file, args.recordings)
        print(f"{args.recordings} recordings, {file.stat().st_size / 1e6:.0f} MB\n")
        jobs = {
            "tonic's class with ToFrame": ("tonic", root, "frames", args.recordings),
            "tonic's class, events only": ("tonic", root, "events", args.recordings),
            **{f"snnx, {layout}": ("snnx", root, layout, "no") for layout in ("bits", "counts", "events")},
            "snnx, events, kept for the next time": ("snnx", root, "events", "cache"),
            "snnx, events, kept before": ("snnx", root, "events", "cache"),
            "snnx, bits, kept before": ("snnx", root, "bits", "cache"),
        }
        found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in jobs}
        for _ in range(args.rounds):
            for kept in file.parent.glob(".snnx/*"):
                kept.unlink()
            for name, job in jobs.items():
                found[name].append(child(*job))
        base = statistics.median(seconds for seconds, *_ in found["tonic's class with ToFrame"])
        print("| | min s | median s | times faster | peak MB | on the device |\n|---|---|---|---|---|---|")
        for name, values in found.items():
            seconds = [value[0] for value in values]
            middle = statistics.median(seconds)
            peak = max(value[1] for value in values)
            print(f"| {name} | {min(seconds):.2f} | {middle:.2f} | {base / middle:.1f} | {peak:.0f} | {values[0][2]} |")
        print(
            "\n| W1 (128-64-64-20, T=128, B=256) from | step ms | its batch alone ms | share | MB |\n|---|---|---|---|---|"
        )
        sys.stdout.flush()
        subprocess.run([sys.executable, __file__, "--child", "gather", root], check=True)
        print("\n| 700-128-20, half of the recordings, an epoch | s |\n|---|---|")
        sys.stdout.flush()
        subprocess.run([sys.executable, __file__, "--child", "streams", root], check=True)


if __name__ == "__main__":
    main()
