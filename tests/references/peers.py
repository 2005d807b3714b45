"""Write peers.npz and peers.json: forward and backward traces of other spiking libraries.

One small net, Linear(12 -> 20) -> neuron -> Linear(20 -> 5) -> neuron, no biases, 30 steps,
batch 4, is run through the neurons of snnTorch, Norse, SpikingJelly and sinabs in float64.
Spikes, membranes, loss and gradients are stored, so that tests can compare against them
without any of those libraries (or PyTorch) being installed.

Every variant also states, as plain numbers, what it is believed to compute ("canonical" in
the json).  That statement is checked here: ``canonical_run`` is written from the statement
alone, and the script refuses to write anything unless it agrees with the library in every
spike, membrane and gradient.

Usage:  python peers.py [--out DIR] [--dry]      (environment: see README.md beside this file)
"""

import argparse
import contextlib
import json
import math
import os
import platform
import warnings
from importlib.metadata import version

import numpy as np
import torch

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

SEED = 4
T, BATCH, SIZES = 30, 4, (12, 20, 5)
FINAL_WEIGHT = 0.1  # weight of the squared final membranes in the loss


# ------------------------------------------------------------------ data shared by all variants
def make_data(seed=SEED):
    rng = np.random.default_rng(seed)
    n_in, n_hid, n_out = SIZES
    x = rng.random((T, BATCH, n_in)) < 0.3
    w1 = rng.normal(0.05, 0.3, (n_hid, n_in))  # [out, in], applied as x @ w.T
    w2 = rng.normal(0.05, 0.3, (n_out, n_hid))
    readout = rng.normal(0.0, 1.0, (n_out,))
    return x, w1, w2, readout


@contextlib.contextmanager
def double_instead_of_float():
    """snnTorch and sinabs cast spikes with ``.float()``; keep that cast in double precision.

    Without it the forward numbers are the same, but every gradient that passes a spike is
    rounded to single precision.
    """
    saved = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = saved


# ------------------------------------------------------------------ the libraries' neurons
# A layer is a function: currents [T, B, N] -> (spikes [T, B, N], membranes after reset).


def stepwise(step):
    def layer(currents):
        spikes, membranes = [], []
        for current in currents:
            spike, membrane = step(current)
            spikes.append(spike)
            membranes.append(membrane)
        return torch.stack(spikes), torch.stack(membranes)

    return layer


def snntorch_surrogate(kind):
    from snntorch import surrogate

    return {"fast_sigmoid": lambda: surrogate.fast_sigmoid(slope=25), "atan": lambda: surrogate.atan(alpha=2.0)}[kind]()


def snntorch_leaky(beta, threshold, reset_mechanism, reset_delay, spike_grad):
    import snntorch as snn

    cell = snn.Leaky(
        beta=beta,
        threshold=threshold,
        reset_mechanism=reset_mechanism,
        reset_delay=reset_delay,
        spike_grad=snntorch_surrogate(spike_grad),
    )
    state = {"mem": None}

    def step(current):
        if state["mem"] is None:
            state["mem"] = torch.zeros_like(current)
        spike, state["mem"] = cell(current, state["mem"])
        return spike, state["mem"]

    return stepwise(step)


def snntorch_synaptic(alpha, beta, threshold, reset_mechanism, reset_delay, spike_grad):
    import snntorch as snn

    cell = snn.Synaptic(
        alpha=alpha,
        beta=beta,
        threshold=threshold,
        reset_mechanism=reset_mechanism,
        reset_delay=reset_delay,
        spike_grad=snntorch_surrogate(spike_grad),
    )
    state = {"syn": None, "mem": None}

    def step(current):
        if state["mem"] is None:
            state["syn"] = state["mem"] = torch.zeros_like(current)
        spike, state["syn"], state["mem"] = cell(current, state["syn"], state["mem"])
        return spike, state["mem"]

    return stepwise(step)


def norse_lif_box(tau_mem_inv, v_leak, v_th, v_reset, dt, method, alpha):
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step

    p = LIFBoxParameters(
        tau_mem_inv=torch.tensor(tau_mem_inv),
        v_leak=torch.tensor(v_leak),
        v_th=torch.tensor(v_th),
        v_reset=torch.tensor(v_reset),
        method=method,
        alpha=torch.tensor(alpha),
    )
    state = {"s": None}

    def step(current):
        if state["s"] is None:
            state["s"] = LIFBoxFeedForwardState(v=torch.full_like(current, v_leak))
        spike, state["s"] = lif_box_feed_forward_step(current, state["s"], p, dt)
        return spike, state["s"].v

    return stepwise(step)


def norse_lif(tau_syn_inv, tau_mem_inv, v_leak, v_th, v_reset, dt, method, alpha):
    from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step

    p = LIFParameters(
        tau_syn_inv=torch.tensor(tau_syn_inv),
        tau_mem_inv=torch.tensor(tau_mem_inv),
        v_leak=torch.tensor(v_leak),
        v_th=torch.tensor(v_th),
        v_reset=torch.tensor(v_reset),
        method=method,
        alpha=torch.tensor(alpha),
    )
    state = {"s": None}

    def step(current):
        if state["s"] is None:
            state["s"] = LIFFeedForwardState(v=torch.full_like(current, v_leak), i=torch.zeros_like(current))
        spike, state["s"] = lif_feed_forward_step(current, state["s"], p, dt)
        return spike, state["s"].v

    return stepwise(step)


def spikingjelly_node(cls, surrogate_alpha, **kwargs):
    from spikingjelly.activation_based import neuron, surrogate

    node = getattr(neuron, cls)(surrogate_function=surrogate.ATan(alpha=surrogate_alpha), step_mode="s", **kwargs)

    def step(current):
        spike = node(current)
        return spike, node.v

    return stepwise(step)


def sinabs_lif(tau_mem, spike_threshold, norm_input, grad_width, grad_scale):
    import sinabs.activation as sa
    import sinabs.layers as sl

    lif = sl.LIF(
        tau_mem=tau_mem,
        spike_threshold=torch.tensor(spike_threshold),
        norm_input=norm_input,
        spike_fn=sa.SingleSpike,
        reset_fn=sa.MembraneSubtract(),
        surrogate_grad_fn=sa.SingleExponential(grad_width=grad_width, grad_scale=grad_scale),
        record_states=True,
    ).double()

    def layer(currents):
        spikes = lif(currents.transpose(0, 1))
        return spikes.transpose(0, 1), lif.recordings["v_mem"].transpose(0, 1)

    return layer


def fires_at_threshold(peer):
    """Does the library's spike function fire when the membrane is exactly at the threshold?"""
    zero, one = torch.zeros(1), torch.ones(1)
    if peer == "snntorch":
        spike = snntorch_surrogate("fast_sigmoid")(zero) + snntorch_surrogate("atan")(zero)
    elif peer == "norse":
        from norse.torch.functional.threshold import threshold

        spike = threshold(zero, "super", 100.0)
    elif peer == "spikingjelly":
        from spikingjelly.activation_based import surrogate

        spike = surrogate.ATan(alpha=2.0)(zero)
    else:
        import sinabs.activation as sa

        spike = sa.SingleSpike.apply(one, 1.0, sa.SingleExponential())
    return bool(spike.item())


# ------------------------------------------------------------------ the statement to be checked
# j_t = d_before * i_{t-1} + current_t              synaptic current (no synapse: d_before = 0)
# p_t = a * v_{t-1} + b * j_t + c                   membrane before the reset
# i_t = d_after * j_t
# s_t = 1 where p_t > th   (strict)  or  p_t >= th  (not strict);  ds/dp = surrogate(p_t - th)
# reset "subtract": v_t = p_t - th * r      "value": v_t = p_t * (1 - r) + v_reset * r
#       "none":     v_t = p_t               with r = s_t, or stop_gradient(s_t) if detach
#       "delayed subtract": v_t = p_t, with p_t = a * v_{t-1} + b * j_t + c
#                           - th * stop_gradient(v_{t-1} > th)
# start: v = v0, i = 0


def canonical(
    a, b=1.0, c=0.0, d_before=0.0, d_after=0.0, th=1.0, v0=0.0, v_reset=0.0, reset="subtract", detach=False, strict=True
):
    return dict(
        a=a,
        b=b,
        c=c,
        d_before=d_before,
        d_after=d_after,
        th=th,
        v0=v0,
        v_reset=v_reset,
        reset=reset,
        detach=detach,
        strict=strict,
    )


SURROGATES = {  # derivative at x = p - th
    "fast_sigmoid": ("1 / (1 + slope |x|)^2", lambda x, slope: 1.0 / (1.0 + slope * x.abs()) ** 2),
    "atan": (
        "(alpha / 2) / (1 + (pi alpha x / 2)^2)",
        lambda x, alpha: alpha / 2.0 / (1.0 + (math.pi / 2.0 * alpha * x) ** 2),
    ),
    "exponential": (
        "(scale / width) exp(-|x| / width)",
        lambda x, width, scale: scale / width * torch.exp(-x.abs() / width),
    ),
}


def canonical_run(spec, surrogate, currents, log):
    kind, params = surrogate
    derivative = SURROGATES[kind][1]

    def fire(p):
        x = p - spec["th"]
        hard = ((x > 0) if spec["strict"] else (x >= 0)).to(x)
        log["margin"] = min(log["margin"], x.detach().abs().min().item())
        slope = derivative(x.detach(), **params)
        return hard + slope * (x - x.detach())

    v = torch.full_like(currents[0], spec["v0"])
    i = torch.zeros_like(currents[0])
    spikes, membranes = [], []
    for current in currents:
        j = spec["d_before"] * i + current
        p = spec["a"] * v + spec["b"] * j + spec["c"]
        if spec["reset"] == "delayed subtract":
            p = p - spec["th"] * (v > spec["th"]).to(p)
        i = spec["d_after"] * j
        s = fire(p)
        r = s.detach() if spec["detach"] else s
        if spec["reset"] == "subtract":
            v = p - spec["th"] * r
        elif spec["reset"] == "value":
            v = p * (1.0 - r) + spec["v_reset"] * r
        else:
            v = p
        if spec["reset"] == "subtract":
            log["above"] += int((v > spec["th"]).sum())
        spikes.append(s)
        membranes.append(v)
    return torch.stack(spikes), torch.stack(membranes)


# ------------------------------------------------------------------ the variants
def _snn_leaky(name, gains, reset, grad, delay=False):
    attached = (
        "reset_delay=False: the spike in the reset is attached, the surrogate gradient flows "
        "through it.  (In detail: the reset decided by the OLD membrane, detached, is applied "
        "first, the neuron fires on the result, then (spike - old reset), spike attached, is "
        "applied.  In these runs no membrane is above threshold after a reset, so the old reset"
        " is always zero.  Where one is, with 'subtract', the comparison is made with a "
        "threshold already taken off, and given back if no spike comes: the neuron can sit "
        "above threshold without firing.)"
    )
    return dict(
        name=name,
        peer="snntorch",
        gains=gains,
        make=snntorch_leaky,
        params=dict(beta=0.9, threshold=1.0, reset_mechanism=reset, reset_delay=delay, spike_grad=grad),
        call="snn.Leaky(beta, threshold, reset_mechanism, reset_delay, spike_grad)",
        order={
            "subtract": "p = beta v + x; s = p > th; v = p - th s",
            "zero": "p = beta v + x; s = p > th; v = p (1 - s)",
            "none": "v = beta v + x; s = v > th; no reset",
        }[reset]
        if not delay
        else "p = beta v + x - th [v_old > th]; s = p > th; v = p (the reset of a spike is subtracted "
        "one step later, after the leak, so it is not leaked itself)",
        gradient="reset detached (the default, reset_delay=True)"
        if delay
        else ("no reset" if reset == "none" else attached),
        surrogate=("fast_sigmoid", dict(slope=25.0)) if grad == "fast_sigmoid" else ("atan", dict(alpha=2.0)),
        canonical=canonical(
            a=0.9,
            reset="delayed subtract" if delay else {"subtract": "subtract", "zero": "value", "none": "none"}[reset],
        ),
    )


def _sj(name, gains, cls="LIFNode", tau=2.0, decay_input=True, v_reset=0.0, detach_reset=False):
    params = dict(v_threshold=1.0, v_reset=v_reset, detach_reset=detach_reset)
    r = 0.0 if v_reset is None else v_reset
    if cls == "LIFNode":
        params.update(tau=tau, decay_input=decay_input)
        charge = "p = v + (x - (v - v_reset)) / tau" if decay_input else "p = v - (v - v_reset) / tau + x"
        spec = dict(a=1.0 - 1.0 / tau, b=1.0 / tau if decay_input else 1.0, c=r / tau)
    else:
        charge = "p = v + x"
        spec = dict(a=1.0)
    soft = v_reset is None
    return dict(
        name=name,
        peer="spikingjelly",
        gains=gains,
        make=spikingjelly_node,
        params=dict(cls=cls, surrogate_alpha=2.0, **params),
        call=f"neuron.{cls}(..., surrogate_function=surrogate.ATan(2.0), step_mode='s')",
        order=charge
        + "; s = p >= v_threshold; "
        + (
            "v = p - v_threshold s (v_reset=None; the leak goes to 0)"
            if soft
            else "v = (1 - s) p + s v_reset; v starts at v_reset"
        ),
        gradient="spike in the reset is detached"
        if detach_reset
        else "spike in the reset is attached (detach_reset=False, the default)",
        surrogate=("atan", dict(alpha=2.0)),
        canonical=canonical(
            reset="subtract" if soft else "value", v_reset=r, v0=r, detach=detach_reset, strict=False, **spec
        ),
    )


DT, TAU_MEM_INV, TAU_SYN_INV = 1e-3, 200.0, 250.0
NORSE = dict(v_leak=0.1, v_th=0.6, v_reset=-0.2, dt=DT, method="super", alpha=100.0)
NORSE_GRADIENT = (
    "spike in the reset is attached (the feed-forward step functions do not detach; "
    "the recurrent lif_step does).  method='super' ignores alpha in this version: "
    "the derivative is 1 / (1 + |x|)^2 whatever alpha is."
)
K, KS = DT * TAU_MEM_INV, DT * TAU_SYN_INV
ALPHA_SINABS = math.exp(-1.0 / 4.0)

VARIANTS = [
    _snn_leaky("snntorch_leaky_subtract", (0.65, 0.9), "subtract", "fast_sigmoid"),
    _snn_leaky("snntorch_leaky_zero", (0.9, 1.4), "zero", "fast_sigmoid"),
    _snn_leaky("snntorch_leaky_none", (0.2, 0.45), "none", "fast_sigmoid"),
    _snn_leaky("snntorch_leaky_atan", (0.65, 0.9), "subtract", "atan"),
    _snn_leaky("snntorch_leaky_delay", (0.7, 1.2), "subtract", "fast_sigmoid", delay=True),
    dict(
        name="snntorch_synaptic",
        peer="snntorch",
        gains=(0.15, 0.35),
        make=snntorch_synaptic,
        params=dict(
            alpha=0.8, beta=0.9, threshold=1.0, reset_mechanism="subtract", reset_delay=False, spike_grad="fast_sigmoid"
        ),
        call="snn.Synaptic(alpha, beta, threshold, reset_mechanism, reset_delay, spike_grad)",
        order="i = alpha i + x; p = beta v + i (the new i); s = p > th; v = p - th s; i is never reset",
        gradient="as snn.Leaky with reset_delay=False: attached",
        surrogate=("fast_sigmoid", dict(slope=25.0)),
        canonical=canonical(a=0.9, d_before=0.8, d_after=1.0),
    ),
    dict(
        name="norse_lif_box",
        peer="norse",
        gains=(2.0, 6.0),
        make=norse_lif_box,
        params=dict(tau_mem_inv=TAU_MEM_INV, **NORSE),
        call="lif_box_feed_forward_step(x, state, LIFBoxParameters(...), dt)",
        order="p = v + dt tau_mem_inv (x + v_leak - v); s = p > v_th; v = (1 - s) p + s v_reset; v starts at v_leak",
        gradient=NORSE_GRADIENT,
        surrogate=("fast_sigmoid", dict(slope=1.0)),
        canonical=canonical(a=1 - K, b=K, c=K * 0.1, th=0.6, v0=0.1, v_reset=-0.2, reset="value"),
    ),
    dict(
        name="norse_lif",
        peer="norse",
        gains=(0.65, 1.6),
        make=norse_lif,
        params=dict(tau_syn_inv=TAU_SYN_INV, tau_mem_inv=TAU_MEM_INV, **NORSE),
        call="lif_feed_forward_step(x, state, LIFParameters(...), dt)",
        order="j = i + x (jump first); p = v + dt tau_mem_inv (v_leak - v + j) (with the jumped, "
        "not yet decayed current); i = j - dt tau_syn_inv j (decay last); s = p > v_th; "
        "v = (1 - s) p + s v_reset; v starts at v_leak",
        gradient=NORSE_GRADIENT,
        surrogate=("fast_sigmoid", dict(slope=1.0)),
        canonical=canonical(
            a=1 - K, b=K, c=K * 0.1, d_before=1.0, d_after=1 - KS, th=0.6, v0=0.1, v_reset=-0.2, reset="value"
        ),
    ),
    _sj("spikingjelly_lif", (1.6, 5.0)),
    _sj("spikingjelly_lif_detach", (1.6, 5.0), detach_reset=True),
    _sj("spikingjelly_lif_nodecay", (0.75, 3.0), decay_input=False),
    _sj("spikingjelly_lif_soft", (1.4, 5.5), v_reset=None),
    _sj("spikingjelly_lif_vreset", (3.5, 3.0), v_reset=-0.25),
    _sj("spikingjelly_if", (0.25, 6.0), cls="IFNode"),
    dict(
        name="sinabs_lif",
        peer="sinabs",
        gains=(4.5, 4.5),
        make=sinabs_lif,
        params=dict(tau_mem=4.0, spike_threshold=1.0, norm_input=True, grad_width=0.5, grad_scale=1.0),
        call="sl.LIF(tau_mem, spike_threshold, norm_input, spike_fn=SingleSpike, "
        "reset_fn=MembraneSubtract(), surrogate_grad_fn=SingleExponential(...))",
        order="alpha = exp(-1 / tau_mem); p = alpha v + (1 - alpha) x; s = p >= th; v = p - th s",
        gradient="spike in the reset is attached (MembraneSubtract; MembraneReset blocks it). "
        "SingleSpike is not the default spike_fn: the default, MultiSpike, emits "
        "trunc(p / th) spikes in a step.",
        surrogate=("exponential", dict(width=0.5, scale=1.0)),
        canonical=canonical(a=ALPHA_SINABS, b=1 - ALPHA_SINABS, strict=False),
    ),
]


# ------------------------------------------------------------------ run, check, write
def run_net(layer1, layer2, data, gains):
    x, w1, w2, readout = data
    x = torch.tensor(x.astype(np.float64), requires_grad=True)
    w1 = torch.tensor(w1 * gains[0], requires_grad=True)
    w2 = torch.tensor(w2 * gains[1], requires_grad=True)
    s1, u1 = layer1(x @ w1.T)
    s2, u2 = layer2(s1 @ w2.T)
    assert s1.dtype == u1.dtype == s2.dtype == u2.dtype == torch.float64
    loss = (s2 * torch.tensor(readout)).sum() + FINAL_WEIGHT * (u2[-1] ** 2).sum()
    loss.backward()
    out = dict(spikes1=s1, spikes2=s2, mem1=u1, mem2=u2, loss=loss, grad_w1=w1.grad, grad_w2=w2.grad, grad_x=x.grad)
    return {k: v.detach().numpy() for k, v in out.items()}


def run_variant(variant, data):
    with double_instead_of_float():
        got = run_net(
            variant["make"](**variant["params"]), variant["make"](**variant["params"]), data, variant["gains"]
        )
    assert fires_at_threshold(variant["peer"]) != variant["canonical"]["strict"]
    log = dict(margin=math.inf, above=0)
    one = lambda currents: canonical_run(variant["canonical"], variant["surrogate"], currents, log)
    want = run_net(one, one, data, variant["gains"])
    for k in ("spikes1", "spikes2"):
        assert np.isin(got[k], (0.0, 1.0)).all()
        assert (got[k] == np.round(want[k])).all(), (variant["name"], k)
    errors = {}
    for k in ("mem1", "mem2", "loss", "grad_w1", "grad_w2", "grad_x"):
        errors[k] = float(np.abs(got[k] - want[k]).max() / np.abs(want[k]).max())
        assert errors[k] < 1e-12, (variant["name"], k, errors[k])
    if variant["peer"] == "snntorch" and variant["canonical"]["reset"] == "subtract":
        assert log["above"] == 0, (variant["name"], "membrane above threshold after the reset")
    return got, log["margin"], max(errors.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--dry", action="store_true", help="run and check only")
    args = parser.parse_args()

    data = make_data()
    results, entries = [], []
    for index, variant in enumerate(VARIANTS):
        got, margin, error = run_variant(variant, data)
        rates = [float(got["spikes1"].mean()), float(got["spikes2"].mean())]
        print(
            f"{variant['name']:28s} rates {rates[0]:.3f} {rates[1]:.3f}  loss {got['loss']:9.4f}"
            f"  |dW1| {np.abs(got['grad_w1']).max():.2e}  margin {margin:.1e}"
            f"  disagreement {error:.1e}"
        )
        assert all(0.05 <= r <= 0.30 for r in rates), variant["name"]
        results.append(got)
        entry = {k: v for k, v in variant.items() if k not in ("make", "gains", "surrogate")}
        kind, params = variant["surrogate"]
        entry.update(
            index=index,
            gain1=variant["gains"][0],
            gain2=variant["gains"][1],
            surrogate=dict(kind=kind, derivative=SURROGATES[kind][0], **params),
            firing_rates=rates,
            threshold_margin=margin,
        )
        entries.append(entry)
    print(f"smallest margin {min(e['threshold_margin'] for e in entries):.1e}")
    if args.dry:
        return

    stack = lambda key, dtype: np.stack([r[key] for r in results]).astype(dtype)
    x, w1, w2, readout = data
    arrays = dict(
        x=x,
        w1=w1,
        w2=w2,
        readout=readout,
        gains=np.array([v["gains"] for v in VARIANTS]),
        spikes1=stack("spikes1", bool),
        spikes2=stack("spikes2", bool),
        mem1_item0=stack("mem1", np.float32)[:, :, 0],
        mem1_sum=stack("mem1", np.float64).sum(1),
        mem2=stack("mem2", np.float32),
        loss=stack("loss", np.float64),
        grad_w1=stack("grad_w1", np.float64),
        grad_w2=stack("grad_w2", np.float64),
        grad_x_item0=stack("grad_x", np.float32)[:, :, 0],
        grad_x_sum=stack("grad_x", np.float64).sum(1),
    )
    path = os.path.join(args.out, "peers.npz")
    np.savez_compressed(path, **arrays)
    about = dict(
        about="Reference traces of other spiking libraries on one small net; written by peers.py. "
        "All runs in float64.  snnTorch's and sinabs' casts to single precision (.float()) "
        "were replaced by casts to double while they ran.",
        net="current1 = x @ (gain1 * w1).T; layer 1; current2 = spikes1 @ (gain2 * w2).T; layer 2. "
        "Gradients are with respect to the scaled weights gain * w.",
        loss=f"sum over t, b, k of spikes2[t, b, k] * readout[k] + {FINAL_WEIGHT} * sum over b, k "
        "of mem2[last, b, k]^2",
        canonical=[
            "j = d_before * i + current; p = a * v + b * j + c; i = d_after * j",
            "s = p > th if strict else p >= th; ds/dp = surrogate derivative at p - th",
            "r = stop_gradient(s) if detach else s",
            "reset subtract: v = p - th * r; value: v = p * (1 - r) + v_reset * r; none: v = p",
            "reset delayed subtract: p has th * stop_gradient(v_old > th) subtracted, v = p",
            "start: v = v0, i = 0",
        ],
        arrays=dict(
            x="bool [30, 4, 12], input spikes [time, batch, channel]",
            w1="float64 [20, 12]",
            w2="float64 [5, 20]",
            readout="float64 [5]",
            gains="float64 [variant, 2]: gain1, gain2",
            spikes1="bool [variant, 30, 4, 20]",
            spikes2="bool [variant, 30, 4, 5]",
            mem1_item0="float32 [variant, 30, 20]: layer 1 membranes after the reset, batch item 0",
            mem1_sum="float64 [variant, 4, 20]: the same summed over time, all batch items",
            mem2="float32 [variant, 30, 4, 5]: membranes of layer 2 after the reset",
            loss="float64 [variant]",
            grad_w1="float64 [variant, 20, 12]",
            grad_w2="float64 [variant, 5, 20]",
            grad_x_item0="float32 [variant, 30, 12]: d loss / d x, batch item 0",
            grad_x_sum="float64 [variant, 4, 12]: d loss / d x summed over time, all batch items",
        ),
        threshold_margin="smallest |p - th| met in the run; smaller errors flip no spike",
        versions=dict(
            python=platform.python_version(),
            numpy=np.__version__,
            **{p: version(p) for p in ("torch", "snntorch", "norse", "spikingjelly", "sinabs")},
        ),
        seed=SEED,
        variants=entries,
    )
    with open(os.path.join(args.out, "peers.json"), "w") as f:
        json.dump(about, f, indent=1)
        f.write("\n")
    print(f"wrote {path} ({os.path.getsize(path)} bytes)")


if __name__ == "__main__":
    main()
