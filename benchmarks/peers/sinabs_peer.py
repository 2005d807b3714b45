"""Sinabs: `LIF`, `LIFRecurrent` and `ExpLeak`, which take `[batch, time, ...]`."""

import numpy as np
import sinabs.activation  # pyright: ignore[reportMissingImports]
import sinabs.layers  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]

from benchmarks.peers import Job
from benchmarks.peers.torch_common import Library, Sequence, Step, Tensor
from benchmarks.peers.torch_common import build as build_job
from benchmarks.workloads import Workload

NOTE = "fires at the threshold as well as above; surrogate given as a function of its own"


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    if work.kind == "control":
        return build_job(work, data, Library(lambda feedback: one_step(lif(feedback)), lambda: one_step(li()), NOTE))
    library = Library(
        lambda feedback: from_start(lif(feedback)), lambda: from_start(li()), NOTE, whole=True, time_axis=1
    )
    return build_job(work, data, library)


def superspike(v: Tensor, threshold: Tensor) -> Tensor:
    return 1.0 / (1.0 + (v - threshold).abs()) ** 2


def lif(feedback: Tensor | None) -> torch.nn.Module:
    settings = dict(
        tau_mem=20.0,
        norm_input=False,
        spike_fn=sinabs.activation.SingleSpike,
        reset_fn=sinabs.activation.MembraneSubtract(),
        surrogate_grad_fn=superspike,
    )
    if feedback is None:
        return constant(sinabs.layers.LIF(**settings))
    connection = torch.nn.Linear(*feedback.shape, bias=False)
    layer = constant(sinabs.layers.LIFRecurrent(rec_connect=connection, **settings))
    connection.weight = feedback
    return layer


def li() -> torch.nn.Module:
    return constant(sinabs.layers.ExpLeak(tau_mem=20.0))


def constant(layer: torch.nn.Module) -> torch.nn.Module:
    """Its time constant is a parameter, which the others do not train."""
    layer.tau_mem.requires_grad_(False)
    return layer


def from_start(layer: torch.nn.Module) -> Sequence:
    def sequence(currents: Tensor) -> Tensor:
        layer.reset_states()
        return layer(currents)

    return sequence


def one_step(layer: torch.nn.Module) -> Step:
    """A stretch of one step; the layer itself keeps the state."""

    def step(current: Tensor, started: bool | None) -> tuple[Tensor, bool]:
        if started is None:
            layer.reset_states()
        return layer(current.unsqueeze(1)).squeeze(1), True

    return step
