"""Runs a workload: every peer in a process of its own, rounds interleaved, the reference first and last in each round."""

import contextlib
import json
import math
import os
import pathlib
import queue
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.environments import HERE, python_of
from benchmarks.peers import PEERS
from benchmarks.workloads import Workload, draw

REFERENCE = "naive_jax"
# How far the numbers of a peer may be from its reference's: products are summed in other orders, and where that moves a
# membrane over its threshold, a spike more or less follows.
RATES, BACKWARD = 5.0, 15.0  # in tolerances of the loss
PAUSE = 0.3  # seconds before a round, for the threads of the one before to come to rest


class Failure(Exception):
    """A peer that cannot take part, or no longer; the message is what the report says of it."""


class Worker:
    """One peer's process. It answers in lines of JSON, of which its first is what it found at its first call."""

    def __init__(self, peer: str, work: Workload, data: pathlib.Path, quick: bool, timeout: float):
        self._timeout, self._answers = timeout, queue.Queue()
        self._errors = tempfile.TemporaryFile()
        command = [python_of(PEERS[peer].environment), "-m", "benchmarks.worker", peer, work.name, "--data", str(data)]
        self._process = subprocess.Popen(
            [*command, *(["--quick"] if quick else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=HERE.parent,
            env=os.environ | {"JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "")},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.found = self._answer()
        except Failure:
            self.close()
            raise

    def ask(self, what: str) -> dict[str, Any]:
        """Send a line, and wait for the answer.

        **Raises:** `Failure` if the process ends or takes too long instead.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(what + "\n")
            self._process.stdin.flush()
        except OSError:
            raise Failure(self._last_words()) from None
        return self._answer()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=self._timeout)
        except queue.Empty:
            raise Failure(f"no answer within {self._timeout:.0f} s") from None
        if line is None:
            raise Failure(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"ended with code {self._process.returncode}"


def run(work: Workload, peers: Sequence[str], *, rounds: int, quick: bool, timeout: float, say: Any) -> dict[str, Any]:
    """All that was found at a workload: of each peer its figures, or its error."""
    wanted = [name for name in peers if PEERS[name].runs(work)]
    if len(wanted) < len(peers):
        say(f"{work.name}: not for {', '.join(name for name in peers if name not in wanted)}")
    # References come first: the numbers of the others are compared with theirs.
    needed = list(dict.fromkeys([REFERENCE, *(PEERS[name].reference for name in wanted)]))
    order = [*needed, *(name for name in wanted if name not in needed)]
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        data = pathlib.Path(scratch) / "data.npz"
        np.savez(data, **draw(work))  # pyright: ignore[reportArgumentType]
        workers: dict[str, Worker] = {}
        results: dict[str, dict[str, Any]] = {}
        for name in order:
            say(f"{work.name}: {name} starts")
            try:
                worker = Worker(name, work, data, quick, timeout)
                stack.callback(worker.close)
                results[name] = worker.found
                differences(worker.found, results[PEERS[name].reference], PEERS[name].tolerance)
                workers[name] = worker
            except (Failure, RuntimeError) as error:
                results[name] = results.get(name, {}) | {"error": str(error)}
                if name == REFERENCE:
                    raise
        times: dict[str, list[dict[str, float]]] = {name: [] for name in (*workers, "again")}
        for number in range(rounds):
            say(f"{work.name}: round {number + 1} of {rounds}")
            for name, worker in _turns(workers):
                time.sleep(PAUSE if not quick else 0.0)
                try:
                    times[name].append(worker.ask("round"))
                except Failure as error:
                    results[name]["error"] = str(error)
                    del workers[name]
        for name, worker in workers.items():
            results[name] |= worker.ask("quit")
    return _figures(work, results, times) | {"rounds": rounds}


def _turns(workers: dict[str, Worker]) -> Iterator[tuple[str, Worker]]:
    """Everybody once, and the reference once more."""
    yield from [*workers.items(), ("again", workers[REFERENCE])]


def differences(found: dict[str, Any], reference: dict[str, Any], tolerance: float) -> None:
    """Refuse numbers that are not those of the reference: then it did not do the same work.

    **Raises:** `Failure`, with what differs.
    """
    if "error" in reference:
        raise Failure(f"nothing to compare with: its reference failed ({reference['error']})")
    rates = list(zip(found["rates"], reference["rates"], strict=False))
    pairs = [
        ("loss", found["loss"], reference["loss"], tolerance),
        ("backward", found["backward"], reference["backward"], BACKWARD * tolerance),
    ]
    pairs += [(f"rate of layer {i}", a, b, RATES * tolerance) for i, (a, b) in enumerate(rates)]
    if len(found["rates"]) != len(reference["rates"]):
        raise Failure(f"{len(found['rates'])} spiking layers, but the reference has {len(reference['rates'])}")
    for what, came, expected, allowed in pairs:
        if not math.isclose(came, expected, rel_tol=allowed, abs_tol=1e-6):
            raise Failure(f"does other work: {what} is {came:.5g}, but the reference's is {expected:.5g}")


def _figures(work: Workload, results: dict[str, Any], times: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Milliseconds per step and ratios, from the rounds."""
    reference = _median(times[REFERENCE] + times["again"])
    for name, found in results.items():
        seconds = [t["seconds_per_step"] for t in times.get(name, [])]
        if not seconds or "error" in found:
            continue
        found |= {
            "min_ms": 1e3 * min(seconds),
            "median_ms": 1e3 * statistics.median(seconds),
            "p90_ms": 1e3 * float(np.quantile(seconds, 0.9)),
            "cpu_ms": 1e3 * statistics.median(t["cpu_seconds_per_step"] for t in times[name]),
            "of_reference": statistics.median(seconds) / reference,
        }
    ours = results.get("snnx", {}).get("median_ms")
    for found in results.values():
        if ours and "median_ms" in found:
            found["times_snnx"] = found["median_ms"] / ours
    drift = _median(times["again"]) / _median(times[REFERENCE])
    return {"about": work.about, "unit": work.unit, "kind": work.kind, "drift": drift, "peers": results}


def _median(rounds: list[dict[str, float]]) -> float:
    return statistics.median(t["seconds_per_step"] for t in rounds)
