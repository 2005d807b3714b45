"""Plain PyTorch: the equations as they stand, around an autograd function."""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from benchmarks.peers import Job
from benchmarks.peers.torch_common import Library, Step, Tensor, integrator
from benchmarks.peers.torch_common import build as build_job
from benchmarks.workloads import BETA, Workload


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    return build_job(work, data, Library(lif, lambda: integrator(BETA)))


class Spike(torch.autograd.Function):
    """A step forward, SuperSpike's derivative backward."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad / (1.0 + x.abs()) ** 2


def lif(feedback: Tensor | None) -> Step:
    def step(current: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if state is None:
            v = current
        else:
            v, s = state
            v = BETA * v + current if feedback is None else BETA * v + current + s @ feedback.T
        s = Spike.apply(v - 1.0)
        return s, (v - s, s)

    return step
