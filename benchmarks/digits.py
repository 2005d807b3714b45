"""The main job, as a user runs it: `snnx train digits` for several seeds, then again with the programs cached.

    python benchmarks/digits.py [--seeds 5] [--json results.json]

Every run is a process of its own, timed from its start to its end, import and pictures included. The first seed finds an
empty compilation cache, so does every other: each has a cache folder of its own. The second round finds them filled.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def run(seed, folder, cache):
    """Accuracy, spike rate and seconds of one run."""
    call = [sys.executable, "-m", "snnx", "train", "digits", "--seed", str(seed), "--run", str(folder), "--quiet"]
    start = time.perf_counter()
    subprocess.run(call, env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    test = json.loads((folder / "test.json").read_text())
    return {"seed": seed, "accuracy": test["accuracy"], "spike_rates": test["spike_rates"], "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        rounds = {
            name: [run(seed, root / name / str(seed), root / "cache" / str(seed)) for seed in range(args.seeds)]
            for name in ("fresh", "cached")
        }
    for name, runs in rounds.items():
        seconds = [r["seconds"] for r in runs]
        accuracy = statistics.mean(r["accuracy"] for r in runs)
        print(f"{name}: median {statistics.median(seconds):.1f} s, max {max(seconds):.1f} s")
        print(f"  mean accuracy {100 * accuracy:.2f} %")
        print("  " + ", ".join(f"seed {r['seed']}: {100 * r['accuracy']:.2f} %" for r in runs))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    main()
