import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractMixing
from snnx.augment._check import check_partner, check_positive
from snnx.augment._keep import keep_where
from snnx.augment._layout import by_row, from_rows, rows, unfolded
from snnx.augment._merge import merged
from snnx.inputs import AbstractInputs, EventList


class CutMix(AbstractMixing):
    r"""A random window of time is the partner's.

    $$ x'_t = y_t \text{ for } s \le t < s + n, \text{ else } x_t, \quad n = \text{round}((1 - \lambda) T), \quad
    \lambda \sim \text{Beta}(\alpha, \alpha), \quad s \sim U\{0, \dots, T - n\} $$

    The share of the example's target is that of its steps, $1 - n / T$, whether there are events in them or not. Every layout
    stays, bits packed, but a constant becomes dense; a list of events is twice as long.

    **Arguments:**
    - `alpha`: $\alpha$ > 0; at 1 every share is as likely.

    **Returns** (`__call__`): the mixture, and the share.

    **Raises:** `ValueError` if `alpha` is no number > 0; `ShapeError`, when called, for a partner of another layout or shape.

    Source: Yun, Han, Oh, Chun, Choe & Yoo, CutMix: Regularization Strategy to Train Strong Classifiers With Localizable
    Features, ICCV (2019), for images; here the window is one of time.
    """

    alpha: float = eqx.field(static=True, default=1.0)
    same_class: bool = eqx.field(static=True, default=False, init=False)

    def __check_init__(self):
        check_positive("CutMix", "alpha", self.alpha)

    def __call__(
        self, inputs: AbstractInputs, partner: AbstractInputs, *, key: Key[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        check_partner("CutMix", inputs, partner)
        return self._apply(inputs, partner, *self._draw(inputs.num_steps, key))

    def _draw(self, steps: int, key: Key[Array, ""]) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Where the window starts, and how long it is."""
        read_key("CutMix", "key", key)
        share_key, start_key = jax.random.split(key)
        length = jnp.round((1 - jax.random.beta(share_key, self.alpha, self.alpha)) * steps).astype(jnp.int32)
        return jax.random.randint(start_key, (), 0, steps - length + 1), length

    def _apply(
        self, inputs: AbstractInputs, partner: AbstractInputs, start: Int[Array, ""], length: Int[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        one, other = (unfolded("CutMix", example) for example in (inputs, partner))

        def inside(steps: Array) -> Array:
            return (steps >= start) & (steps < start + length)

        share = (inputs.num_steps - length) / inputs.num_steps  # in this order never below 0
        if isinstance(one, EventList) or isinstance(other, EventList):
            kept, cut = keep_where(one, lambda t, _: ~inside(t)), keep_where(other, lambda t, _: inside(t))
            return merged(kept, cut, binary=False), share
        (values, _), (others, _) = rows(one), rows(other)
        window = by_row(inside(jnp.arange(inputs.num_steps)), values)
        return from_rows(jnp.where(window, others, values), one), share
