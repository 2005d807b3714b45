"""The exact gradient on the clock's grid: spikes are moved in time rather than made larger or smaller."""

import math

import equinox as eqx


class EventProp(eqx.Module):
    r"""The exact gradient: what a small change does to the times of spikes, in the limit of small steps.

    Where the membrane crosses the threshold at step $k$, with slope $m = v_k - v_{k-1}$ per step before the reset, a rise of
    the membrane moves the spike by $\delta$ steps, and the membrane behind the reset, which would change by $m^+$ in the
    next step were there no input, by as much of that:

    $$ \delta = -\frac{dv_k - d\vartheta}{m}, \qquad dv_k \leftarrow dv_\text{reset} - m^+ \delta $$

    ($v_\text{reset}$ is 0 for `SubtractReset`; with `NoReset` $dv_k$ stays.) To move a spike is to take it from step $k$ and
    to put it on step $k + 1$,

    $$ ds_k = -\delta, \qquad ds_{k+1} = +\delta $$

    so that the gradient with respect to its time is the slope over time, $A_{k+1} - A_k$, of what one spike more would be
    worth, $A$. All between spikes is linear and differentiated as it is. Transposed, these are EventProp's equations:
    behind a synapse $A$ is $\lambda_I$, and $1/m$ the factor of the jump of $\lambda_V$. Every parameter has its gradient, and
    forward mode works too. The forward pass is that of a surrogate: the same operations, of which a compiler may round the
    last bit otherwise.

    A membrane that is above its threshold before the step (it kept what exceeded it) fires at a time that nothing moves.

    A small change of a membrane changes no number of spikes: losses that count spikes have no gradient. Rates that are
    *recorded* (`UpperRate(...)`, `simulate(record=...)`) get one all the same, which leaves the others as they are: `count`
    for each unit of membrane at a spike, $dn = \texttt{count} \sum_k s_k\, (dv_k - d\vartheta)$.

    **Arguments:**
    - `count`: in spikes per unit of membrane, >= 0.
    - `smallest`: $\tau_m\, dv/dt$ at a spike counts as no less than this, > 0; a membrane that only just reaches its
        threshold would have a gradient without bound.

    **Raises:** `ValueError` for numbers out of range.

    Source: Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks (2021);
    Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural networks
    (2025), for counts. The slope is the mean one of the step: unlike that at its end, it is positive.
    """

    count: float = eqx.field(static=True, default=1.0)
    smallest: float = eqx.field(static=True, default=1e-3)

    def __check_init__(self):
        for name, bound in (("count", ">="), ("smallest", ">")):
            x = getattr(self, name)
            number = isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)
            if not number or x < 0 or (x == 0 and bound == ">"):
                raise ValueError(f"EventProp: {name} is {x!r}, expected a finite number {bound} 0.")


def check_gradient(neuron: object, gradient: EventProp | None) -> None:
    """Refuse a gradient of another kind, and the exact one for steps that are not."""
    where, method = type(neuron).__name__, getattr(neuron, "method", None)
    if not (gradient is None or isinstance(gradient, EventProp)):
        raise TypeError(f"{where}: gradient is {gradient!r}; expected None (the surrogate's) or snnx.EventProp().")
    if gradient is not None and method != "exact":
        raise ValueError(
            f"{where}: gradient=EventProp() is for method='exact', where the membrane follows its equation within a step;"
            f" this one has method={method!r}."
        )
    surrogate = getattr(neuron, "surrogate", None)
    if gradient is not None and getattr(surrogate, "needs_key", False):
        raise ValueError(
            f"{where}: gradient=EventProp() needs spikes that follow from the membrane; those of surrogate,"
            f" {type(surrogate).__name__}, are random."
        )
