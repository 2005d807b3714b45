"""Graphs: which edges lag, what runs together, and the same numbers as the containers that mean the same."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.layers._wiring import CycleError, lagging_edges, wiring

K = jax.random.split(jax.random.key(3), 8)
XS = 2.0 * jax.random.normal(K[0], (11, 4))


def linear(fan_in, fan_out, number, **options):
    return eqx.nn.Linear(fan_in, fan_out, key=K[number], **options)


def lif(**options):
    return snnx.LIF(tau=3.0, **options)


def lags(edges, stateful, inputs=("x",)):
    names = dict.fromkeys([name for edge in edges for name in edge])
    return lagging_edges(names, edges, inputs, frozenset(stateful))


@pytest.mark.parametrize(
    ("edges", "stateful", "expected"),
    [
        pytest.param([("x", "a"), ("a", "b")], "ab", set(), id="none without a cycle"),
        pytest.param([("x", "n"), ("n", "n")], "n", {("n", "n")}, id="onto itself"),
        pytest.param(
            [("x", "n"), ("n", "w"), ("w", "n")], "n", {("n", "w")}, id="back through weights: the neuron's edge"
        ),
        pytest.param([("x", "w"), ("w", "n"), ("n", "w")], "n", {("n", "w")}, id="entered at the weights"),
        pytest.param(
            [("x", "a"), ("a", "b"), ("b", "w"), ("w", "a")],
            "ab",
            {("b", "w")},
            id="the last neuron of two, not the first",
        ),
        pytest.param(
            [("x", "a"), ("a", "w"), ("w", "b"), ("b", "a"), ("b", "v"), ("v", "w")],
            "ab",
            # Depth first a, w, b: its first successor, a, closes a-w-b-a, so b -> a lags; then v, w closes w-b-v-w.
            {("b", "a"), ("b", "v")},
            id="two cycles that share a node",
        ),
        pytest.param(
            [("x", "b"), ("x", "a"), ("a", "b"), ("b", "a")], "ab", {("b", "a")}, id="successors in the order of names"
        ),
        pytest.param([("x", "y"), ("p", "q"), ("q", "p")], "pq", {("q", "p")}, id="a cycle that nothing leads into"),
        pytest.param(
            [("x", "s/i"), ("s/i", "s/n"), ("s/n", "s/o"), ("s/o", "s!"), ("s!", "s/i")],
            ["s/n"],
            {("s/n", "s/o")},
            id="through a nested graph",
        ),
    ],
)
def test_the_edge_that_lags_leaves_the_last_node_with_a_state(edges, stateful, expected):
    assert lags(edges, stateful) == expected
    assert lags(edges[::-1], stateful) == expected  # the order of edges does not matter


def test_a_cycle_without_state_is_refused():
    with pytest.raises(CycleError, match=r"\bv\b"):
        lags([("x", "v"), ("v", "w"), ("w", "v")], [])
    with pytest.raises(ValueError, match=r"\bv\b"):
        snnx.Graph(
            {"v": linear(4, 4, 1), "w": linear(4, 4, 2)},
            [("input", "v"), ("v", "w"), ("w", "v"), ("w", "output")],
        )


def test_what_cycles_tie_together_is_one_unit_and_the_rest_is_not():
    edges = (("x", "a"), ("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("d", "d"), ("d", "e"), ("e", "y"))
    found = wiring(tuple("abcde"), edges, ("x",), ("y",), frozenset("abcde"))
    assert [(set(names), cyclic) for names, cyclic in found.components] == [
        ({"a"}, False),
        ({"b", "c"}, True),
        ({"d"}, True),
        ({"e"}, False),
    ]
    assert found.sources["b"] == ("a", "c")


def test_a_chain_of_thousands_of_nodes_is_no_recursion():
    names = tuple(f"n{i}" for i in range(5000))
    edges = tuple(zip(("x", *names), (*names, "y"), strict=True))
    assert [nodes[0] for nodes, _ in wiring(names, edges, ("x",), ("y",), frozenset()).components] == list(names)


def same(graph, container, xs=XS, rename=()):
    """Outputs and gradients by inputs and first weights, of two cells that mean the same."""

    def loss(cell, xs):
        return jnp.sum(jnp.sin(snnx.simulate(cell, xs, chunk=4)[0]))

    np.testing.assert_allclose(snnx.simulate(graph, xs)[0], snnx.simulate(container, xs)[0], rtol=1e-5, atol=1e-6)
    gradients = [jax.grad(loss, argnums=1)(cell, xs) for cell in (graph, container)]
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-6)
    assert np.abs(gradients[0]).max() > 1e-3
    by_weights = [eqx.filter_grad(loss)(cell, xs) for cell in (graph, container)]
    found, expected = (sorted(float(jnp.sum(g**2)) for g in jax.tree.leaves(grads)) for grads in by_weights)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-8)


def test_a_chain_is_a_sequential():
    a, b = linear(4, 6, 1), linear(6, 3, 2)
    graph = snnx.Graph(
        {"a": a, "n": lif(), "b": b, "r": snnx.LI(tau=5.0)},
        [("input", "a"), ("a", "n"), ("n", "b"), ("b", "r"), ("r", "output")],
    )
    same(graph, snnx.Sequential([a, lif(), b, snnx.LI(tau=5.0)]))


@pytest.mark.slow
def test_edges_around_a_node_are_a_residual():
    a, b, c = linear(4, 6, 1), linear(6, 6, 2), linear(6, 3, 3)
    graph = snnx.Graph(
        {"a": a, "b": b, "n": lif(), "c": c},
        [("input", "a"), ("a", "b"), ("b", "n"), ("a", "c"), ("n", "c"), ("c", "output")],
    )
    same(graph, snnx.Sequential([a, snnx.Residual(snnx.Sequential([b, lif()])), c]))


@pytest.mark.slow
def test_feedback_with_a_bias_is_a_recurrent():
    a, back = linear(4, 6, 1), linear(6, 6, 2)
    nodes = {"a": a, "n": snnx.CubaLIF(tau_mem=4.0, tau_syn=2.0), "back": back}
    edges = [("input", "a"), ("a", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    recurrent = snnx.Recurrent(snnx.CubaLIF(tau_mem=4.0, tau_syn=2.0), back)
    same(snnx.Graph(nodes, edges), snnx.Sequential([a, recurrent]))
    _, state, seen = snnx.simulate(snnx.Graph(nodes, edges), XS, record=["n", "n.v", "back"])
    np.testing.assert_array_equal(state[""]["n"], seen["n"][-1])
    np.testing.assert_allclose(seen["back"][0], back.bias, rtol=1e-6)  # from step 0 on
    expected = np.asarray(seen["n"][:-1]) @ np.asarray(back.weight).T + np.asarray(back.bias)
    np.testing.assert_allclose(seen["back"][1:], expected, rtol=1e-5, atol=1e-6)


def several():
    return snnx.Graph(
        {"w": linear(4, 3, 1), "n": lif(), "v": linear(2, 3, 2), "r": snnx.LI(tau=4.0)},
        [
            ("image", "w"),
            ("sound", "v"),
            ("w", "n"),
            ("v", "n"),
            ("n", "spikes"),
            ("n", "r"),
            ("r", "trace"),
            ("v", "trace"),
        ],
        inputs=["image", "sound"],
        outputs=["spikes", "trace"],
    )


@pytest.mark.slow
def test_several_inputs_and_outputs_are_dicts_by_name():
    graph, sound = several(), jax.random.normal(K[5], (11, 2))
    given = {"image": XS, "sound": sound}
    ys, state, seen = snnx.simulate(graph, given, record=["w", "v", "r"], chunk=3)
    assert set(ys) == {"spikes", "trace"}
    n, _ = snnx.simulate(lif(), seen["w"] + seen["v"])
    np.testing.assert_array_equal(ys["spikes"], n)
    np.testing.assert_allclose(ys["trace"], seen["r"] + seen["v"], rtol=1e-6)
    by_step, now = [], graph.init_state({"image": (4,), "sound": (2,)})
    for image, word in zip(XS, sound, strict=True):
        y, now = graph({"image": image, "sound": word}, now)
        by_step.append(y["trace"])
    np.testing.assert_allclose(jnp.stack(by_step), ys["trace"], rtol=1e-5, atol=1e-6)
    assert jax.tree.structure(now) == jax.tree.structure(state)
    means, _ = snnx.simulate(graph, given, readout=snnx.Mean(), chunk=3)
    np.testing.assert_allclose(means["trace"], ys["trace"].mean(axis=0), rtol=1e-5, atol=1e-6)
    (last, total), _ = snnx.simulate(graph, given, readout=(snnx.Last(), snnx.Sum()), burn_in=2, chunk=4)
    np.testing.assert_allclose(last["spikes"], ys["spikes"][-1])
    np.testing.assert_allclose(total["spikes"], ys["spikes"][2:].sum(axis=0))
    assert "trace" not in str(snnx.summary(graph, {"image": (4,), "sound": (2,)})).splitlines()[3]


def test_inputs_have_to_be_those_that_there_are():
    with pytest.raises(ValueError, match=r"\bshape\b"):
        several().init_state((4,))
    with pytest.raises(ValueError, match=r"\bshape\b"):
        several().init_state({"image": (4,)})
    with pytest.raises(snnx.ShapeError, match=r"\bxs\b"):
        snnx.simulate(several(), {"image": XS, "sound": jnp.zeros((5, 2))})


def test_names_may_have_dots():
    graph = snnx.Graph(
        {"a": snnx.Sequential([linear(4, 4, 1), lif()]), "a.1": snnx.LI(tau=2.0), "b.v": lif()},
        [("input", "a"), ("a", "a.1"), ("a.1", "b.v"), ("b.v", "output")],
    )
    _, _, seen = snnx.simulate(graph, XS, record=["a", "a.0", "a.1.v", "b.v.v", "b.v"])
    np.testing.assert_allclose(seen["a.1.v"], snnx.simulate(snnx.LI(tau=2.0), seen["a"])[0], rtol=1e-5, atol=1e-6)
    assert set(np.unique(seen["b.v"])) <= {0.0, 1.0}
    assert "a.1" in str(snnx.summary(graph, (4,)))


def test_a_node_that_nothing_leads_to_gets_zeros():
    nodes = {"w": linear(4, 3, 1), "constant": linear(2, 3, 2)}
    edges = [("input", "w"), ("w", "output"), ("constant", "output")]
    with pytest.raises(snnx.ShapeError, match=r"'constant'.*\bshapes\b"):
        snnx.Graph(nodes, edges).init_state((4,))
    graph = snnx.Graph(nodes, edges, shapes={"constant": (2,)})
    ys = snnx.simulate(graph, XS)[0]
    np.testing.assert_allclose(
        ys, np.asarray(jax.vmap(nodes["w"])(XS)) + np.asarray(nodes["constant"].bias), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(graph(XS[0], graph.init_state((4,)))[0], ys[0], rtol=1e-6)


def test_the_first_layer_takes_lists_of_active_channels():
    spikes = np.random.default_rng(0).random((11, 40)) < 0.1
    graph = snnx.Graph({"w": linear(40, 3, 1), "n": lif()}, [("input", "w"), ("w", "n"), ("n", "output")])
    lists = snnx.inputs.ActiveChannels(snnx.inputs.pack_active(spikes), sample_shape=(40,))
    assert graph.takes(lists)
    dense = jnp.asarray(spikes, jnp.float32)
    np.testing.assert_allclose(snnx.simulate(graph, lists)[0], snnx.simulate(graph, dense)[0], rtol=1e-5, atol=1e-6)
    skip = snnx.Graph({"w": linear(40, 40, 1)}, [("input", "w"), ("w", "output"), ("input", "output")])
    assert not skip.takes(lists)
    np.testing.assert_allclose(snnx.simulate(skip, lists)[0], snnx.simulate(skip, dense)[0], rtol=1e-5, atol=1e-6)


def test_masked_steps_change_nothing():
    a, back = linear(4, 6, 1), linear(6, 6, 2)
    graph = snnx.Graph(
        {"a": a, "n": lif(), "back": back, "d": snnx.Delay(2)},
        [("input", "a"), ("a", "n"), ("n", "back"), ("back", "n"), ("n", "d"), ("d", "output")],
    )
    live = jnp.arange(11) % 3 != 1
    ys, state, seen = snnx.simulate(graph, XS, mask=live, chunk=4, record=["n", "n.v", "back"])
    expected, final, short = snnx.simulate(graph, XS[np.flatnonzero(live)], record=["n", "n.v", "back"])
    np.testing.assert_allclose(ys[np.flatnonzero(live)], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ys[~live], 0.0)
    for path, trace in seen.items():
        np.testing.assert_allclose(trace[np.flatnonzero(live)], short[path], rtol=1e-5, atol=1e-6)
    # Outputs are zeros at masked steps; a state stands still, within a cycle as elsewhere.
    assert not seen["n"][~live].any()
    assert not seen["back"][~live].any()
    np.testing.assert_array_equal(seen["n.v"][1], seen["n.v"][0])
    assert seen["n.v"][1].any()
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.allclose(a, b, atol=1e-6)), state, final))


@pytest.mark.slow
def test_a_graph_trains():
    graph = several()
    spikes = np.random.default_rng(0).random((20, 6, 4)) < 0.5
    graph = snnx.Graph(
        {"a": linear(4, 8, 1), "n": lif(), "back": linear(8, 8, 2), "w": linear(8, 2, 3), "r": snnx.LI(tau=4.0)},
        [("input", "a"), ("a", "n"), ("n", "back"), ("back", "n"), ("n", "w"), ("w", "r"), ("r", "output")],
    )
    labels = (spikes[:, :, 0].sum(axis=1) > spikes[:, :, 1].sum(axis=1)).astype(int)
    data = snnx.data.from_spikes(spikes, labels, sample_shape=(4,))
    import optax

    fitted = snnx.fit(
        graph,
        data,
        loss=snnx.CrossEntropy(snnx.Mean()),
        optimizer=optax.adam(2e-2),
        epochs=30,
        batch_size=10,
        key=K[0],
        progress=False,
    )
    assert fitted.history[-1]["loss"] < 0.5 * fitted.history[0]["loss"]


@pytest.mark.parametrize(
    ("nodes", "edges", "named"),
    [
        ({"a": lif()}, [("input", "b"), ("a", "output")], "'b'"),
        ({"a": lif()}, [("imput", "a"), ("a", "output")], "'imput'.*'input'"),
        ({"a": lif()}, [("input", "a"), ("input", "a"), ("a", "output")], "'input' to 'a'"),
        ({"a": lif()}, [("input", "a")], "'output'"),
        ({"input": lif()}, [("input", "output")], "'input'"),
        ({"a": lif()}, [("input", "a"), ("a", "output"), ("output", "a")], "'output'"),
        ({"a": lif()}, ["ab"], r"\bedges\b"),
        ({"a": lif()}, [("input", "a", "output")], r"\bedges\b"),
        ({"a": lif()}, [("input", 1)], r"\bedges\b"),
        ({"": lif()}, [("input", "output")], r"\bname\b"),
        ({1: lif()}, [("input", "output")], r"\bnodes\b"),
        ([lif()], [("input", "output")], r"\bnodes\b"),
        ({"a": 3.0}, [("input", "a"), ("a", "output")], r"\bpart a\b"),
    ],
)
def test_what_is_no_graph_is_refused(nodes, edges, named):
    with pytest.raises((ValueError, TypeError), match=named):
        snnx.Graph(nodes, edges)


def test_a_graph_has_inputs_outputs_and_shapes():
    edges = [("input", "a"), ("a", "output")]
    for options in ({"inputs": ()}, {"outputs": []}, {"inputs": 1}, {"shapes": {"b": (4,)}}, {"shapes": {"a": (4.0,)}}):
        with pytest.raises((ValueError, TypeError), match=rf"\b{next(iter(options))}\b"):
            snnx.Graph({"a": lif()}, edges, **options)


def test_shapes_that_do_not_fit_are_named():
    graph = snnx.Graph(
        {"a": linear(4, 6, 1), "n": lif()}, [("input", "a"), ("a", "n"), ("input", "n"), ("n", "output")]
    )
    with pytest.raises(snnx.ShapeError, match=r"'n'.*\(6,\).*'input'.*\(4,\)"):
        graph.init_state((4,))
    with pytest.raises(snnx.ShapeError, match=r"\blayer a\b"):
        graph.init_state((5,))


@pytest.mark.parametrize("delay", [0, 1, 3, 20, [0, 2, 1, 4]])
def test_a_delay_hands_on_what_came_before(delay):
    ys, state = snnx.simulate(snnx.Delay(delay), XS, chunk=4)
    steps = np.broadcast_to(delay, 4)
    expected = np.stack([np.concatenate([np.zeros(d), XS[: 11 - d, i]])[:11] for i, d in enumerate(steps)], axis=1)
    np.testing.assert_array_equal(ys, expected)
    assert state.before.shape == (max(steps), 4)


def test_a_delay_is_in_the_unit_of_its_step():
    delay = snnx.Delay([0.001, 0.0024, 0.0026, 0.0], dt=1e-3)
    assert delay.steps.tolist() == [1, 2, 3, 0]
    assert snnx.with_dt(delay, 2e-4).steps.tolist() == [5, 12, 13, 0]
    for wrong in ([1.0, -1.0], np.inf, "3", None, True, [[1], [1, 2]]):
        with pytest.raises((ValueError, TypeError), match=r"\bdelay\b"):
            snnx.Delay(wrong)
    with pytest.raises(TypeError, match=r"\bdelay\b"):
        jax.jit(lambda d: snnx.Delay(d).delays)(1.0)
    with pytest.raises(snnx.ShapeError, match=r"\bdelay\b"):
        delay.init_state((3,))
