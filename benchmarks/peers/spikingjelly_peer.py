"""SpikingJelly: `LIFNode` with the subtracting reset.

Variants "m": multi-step mode, a layer takes all time steps at once. "s": single-step mode, the network goes step by step.
"""

import numpy as np
from spikingjelly.activation_based import neuron, surrogate  # pyright: ignore[reportMissingImports]

from benchmarks.peers import Job
from benchmarks.peers.torch_common import Library, Sequence, Step, Tensor, integrator, over_time
from benchmarks.peers.torch_common import build as build_job
from benchmarks.workloads import BETA, Workload

NOTE = "fires at the threshold as well as above; readout in plain PyTorch"


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    if variant == "m":
        return build_job(work, data, Library(multi_step, lambda: over_time(integrator(BETA)), NOTE, whole=True))
    return build_job(work, data, Library(single_step, lambda: integrator(BETA), NOTE, by_layer=False))


def node(step_mode: str) -> neuron.LIFNode:
    return neuron.LIFNode(
        tau=1.0 / (1.0 - BETA),
        decay_input=False,
        v_reset=None,
        surrogate_function=surrogate.SuperSpike(alpha=1.0),
        step_mode=step_mode,
    )


def single_step(feedback: Tensor | None) -> Step:
    cell = node("s")

    def step(current: Tensor, s: Tensor | None) -> tuple[Tensor, Tensor]:
        if s is None:
            cell.reset()
        elif feedback is not None:
            current = current + s @ feedback.T
        s = cell(current)
        return s, s

    return step


def multi_step(feedback: Tensor | None) -> Sequence:
    if feedback is not None:  # the multi-step mode has no feedback of this kind
        return over_time(single_step(feedback))
    cell = node("m")

    def sequence(currents: Tensor) -> Tensor:
        cell.reset()
        return cell(currents)

    return sequence
