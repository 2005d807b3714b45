"""Neurons in continuous time by search: a grid over every stretch between events, and brentq. Double precision, no JAX.

    tau_m dv/dt = rest - v + resistance j,   tau_s dj/dt = -j;   without a synapse (tau_syn None) an event lifts v itself

A neuron above its threshold fires at once; its membrane loses the threshold, or is set, and stands still for a while.
"""

import heapq
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import brentq

POINTS = 600  # of the grid over a stretch without events


def kernel(span, tau_mem, tau_syn):
    """What a current of 1, decaying with `tau_syn`, makes of a membrane at rest."""
    equal = np.isclose(tau_mem, tau_syn, rtol=1e-9)
    apart = np.where(equal, 1.0, tau_syn - tau_mem)
    textbook = tau_syn / apart * (np.exp(-span / tau_syn) - np.exp(-span / tau_mem))
    return np.where(equal, span / tau_mem * np.exp(-span / tau_mem), textbook)


class Population:
    """All neurons at the time `now`; the membrane of one that rests stands still until `until`."""

    def __init__(self, p: Mapping[str, np.ndarray | None], reset: str, refractory: float):
        self.p, self.reset, self.refractory = p, reset, refractory
        self.v, self.j, self.now = p["start_v"].copy(), p["start_j"].copy(), 0.0
        self.until = np.zeros(len(self.v))

    def membranes(self, times):
        """Of all neurons at `times: [times, 1]`, none before `now`, if nothing happens."""
        p = self.p
        free = np.maximum(self.until, self.now)
        span = np.maximum(times - free, 0.0)
        v = p["rest"] + (self.v - p["rest"]) * np.exp(-span / p["tau_mem"])
        if p["tau_syn"] is not None:
            j = self.j * np.exp(-(free - self.now) / p["tau_syn"])
            v = v + p["resistance"] * j * kernel(span, p["tau_mem"], p["tau_syn"])
        return np.where(times < free, self.v, v)

    def go_to(self, time):
        self.v = self.membranes(np.array([[time]]))[0]
        if self.p["tau_syn"] is not None:
            self.j = self.j * np.exp(-(time - self.now) / self.p["tau_syn"])
        self.now = time

    def next_spike(self, end):
        """The first one before `end`, its neuron, and whether it is above its threshold from the start on."""
        found = (np.inf, -1, False)
        for n in np.flatnonzero(np.maximum(self.until, self.now) < end):
            begin = max(self.until[n], self.now)
            threshold = self.p["threshold"][n]

            def above(time, n=n, threshold=threshold):
                return self.membranes(np.reshape(time, (-1, 1)))[:, n] - threshold

            grid = np.linspace(begin, end, POINTS)
            over = above(grid) > 0
            if not over.any():
                continue
            k = int(over.argmax())
            root = lambda t, f=above: float(f(t)[0])
            time = begin if k == 0 else brentq(root, grid[k - 1], grid[k], xtol=1e-14, rtol=1e-14)
            if time < found[0]:
                found = (time, int(n), k == 0)
        return found

    def fire(self, n, pinned):
        if self.reset == "value":
            self.v[n] = self.p["after"][n]
        else:
            self.v[n] = self.v[n] - self.p["threshold"][n] if pinned else 0.0
        self.until[n] = self.now + self.refractory

    def arrive(self, jump):
        if self.p["tau_syn"] is None:
            self.v = self.v + np.where(self.now < self.until, 0.0, jump)
        else:
            self.j = self.j + jump


def spike_times(
    p: Mapping[str, np.ndarray | None],
    inputs: Sequence[tuple[float, np.ndarray]],
    duration: float,
    *,
    reset: str = "subtract",
    refractory: float = 0.0,
    back: np.ndarray | None = None,
    delays: np.ndarray | None = None,
) -> list[tuple[float, int]]:
    """All spikes `(time, neuron)` in order.

    `inputs`: times, and what each adds to all neurons; `back`: `[loops, from, to]`, `delays`: `[loops, from]`.
    """
    neurons = Population(p, reset, refractory)
    queue = [(time, i, jump) for i, (time, jump) in enumerate(inputs) if time <= duration]
    heapq.heapify(queue)
    spikes, number = [], len(inputs)
    while True:
        coming = queue[0][0] if queue else duration
        time, n, pinned = neurons.next_spike(coming) if coming > neurons.now else (np.inf, -1, False)
        if n >= 0:
            neurons.go_to(time)
            neurons.fire(n, pinned)
            spikes.append((time, n))
            for loop in range(0 if back is None else len(back)):
                heapq.heappush(queue, (time + delays[loop, n], number, back[loop, n]))
                number += 1
            queue = [entry for entry in queue if entry[0] <= duration]
            heapq.heapify(queue)
        elif queue:
            time, _, jump = heapq.heappop(queue)
            neurons.go_to(time)
            neurons.arrive(jump)
        else:
            return spikes
