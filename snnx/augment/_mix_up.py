import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractMixing
from snnx.augment._check import check_partner, check_positive
from snnx.augment._keep import keep_each
from snnx.augment._layout import unfolded
from snnx.augment._merge import merged
from snnx.inputs import AbstractInputs, Bits, Constant, Floats


class MixUp(AbstractMixing):
    r"""Some of the events of the example, and some of the partner's.

    $$ x'_{t,c} = \text{Binomial}(x_{t,c}, \lambda) + \text{Binomial}(y_{t,c}, 1 - \lambda), \quad
    \lambda \sim \text{Beta}(\alpha, \alpha); \qquad \text{of currents } x' = \lambda x + (1 - \lambda) y $$

    Each event stays or goes by itself, which is right in the mean, and keeps events whole. The share of the example's target is
    $\lambda$. Events and lists of active channels stay what they are, twice as long, and events are sorted anew. Bits become
    counts, counts become floats; dense and constant stay.

    **Arguments:**
    - `alpha`: $\alpha$ > 0; the smaller, the nearer to one of both.

    **Returns** (`__call__`): the mixture, and the share.

    **Raises:** `ValueError` if `alpha` is no number > 0; `ShapeError`, when called, for a partner of another layout or shape.

    Source: Zhang, Cisse, Dauphin & Lopez-Paz, mixup: Beyond Empirical Risk Minimization, ICLR (2018), for currents.
    """

    alpha: float = eqx.field(static=True)
    same_class: bool = eqx.field(static=True, default=False, init=False)

    def __check_init__(self):
        check_positive("MixUp", "alpha", self.alpha)

    def __call__(
        self, inputs: AbstractInputs, partner: AbstractInputs, *, key: Key[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        read_key("MixUp", "key", key)
        check_partner("MixUp", inputs, partner)
        share_key, own_key, partner_key = jax.random.split(key, 3)
        share = jax.random.beta(share_key, self.alpha, self.alpha)
        return self._apply(inputs, partner, share, (own_key, partner_key)), share

    def _apply(
        self,
        inputs: AbstractInputs,
        partner: AbstractInputs,
        share: Float[Array, ""],
        keys: tuple[Key[Array, ""], Key[Array, ""]],
    ) -> AbstractInputs:
        if isinstance(inputs, Constant) and isinstance(partner, Constant):
            return Constant(_mean(inputs.values, partner.values, share), inputs.num_steps)
        if isinstance(inputs, Floats) and isinstance(partner, Floats):
            return Floats(_mean(inputs.values, partner.values, share), inputs.sample_shape)
        one, other = (unfolded("MixUp", example) for example in (inputs, partner))
        kept, taken = keep_each(one, share, keys[0]), keep_each(other, 1 - share, keys[1])
        return merged(kept, taken, binary=isinstance(inputs, Bits))


def _mean(values: Float[Array, "*shape"], others: Float[Array, "*shape"], share: Float[Array, ""]) -> Array:
    return (share * values + (1 - share) * others).astype(values.dtype)
