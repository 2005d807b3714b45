"""snnTorch: `Leaky` and `RLeaky` with `reset_delay=False`.

Variant "compile": one step of the whole network under `torch.compile`.
"""

import numpy as np
import snntorch  # pyright: ignore[reportMissingImports]
import snntorch.surrogate  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]

from benchmarks.peers import Job
from benchmarks.peers.torch_common import Library, Step, Tensor
from benchmarks.peers.torch_common import build as build_job
from benchmarks.workloads import BETA, Workload

NOTE = "a neuron still above threshold after its reset fires later or not at all"


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    if variant == "compile":
        note = f"{NOTE}; one step of the network compiled"
        return build_job(work, data, Library(lif, li, note, by_layer=False, wrap_step=torch.compile))
    return build_job(work, data, Library(lif, li, NOTE))


def lif(feedback: Tensor | None) -> Step:
    settings = dict(beta=BETA, reset_delay=False, spike_grad=snntorch.surrogate.fast_sigmoid(slope=1))
    if feedback is None:
        return leaky(snntorch.Leaky(**settings))
    cell = snntorch.RLeaky(linear_features=len(feedback), **settings)
    cell.recurrent = torch.nn.Linear(*feedback.shape, bias=False)
    cell.recurrent.weight = feedback

    def step(current: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        s, v = (torch.zeros_like(current), torch.zeros_like(current)) if state is None else state
        s, v = cell(current, s, v)
        return s, (s, v)

    return step


def li() -> Step:
    step = leaky(snntorch.Leaky(beta=BETA, reset_mechanism="none"))
    return lambda current, v: (step(current, v)[1],) * 2


def leaky(cell: snntorch.Leaky) -> Step:
    def step(current: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        return cell(current, torch.zeros_like(current) if v is None else v)

    return step
