"""Training by evolution: the losses that a strategy is told, against a network in NumPy; and what it shares with gradients."""

import equinox as eqx
import evosax.algorithms
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs
from small import (
    CLASSES,
    EXAMPLES,
    assert_same_bits,
    differs,
    fit,
    make_arrays,
    make_data,
    make_model,
    numpy_cross_entropy,
    numpy_forward,
)
from strategies import TinyES

import snnx
from snnx._errors import CheckpointError, NonFiniteError, ShapeError
from snnx.train import Checkpoint

MODEL = make_model()
PARAMS, REST = snnx.partition(MODEL)
MEMBERS = 12
STRATEGY = TinyES(MEMBERS, PARAMS, std=0.2)


def evolve(model=MODEL, optimizer=STRATEGY, **settings):
    """A generation an epoch, each on all examples, unless it is said otherwise."""
    return fit(model, **{"optimizer": optimizer, "batch_size": EXAMPLES} | settings)


def numpy_score(model):
    """Loss and accuracy on all examples, in double precision."""
    spikes, labels = make_arrays()
    outputs = [numpy_forward(model, x)[0] for x in spikes]
    losses = [numpy_cross_entropy(y, label) for y, label in zip(outputs, labels, strict=True)]
    return np.mean(losses), np.mean([y.argmax() == label for y, label in zip(outputs, labels, strict=True)])


@pytest.fixture(scope="module")
def one():
    """A single generation."""
    return evolve()


# Against NumPy.


def test_a_generation_equals_numpy(one):
    """What the strategy is told is the loss of each candidate, and the new model is the mean of the better half."""
    told = one.state.opt_state.strategy
    candidates = [snnx.combine(jax.tree.map(lambda x, i=i: x[i], told["asked"]), REST) for i in range(MEMBERS)]
    losses = np.array([numpy_score(candidate)[0] for candidate in candidates])
    np.testing.assert_allclose(told["values"], losses, rtol=1e-4)
    assert losses.std() > 0.02
    better = np.argsort(losses)[: MEMBERS // 2]
    asked = np.stack([np.float64(snnx.parameters.flatten(candidate)) for candidate in candidates])
    np.testing.assert_allclose(snnx.parameters.flatten(one.model), asked[better].mean(axis=0), rtol=1e-5, atol=1e-6)
    assert abs((asked - np.float64(snnx.parameters.flatten(MODEL))).std() - 0.2) < 0.02


def test_the_figures_of_an_epoch_are_those_of_the_model_before_its_step(one):
    loss, accuracy = numpy_score(MODEL)
    np.testing.assert_allclose(one.history[0]["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(one.history[0]["accuracy"], accuracy, rtol=1e-6)
    more = evolve(epochs=2)
    assert more.history[0]["loss"] == one.history[0]["loss"]
    scored = snnx.evaluate(one.model, make_data())
    np.testing.assert_allclose(more.history[1]["loss"], scored.loss, rtol=1e-5)
    np.testing.assert_allclose(more.history[1]["accuracy"], scored.accuracy, rtol=1e-6)


@pytest.mark.slow
def test_evolution_alone_learns():
    result = evolve(epochs=400)
    losses = [record["loss"] for record in result.history]
    assert losses[-1] < 0.6 * losses[0]
    assert result.history[0]["accuracy"] < 0.5
    assert result.history[-1]["accuracy"] >= 0.75
    np.testing.assert_allclose(numpy_score(result.model)[0], snnx.evaluate(result.model, make_data()).loss, rtol=1e-4)
    assert numpy_score(result.model)[0] < 0.6 * numpy_score(MODEL)[0]


@pytest.mark.slow
def test_a_strategy_of_evosax_learns_from_batches(ranks_are_promoted):
    strategy = evosax.algorithms.SNES(population_size=24, solution=PARAMS)
    solver = snnx.solvers.Evolution(strategy, strategy.default_params.replace(std_init=0.2))
    result = evolve(optimizer=solver, epochs=25, batch_size=8)
    assert result.history[-1]["loss"] < 0.6 * result.history[0]["loss"]
    assert not differs(REST, snnx.partition(result.model)[1])


def test_evolution_goes_on_from_what_a_gradient_has_found():
    trained = fit(MODEL, optimizer=optax.adam(3e-2), epochs=25).model
    loss, accuracy = numpy_score(trained)
    assert loss < 0.6 * numpy_score(MODEL)[0]
    result = evolve(trained, epochs=1)
    np.testing.assert_allclose(result.history[0]["loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(result.history[0]["accuracy"], accuracy, rtol=1e-6)


def test_with_validation_the_best_model_is_kept():
    data = make_data()
    result = evolve(epochs=12, validation=data)
    losses = [record["validation_loss"] for record in result.history]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    np.testing.assert_allclose(numpy_score(result.model)[0], min(losses), rtol=1e-4)
    # The model that is scored after an epoch is the one that the next begins with.
    later = [record["loss"] for record in result.history[1:]]
    np.testing.assert_allclose(losses[:-1], later, rtol=1e-5)


# To go on.


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit(tmp_path):
    path = tmp_path / "run.npz"
    settings = {"batch_size": 8, "validation": make_data(9, seed=4)}
    whole = evolve(epochs=4, **settings)
    half = evolve(epochs=2, callbacks=[Checkpoint(path)], **settings)
    for resume in (path, half):
        result = evolve(epochs=4, resume=resume, **settings)
        assert_same_bits(result.state, whole.state)
        assert_same_bits(result.model, whole.model)
        timed = ("seconds", "samples_per_second")
        for a, b in zip(result.history, whole.history, strict=True):
            assert {k: v for k, v in a.items() if k not in timed} == {k: v for k, v in b.items() if k not in timed}


def test_a_run_with_another_solver_is_not_gone_on_with(tmp_path):
    path = tmp_path / "run.npz"
    result = evolve(callbacks=[Checkpoint(path)])
    with pytest.raises(CheckpointError, match=r"\boptimizer\b"):
        evolve(optimizer=optax.adam(1e-2), resume=path, epochs=2)
    with pytest.raises(CheckpointError, match=r"\boptimizer\b"):
        evolve(optimizer=TinyES(8, PARAMS), resume=path, epochs=2)
    with pytest.raises(CheckpointError, match=r"\boptimizer\b"):
        evolve(optimizer=optax.adam(1e-2), resume=result, epochs=2)
    with pytest.raises(CheckpointError, match=r"\boptimizer\b"):
        evolve(optimizer=TinyES(8, PARAMS), resume=result, epochs=2)


def test_a_second_call_compiles_nothing():
    evolve(epochs=1)
    with programs(0):
        evolve(epochs=3)
        evolve(make_model(seed=5), epochs=1)


# What is moved, and what is not.


def slopes():
    """A network whose surrogate has an array for its slope."""
    return make_model(surrogate=snnx.surrogates.ATan(jnp.array(2.0)))


def test_a_slope_is_refused_by_a_gradient_and_moved_by_evolution():
    model = slopes()
    with pytest.raises(ValueError, match=r"\.surrogate"):
        fit(model, optimizer=optax.adam(1e-2))
    result = evolve(model, TinyES(4, snnx.partition(model)[0], std=0.1))
    before, after = (eqx.filter(m.layers[1].surrogate, eqx.is_array) for m in (model, result.model))
    assert differs(before, after)


def test_trainable_says_what_is_moved():
    def last_alone(model):
        nothing = jax.tree.map(lambda _: False, model)
        return eqx.tree_at(lambda m: m.layers[2].weight, nothing, replace=True)

    params, rest = snnx.partition(MODEL, last_alone)
    result = evolve(optimizer=TinyES(4, params), trainable=last_alone)
    after, same = snnx.partition(result.model, last_alone)
    assert differs(params, after)
    assert_same_bits(jax.tree.leaves(eqx.filter(same, eqx.is_array)), jax.tree.leaves(eqx.filter(rest, eqx.is_array)))


@pytest.mark.slow
def test_all_candidates_have_the_same_dropout():
    """Candidates that are all the same have the same loss, whatever is dropped."""
    model = make_model(between=(eqx.nn.Dropout(0.5),))
    result = evolve(model, TinyES(6, snnx.partition(model)[0], std=0.0))
    told = result.state.opt_state.strategy["values"]
    np.testing.assert_array_equal(told, np.full(6, told[0]))
    np.testing.assert_allclose(result.history[0]["loss"], told[0], rtol=1e-6)
    assert abs(told[0] - snnx.evaluate(model, make_data()).loss) > 1e-3  # which drops nothing


@pytest.mark.slow
def test_a_model_without_a_finite_loss_raises():
    model = eqx.tree_at(lambda m: m.layers[2].weight, MODEL, jnp.full_like(MODEL.layers[2].weight, 3e38))
    with pytest.raises(NonFiniteError, match=r"\bupdate\b") as error:
        evolve(model)
    assert_same_bits(snnx.parameters.flatten(error.value.state.model), snnx.parameters.flatten(model))


def test_candidates_without_a_finite_loss_are_left_out():
    """Half of them have weights so large that the readout overflows."""

    class Bursting(TinyES):
        def ask(self, key, state, params):
            population, state = super().ask(key, state, params)
            large = jnp.arange(MEMBERS) % 2 == 1
            return eqx.tree_at(
                lambda p: p.layers[2].weight, population, replace_fn=lambda w: jnp.where(large[:, None, None], 3e38, w)
            ), state

    result = evolve(optimizer=Bursting(MEMBERS, PARAMS, std=0.2))
    told = np.asarray(result.state.opt_state.strategy["values"])
    assert np.isfinite(told).all()
    assert told[1::2].min() > told[::2].max()
    asked = result.state.opt_state.strategy["asked"].layers[0].weight
    np.testing.assert_allclose(result.model.layers[0].weight, np.float64(asked)[::2].mean(axis=0), rtol=1e-5, atol=1e-6)


# What is refused.


def test_a_strategy_of_another_structure_or_shape_is_refused():
    with pytest.raises(ValueError, match=r"\bstrategy\b"):
        evolve(optimizer=TinyES(4, jnp.zeros(3)))
    wider = eqx.tree_at(lambda p: p.layers[2].bias, PARAMS, jnp.zeros(CLASSES + 1))
    with pytest.raises(ShapeError, match=r"\.layers\[2\]\.bias"):
        evolve(optimizer=TinyES(4, wider))


def test_a_strategy_too_large_for_memory_is_refused():
    strategy = evosax.algorithms.CMA_ES(population_size=8, solution=PARAMS)
    with pytest.raises(MemoryError, match=rf"\b{snnx.parameters.flatten(MODEL).size}\b"):
        evolve(optimizer=snnx.solvers.Evolution(strategy, memory=10_000))


@pytest.mark.parametrize("wrong", [evosax.algorithms.SNES, "adam"])
def test_what_is_no_solver_is_refused(wrong):
    with pytest.raises(TypeError, match=r"\boptimizer\b"):
        evolve(optimizer=wrong)
