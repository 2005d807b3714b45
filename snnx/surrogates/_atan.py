"""Heavy tails, which fall as $1/x^2$: the arc tangent's derivative (`ATan` is the neurons' default) and the fast sigmoid's."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.parameters import PositiveParameter
from snnx.surrogates._surrogate import AbstractSurrogate, like


@checked
class ATan(AbstractSurrogate):
    r"""The arc tangent's derivative, scaled to area 1.

    $$ \frac{\partial s}{\partial x} := \frac{\alpha / 2}{1 + (\frac{\pi}{2} \alpha x)^2} $$

    The exact derivative of $\frac{1}{\pi} \arctan(\frac{\pi}{2} \alpha x) + \frac12$; its peak is $\alpha / 2$.
    At the default slope this is the surrogate of the parametric LIF paper, $1 / (1 + \pi^2 x^2)$.

    **Arguments:**
    - `slope`: $\alpha$, in units of 1 / membrane.

    Source: Fang, Yu, Chen, Masquelier, Huang & Tian, Incorporating Learnable Membrane Time Constant to Enhance Learning
    of Spiking Neural Networks, ICCV (2021).
    """

    slope: PositiveParameter = 2.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope / 2 / (1 + (math.pi / 2 * slope * x) ** 2)


@checked
class Arctan(AbstractSurrogate):
    r"""The arc tangent's derivative with peak $1 / \pi$ at every slope: Spyx's scaling, not the one of `ATan`.

    $$ \frac{\partial s}{\partial x} := \frac{1}{\pi (1 + (\pi k x)^2)} $$

    `Arctan(k)` is `ATan(2 k)` divided by $\pi k$. The area under it is $1 / (\pi k)$: at the default slope it passes
    a sixth of the gradient of `ATan`. It is here to reproduce models trained elsewhere.

    **Arguments:**
    - `slope`: $k$, in units of 1 / membrane.

    Source: Heckel & Nowotny, Spyx: A Library for Just-In-Time Compiled Optimization of Spiking Neural Networks (2024),
    `spyx.axn.arctan`. snnTorch's page on `atan` prints this equation too, with $k = \alpha / 2$; its code is `ATan`.
    """

    slope: PositiveParameter = 2.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1 / (math.pi * (1 + (math.pi * like(self.slope, x) * x) ** 2))


@checked
class SuperSpike(AbstractSurrogate):
    r"""The fast sigmoid's derivative, with peak 1 at every slope.

    $$ \frac{\partial s}{\partial x} := \frac{1}{(1 + \beta |x|)^2} $$

    The area under it is $2 / \beta$: a steeper slope also passes less gradient. snnTorch calls it
    `fast_sigmoid`. `SoftSign` is the same curve scaled to area 1.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane. The default of 25 is that of snnTorch and Spyx, for a threshold of 1;
      the paper has 1 / mV. Zenke & Vogels, Neural Computation 33 (2021), study what it changes.

    Source: Zenke & Ganguli, SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks,
    Neural Computation 30 (2018).
    """

    slope: PositiveParameter = 25.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1 / (1 + like(self.slope, x) * jnp.abs(x)) ** 2


@checked
class SoftSign(AbstractSurrogate):
    r"""The fast sigmoid's derivative, scaled to area 1.

    $$ \frac{\partial s}{\partial x} := \frac{\beta / 2}{(1 + \beta |x|)^2} $$

    The exact derivative of $\frac12 (1 + \frac{\beta x}{1 + \beta |x|})$. `SuperSpike` is the same curve with peak 1.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane. The default of 2 is SpikingJelly's.

    Source: the curve is Zenke & Ganguli's (2018); the scaling is that of SpikingJelly, Fang et al., Science Advances 9
    (2023).
    """

    slope: PositiveParameter = 2.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope / 2 / (1 + slope * jnp.abs(x)) ** 2


@checked
class SparseFastSigmoid(AbstractSurrogate):
    r"""`SuperSpike` inside a band around the threshold, and exactly zero outside of it.

    $$ \frac{\partial s}{\partial x} := \frac{1}{(1 + \beta |x|)^2} \text{ if } |x| \le w, \text{ else } 0 $$

    Neurons outside the band take no part in the backward pass.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane.
    - `width`: $w$, the half-width of the band, in units of the membrane.

    The defaults are those of snnTorch's `SFS`, whose code, however, passes the gradient where $x > w$ only.

    Source: Perez-Nieves & Goodman, Sparse Spiking Gradient Descent, NeurIPS (2021).
    """

    slope: PositiveParameter = 25.0
    width: PositiveParameter = 1.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        distance = jnp.abs(x)
        return jnp.where(distance <= like(self.width, x), 1 / (1 + like(self.slope, x) * distance) ** 2, 0)


FastSigmoid = SuperSpike  # the name that snnTorch and others give to the same curve and slope
