"""Norse: `LIFBoxCell` with the subtracting reset, and `LIBoxCell`."""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from norse.torch.functional.leaky_integrator_box import LIBoxParameters  # pyright: ignore[reportMissingImports]
from norse.torch.functional.lif_box import LIFBoxParameters  # pyright: ignore[reportMissingImports]
from norse.torch.functional.reset import reset_subtract  # pyright: ignore[reportMissingImports]
from norse.torch.module.leaky_integrator_box import LIBoxCell  # pyright: ignore[reportMissingImports]
from norse.torch.module.lif_box import LIFBoxCell  # pyright: ignore[reportMissingImports]

from benchmarks.peers import Job
from benchmarks.peers.torch_common import Library, Step, Tensor
from benchmarks.peers.torch_common import build as build_job
from benchmarks.workloads import BETA, Workload

SCALE = 1.0 - BETA  # dt / tau: it multiplies what leaks and what comes in
NOTE = "multiplies its currents by dt / tau: weights and learning rate are divided by that"


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    return build_job(work, data, Library(lif, li, NOTE, scale=SCALE))


def lif(feedback: Tensor | None) -> Step:
    parameters = LIFBoxParameters(tau_mem_inv=torch.tensor(SCALE), method="super", reset_method=reset_subtract)
    cell = LIFBoxCell(parameters, dt=1.0)
    if feedback is None:
        return cell

    def step(current: Tensor, state: tuple | None) -> tuple[Tensor, tuple]:
        s, inner = (None, None) if state is None else state
        s, inner = cell(current if s is None else current + s @ feedback.T, inner)
        return s, (s, inner)

    return step


def li() -> Step:
    return LIBoxCell(LIBoxParameters(tau_mem_inv=torch.tensor(SCALE)), dt=1.0)
