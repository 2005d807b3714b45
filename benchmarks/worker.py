"""One peer at one workload, in a process of its own: `python -m benchmarks.worker PEER WORKLOAD --data FILE [--quick]`.

It builds, makes its first call, and prints a line of JSON. Then it answers: a line `round` with the seconds of one round,
a line `quit` with its peak memory. It imports nothing beyond NumPy until it knows its peer.
"""

import argparse
import importlib
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import resource
import sys
import time
from typing import Any

import numpy as np

from benchmarks.peers import PEERS, Job
from benchmarks.workloads import HIGHEST_RATE, LOWEST_RATE, Workload, workloads

PACKAGES = """numpy jax jaxlib equinox optax snnx flax spyx torch snntorch norse spikingjelly sinabs""".split()


def first_call(name: str, work: Workload, data: dict[str, np.ndarray]) -> tuple[Job, dict[str, Any]]:
    """A peer's job, and what is known of it after its first call.

    **Raises:** `ValueError` for a layer that is silent or saturated, and for numbers that are not finite.
    """
    peer = PEERS[name]
    job = importlib.import_module(f"benchmarks.peers.{peer.module}").build(work, data, peer.variant)
    loss, rates = job.check()
    for i, rate in enumerate(rates):
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"layer {i} fires at {rate:.2%}, outside {LOWEST_RATE:.1%} to {HIGHEST_RATE:.0%}")
    start = time.perf_counter()
    backward = job.run()
    seconds = time.perf_counter() - start
    if not (math.isfinite(loss) and math.isfinite(backward)):
        raise ValueError(f"not finite: loss {loss}, backward {backward}")
    return job, {
        "versions": versions(),
        "first_call_s": seconds,
        "loss": loss,
        "rates": rates,
        "backward": backward,
        "temporaries_mb": job.temporaries_mb,
        "note": job.note,
    }


def timed_round(job: Job, work: Workload) -> dict[str, float]:
    """Seconds per step of one round: of the clock, and of all processors together."""
    start, start_cpu = time.perf_counter(), time.process_time()
    job.run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {"seconds_per_step": seconds / work.round_steps, "cpu_seconds_per_step": cpu / work.round_steps}


def versions() -> dict[str, str]:
    """Those of Python and of the packages that matter and are here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_rss_mb() -> float:
    """The most memory that this process has held. (`ru_maxrss` may be that of the process that started it.)"""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("workload")
    parser.add_argument("--data", required=True)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what a library prints goes to the errors

        def answer(what: dict[str, Any]) -> None:
            print(json.dumps(what), file=answers, flush=True)

        work = workloads(args.quick)[args.workload]
        job, found = first_call(args.peer, work, dict(np.load(args.data)))
        answer(found)
        for line in sys.stdin:
            if line.strip() == "quit":
                answer({"peak_rss_mb": peak_rss_mb()})
                break
            answer(timed_round(job, work))


if __name__ == "__main__":
    main()
