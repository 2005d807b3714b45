import math

import equinox as eqx
from jaxtyping import Array, Float

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class ATan(AbstractSurrogate):
    r"""The arc tangent's derivative, scaled to area 1.

    $$ \frac{\partial s}{\partial x} := \frac{\alpha / 2}{1 + (\frac{\pi}{2} \alpha x)^2} $$

    The exact derivative of $\frac{1}{\pi} \arctan(\frac{\pi}{2} \alpha x) + \frac12$; its peak is $\alpha / 2$.
    At the default slope this is the surrogate of the parametric LIF paper, $1 / (1 + \pi^2 x^2)$.

    **Arguments:**
    - `slope`: $\alpha$, in units of 1 / membrane.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0.

    Source: Fang, Yu, Chen, Masquelier, Huang & Tian, Incorporating Learnable Membrane Time Constant to Enhance Learning
    of Spiking Neural Networks, ICCV (2021).
    """

    slope: Parameter = eqx.field(default=2.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope / 2 / (1 + (math.pi / 2 * slope * x) ** 2)


class Arctan(AbstractSurrogate):
    r"""The arc tangent's derivative with peak $1 / \pi$ at every slope: Spyx's scaling, not the one of `ATan`.

    $$ \frac{\partial s}{\partial x} := \frac{1}{\pi (1 + (\pi k x)^2)} $$

    `Arctan(k)` is `ATan(2 k)` divided by $\pi k$. The area under it is $1 / (\pi k)$: at the default slope it passes
    a sixth of the gradient of `ATan`. It is here to reproduce models trained elsewhere.

    **Arguments:**
    - `slope`: $k$, in units of 1 / membrane.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0.

    Source: Heckel & Nowotny, Spyx: A Library for Just-In-Time Compiled Optimization of Spiking Neural Networks (2024),
    `spyx.axn.arctan`. snnTorch's page on `atan` prints this equation too, with $k = \alpha / 2$; its code is `ATan`.
    """

    slope: Parameter = eqx.field(default=2.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1 / (math.pi * (1 + (math.pi * like(self.slope, x) * x) ** 2))
