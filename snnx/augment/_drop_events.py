import equinox as eqx
from jaxtyping import Array, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_number
from snnx.augment._keep import keep_each
from snnx.augment._layout import unfolded
from snnx.inputs import AbstractInputs


class DropEvents(AbstractAugmentation):
    r"""Every event is dropped independently with probability $p$.

    $$ x'_{t,c} \sim \text{Binomial}(x_{t,c}, 1 - p); \qquad \text{of currents } x'_{t,c} = x_{t,c} m_{t,c}, \quad
    m_{t,c} \sim \text{Bernoulli}(1 - p) $$

    What stays is not scaled up. Bits become counts, a constant becomes dense; every other layout stays. Counts take as many
    rounds as the fullest bin has events; `data.as_layout("events")` costs what there are events.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    **Raises:** `ValueError` if `p` is no number in [0, 1].

    Source: Gu, Sng, Hu & Yu, EventDrop: Data Augmentation for Event-based Learning, IJCAI (2021), "random drop".
    """

    p: float = eqx.field(static=True)

    def __check_init__(self):
        check_number("DropEvents", "p", self.p, 0.0, 1.0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        read_key("DropEvents", "key", key)
        return keep_each(unfolded("DropEvents", inputs), 1.0 - self.p, key)
