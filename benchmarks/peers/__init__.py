"""Who takes part: one line each. A new peer is a file beside this one, and a line here."""

import dataclasses
from typing import Literal, Protocol

from benchmarks.workloads import Workload

Environment = Literal["jax", "spyx", "torch"]
EVERYTHING = ("train", "gradient", "control", "epoch")


class Job(Protocol):
    """What a peer makes of a workload, by `build(work, data, variant)` in its file.

    - `check()`: the loss of the first batch with the weights as drawn, and each spiking layer's spikes per neuron and
        step. For control: the mean square of the actions.
    - `run()`: one round on the next batch, from its start until its results are there. Returns a number that only a
        right backward pass gives: the mean loss of the round's training steps, or the norm of the first batch's gradient
        where nothing is trained; for control, which has none, the same as `check`.
    - `temporaries_mb`: temporary memory of the compiled program, None where that is not known.
    - `note`: what a reader has to know: what is not equal, how the data is held.
    """

    temporaries_mb: float | None
    note: str

    def check(self) -> tuple[float, list[float]]: ...

    def run(self) -> float: ...


@dataclasses.dataclass(frozen=True)
class Peer:
    """`module`: the file in this folder. `variant`: passed to its `build`. `environment`: which interpreter runs it.
    `kinds`: of workloads that it runs. `reference`: the peer that computes the same, and that its numbers must equal.
    `tolerance`: how far from them they may be in its loss, where it cannot do quite the same; what differs is in its note.
    """

    module: str
    environment: Environment
    variant: str = ""
    kinds: tuple[str, ...] = EVERYTHING
    reference: str = "naive_jax"
    tolerance: float = 2e-3

    def runs(self, work: Workload) -> bool:
        """Whether it takes part in a workload."""
        return work.kind in self.kinds


TRAINED = ("train", "epoch")
PEERS = {
    "naive_jax": Peer("naive_jax", "jax"),
    "naive_jax_call": Peer("naive_jax", "jax", "call", ("train",)),
    "naive_jax_cores": Peer("naive_jax", "jax", "cores", ("train", "gradient")),
    "naive_jax_late": Peer("naive_jax", "jax", "late", reference="naive_jax_late"),
    "snnx": Peer("snnx_peer", "jax"),
    "snnx_bits": Peer("snnx_peer", "jax", "bits", ("train",)),
    "snnx_lists": Peer("snnx_peer", "jax", "lists", ("train", "epoch")),
    "snnx_cores": Peer("snnx_peer", "jax", "cores", ("train", "gradient", "epoch")),
    "snnx_lists_cores": Peer("snnx_peer", "jax", "lists cores", ("train", "epoch")),
    "spyx": Peer("spyx_peer", "spyx", reference="naive_jax_late"),
    "spyx_compile_fit": Peer("spyx_peer", "spyx", "compile_fit", TRAINED, reference="naive_jax_late"),
    "naive_torch": Peer("naive_torch", "torch"),
    "snntorch": Peer("snntorch_peer", "torch", tolerance=2e-2),
    "snntorch_compile": Peer("snntorch_peer", "torch", "compile", ("train",), tolerance=2e-2),
    "norse": Peer("norse_peer", "torch"),
    "spikingjelly_m": Peer("spikingjelly_peer", "torch", "m", ("train", "gradient", "epoch"), tolerance=1e-2),
    "spikingjelly_s": Peer("spikingjelly_peer", "torch", "s", ("train", "gradient", "control"), tolerance=1e-2),
    "sinabs": Peer("sinabs_peer", "torch", tolerance=1e-2),
}
