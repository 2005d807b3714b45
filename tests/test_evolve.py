"""Evolution as a whole run: against a loop in NumPy, and against what a run must never do."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs
from small import assert_same_bits
from strategies import TinyES, double, keys_of, noise, numpy_es

import snnx
from snnx._errors import CheckpointError, NonFiniteError, ShapeError
from snnx.train import AbstractCallback, Checkpoint, EarlyStopping, LogFile, load_checkpoint, read_meta

KEY = jax.random.key(5)
START = jnp.zeros(3)
AIM = np.array([1.0, -2.0, 3.0])
MEMBERS, GENERATIONS = 6, 12
STRATEGY = TinyES(MEMBERS, START)


def bowl(params, key):
    return jnp.sum((params - jnp.asarray(AIM, params.dtype)) ** 2)


def numpy_bowl(leaves, generation=0):
    return ((leaves[0] - AIM) ** 2).sum()


def run(objective=bowl, params=START, **settings):
    usual = {"optimizer": STRATEGY, "generations": GENERATIONS, "key": KEY, "progress": False}
    return snnx.evolve(objective, params, **usual | settings)


def column(result, name):
    return [record[name] for record in result.history]


@pytest.fixture(scope="module")
def whole():
    """An uninterrupted run."""
    return run()


# Against NumPy.


def check_against_numpy(result, found):
    """Parameters, and the figures of every generation; `found` is what `numpy_es` gives."""
    np.testing.assert_allclose(result.params, found[-1]["after"][0], rtol=1e-5, atol=1e-6)
    assert column(result, "generation") == list(range(1, len(found) + 1))
    best = np.inf
    for record, generation in zip(result.history, found, strict=True):
        costs = generation["costs"][np.isfinite(generation["costs"])]
        expected = [costs.mean(), costs.std(), costs.min()] if len(costs) else [np.nan] * 3
        np.testing.assert_allclose([record[n] for n in ("mean", "std", "best")], expected, rtol=1e-5, atol=1e-6)
        assert record["failed"] == MEMBERS - len(costs)
        own = numpy_bowl(generation["before"])
        if np.isfinite(record["value"]):
            np.testing.assert_allclose(record["value"], own, rtol=1e-5, atol=1e-6)
            best = min(best, own)
        best = min(best, *costs, np.inf)
    np.testing.assert_allclose(result.best_value, best, rtol=1e-5)
    np.testing.assert_allclose(numpy_bowl(double(result.best)), best, rtol=1e-4)


def test_every_figure_of_every_generation_equals_numpy(whole):
    check_against_numpy(whole, numpy_es(STRATEGY, numpy_bowl, START, GENERATIONS, KEY))
    assert list(whole.history[0]) == ["generation", "value", "mean", "std", "best", "failed"]
    assert whole.outcome == "ran all generations"
    assert int(whole.state.generation) == GENERATIONS
    np.testing.assert_array_equal(whole.state.lowest, np.float32(min(column(whole, "value"))))
    assert int(whole.state.lowest_at) == int(np.argmin(column(whole, "value")))


def test_parameters_may_lie_in_numpy(whole):
    """Those of NumPy are as good; and what was given is not eaten by the program."""
    with programs(0):
        assert_same_bits(run(params=np.zeros(3, np.float32)).state, whole.state)
    np.testing.assert_array_equal(START, np.zeros(3))


def drawn(params, key):
    """The same for everybody in a generation."""
    return 0.0 * jnp.sum(params) + jax.random.normal(key)


def test_all_of_a_generation_are_given_the_same_key():
    result = run(drawn, generations=4)
    expected = [float(jax.random.normal(keys_of(KEY, generation)[0])) for generation in range(4)]
    assert len(set(expected)) == 4
    for name in ("value", "mean", "best"):
        np.testing.assert_allclose(column(result, name), expected, rtol=1e-6)
    np.testing.assert_allclose(column(result, "std"), 0.0, atol=1e-6)


def test_gradient_descent_with_momentum_equals_numpy():
    rate, momentum = 0.05, 0.9
    result = run(optimizer=optax.sgd(rate, momentum=momentum), figures=lambda state: {"first": state[0].trace[0]})
    p, velocity, costs, traces = np.zeros(3), np.zeros(3), [], []
    for _ in range(GENERATIONS):
        costs.append(((p - AIM) ** 2).sum())
        traces.append(velocity[0])
        velocity = 2 * (p - AIM) + momentum * velocity
        p = p - rate * velocity
    np.testing.assert_allclose(result.params, p, rtol=1e-5)
    np.testing.assert_allclose(column(result, "value"), costs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(column(result, "first"), traces, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result.best_value, min(costs), rtol=1e-4, atol=1e-5)
    assert result.settings["optimizer"] == "GradientDescent"


def test_candidates_may_be_evaluated_in_parts(whole):
    """Two at once of six and the parameters themselves: the last part is short."""
    parts = run(at_once=2)
    np.testing.assert_allclose(parts.params, whole.params, rtol=1e-6)
    for name in ("value", "mean", "std", "best", "failed"):
        np.testing.assert_allclose(column(parts, name), column(whole, name), rtol=1e-5)
    assert column(run(at_once=MEMBERS + 1), "value") == column(whole, "value")


def test_in_double_precision_everything_is(x64):
    """NumPy's loop is met to the last digits."""
    start = jnp.zeros(3)
    strategy = TinyES(MEMBERS, start)
    result = run(params=start, optimizer=strategy, generations=5)
    found = numpy_es(strategy, numpy_bowl, start, 5, KEY)
    assert result.params.dtype == jnp.float64
    np.testing.assert_allclose(result.params, found[-1]["after"][0], rtol=1e-12)
    np.testing.assert_allclose(column(result, "mean"), [g["costs"].mean() for g in found], rtol=1e-12)


# The end.


def test_a_run_ends_with_the_first_parameters_that_reach_the_target(whole):
    costs = column(whole, "value")
    place = next(i for i in range(5, GENERATIONS) if costs[i] < min(costs[:i]))  # the generation that is aimed for
    target = (costs[place] + min(costs[:place])) / 2
    result = run(target=target)
    assert len(result.history) == place + 1
    assert result.outcome == f"reached the target {target:g} in generation {place + 1}"
    reached = numpy_bowl(double(result.params))
    assert reached <= target
    np.testing.assert_allclose(reached, costs[place], rtol=1e-5)
    assert all(value > target for value in column(result, "value")[:-1])
    expected = numpy_es(STRATEGY, numpy_bowl, START, place + 1, KEY)[-1]
    np.testing.assert_allclose(result.params, expected["before"][0], rtol=1e-5, atol=1e-6)
    again = run(target=target, resume=result)
    assert_same_bits(again.state, result.state)
    assert (again.outcome, again.history) == (result.outcome, result.history)


def test_a_run_ends_when_nothing_has_become_better_for_a_while():
    longer = run(generations=60)
    costs = column(longer, "value")
    patience = 3
    stale = [i for i in range(60) if i - int(np.argmin(costs[: i + 1])) >= patience]
    result = run(generations=60, patience=patience)
    assert len(result.history) == stale[0] + 1 < 60
    assert result.outcome == "no better for 3 generations"
    assert result.history == longer.history[: stale[0] + 1]
    again = run(generations=60, patience=patience, resume=result)
    assert_same_bits(again.state, result.state)
    assert (again.outcome, again.history) == (result.outcome, result.history)


class StopAt(AbstractCallback):
    """Stops after so many generations; with an error, as if the process had been killed."""

    def __init__(self, generation, error=None):
        self.generation, self.error, self.seen = generation, error, []

    def before(self, snapshot):
        self.seen.append(("before", len(snapshot.history)))

    def after_epoch(self, snapshot):
        assert int(snapshot.state.generation) == len(snapshot.history)
        self.seen.append(("generations", len(snapshot.history)))
        if self.error is not None and len(snapshot.history) >= self.generation:
            raise self.error

    def stop(self, snapshot):
        return self.error is None and len(snapshot.history) >= self.generation

    def after(self, snapshot):
        self.seen.append(("after", len(snapshot.history)))


@pytest.fixture
def one_by_one(monkeypatch):
    """Callbacks are told after every generation, however short it is."""
    monkeypatch.setattr("snnx.train._run.SEGMENT_SECONDS", 1e-9)


def test_a_callback_may_stop_a_run(one_by_one, whole):
    callback = StopAt(3)
    result = run(callbacks=[callback])
    assert callback.seen == [("before", 0), *(("generations", i) for i in (1, 2, 3)), ("after", 3)]
    assert result.outcome == "stopped by a callback"
    assert result.history == whole.history[:3]
    assert_same_bits(run(resume=result).state, whole.state)


class Watching(AbstractCallback):
    """Decides as it sees a generation, and says so when it is asked."""

    def __init__(self, generation):
        self.generation, self.enough = generation, False

    def after_epoch(self, snapshot):
        self.enough = len(snapshot.history) >= self.generation

    def stop(self, snapshot):
        return self.enough


def test_a_callback_is_asked_once_it_has_been_told(one_by_one):
    assert len(run(callbacks=[Watching(3)]).history) == 3


def test_a_run_that_a_callback_has_stopped_stays_so_when_resumed(one_by_one):
    stopped = run(callbacks=[StopAt(3)])
    again = run(callbacks=[StopAt(3)], resume=stopped)
    assert_same_bits(again.state, stopped.state)
    assert again.outcome == "stopped by a callback"


def test_callbacks_see_each_stretch_of_a_fast_run(whole):
    """One generation to learn how long it takes, then all the rest at once."""
    callback = StopAt(1000)
    run(callbacks=[callback])
    assert callback.seen[:2] == [("before", 0), ("generations", 1)]
    assert callback.seen[-2:] == [("generations", GENERATIONS), ("after", GENERATIONS)]


# To go on.


def test_a_killed_run_goes_on_bit_for_bit(tmp_path, one_by_one, whole):
    path, log = tmp_path / "run.npz", tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[Checkpoint(path, every=0.0), LogFile(log), StopAt(5, KeyboardInterrupt())])
    assert len(log.read_text().splitlines()) == 5
    assert len(read_meta(path)["history"]) == 5
    result = run(resume=path, callbacks=[LogFile(log)])
    assert_same_bits(result.state, whole.state)
    assert_same_bits((result.params, result.best), (whole.params, whole.best))
    assert result.history == whole.history
    assert result.best_value == whole.best_value
    assert [json.loads(line) for line in log.read_text().splitlines()] == list(whole.history)


def test_a_finished_run_goes_on_for_more_generations(tmp_path, whole):
    path = tmp_path / "run.npz"
    short = run(generations=5, callbacks=[Checkpoint(path)])
    assert (len(short.history), short.outcome) == (5, "ran all generations")
    from_file, from_result = run(resume=path), run(resume=short)
    for result in (from_file, from_result):
        assert_same_bits(result.state, whole.state)
        assert result.history == whole.history
    nothing_left = run(resume=whole)
    assert_same_bits(nothing_left.state, whole.state)
    assert nothing_left.history == whole.history


def test_a_checkpoint_holds_the_state(tmp_path, whole):
    path = tmp_path / "run.npz"
    run(callbacks=[Checkpoint(path)])
    assert_same_bits(load_checkpoint(path, whole.state), whole.state)
    assert read_meta(path)["settings"] == whole.settings | {"generations": GENERATIONS}


def other_shape(params, key):
    return jnp.sum(params**2)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"key": jax.random.key(6)}, "key"),
        ({"optimizer": TinyES(8, START)}, "optimizer"),
        ({"optimizer": optax.sgd(0.1)}, "optimizer"),
        ({"optimizer": TinyES(6, jnp.zeros(4)), "params": jnp.zeros(4), "objective": other_shape}, "params"),
        ({"optimizer": TinyES(6, [START]), "params": [START], "objective": lambda p, key: bowl(p[0], key)}, "params"),
    ],
    ids=["key", "population", "optimizer", "shape", "structure"],
)
@pytest.mark.parametrize("source", ["file", "result"])
def test_a_run_of_other_things_is_not_gone_on_with(settings, name, source, five):
    with pytest.raises(CheckpointError, match=rf"\b{name}\b"):
        run(resume=five[source], **settings)


def test_target_and_patience_may_be_others(five, whole):
    """Of a run that goes on: the target is one that a later generation reaches."""
    result = run(resume=five["file"], target=min(column(whole, "value")), patience=GENERATIONS)
    assert result.outcome.startswith("reached the target")
    assert result.history == whole.history[: len(result.history)]


@pytest.mark.parametrize("source", ["file", "result"])
def test_generations_count_those_that_are_behind(source, five):
    with pytest.raises(ValueError, match=r"\bgenerations\b"):
        run(resume=five[source], generations=3)


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """A run of five generations, as a file and as a result."""
    path = tmp_path_factory.mktemp("five") / "run.npz"
    return {"result": run(generations=5, callbacks=[Checkpoint(path)]), "file": path}


def test_the_log_holds_the_history(tmp_path, whole):
    run(callbacks=[LogFile(tmp_path / "log.csv"), LogFile(tmp_path / "log.jsonl")])
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(x) for name, x in row.items()} for row in rows] == list(whole.history)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == list(whole.history)


def test_a_person_sees_how_it_goes(capsys, whole):
    run(progress=True)
    lines = capsys.readouterr().err.splitlines()
    last = whole.history[-1]
    assert any(line.startswith("generation 1/12") for line in lines)
    assert lines[-1].startswith("generation 12/12  ")
    assert f"value {last['value']:#.4g}  mean {last['mean']:#.4g}  best {last['best']:#.4g}" in lines[-1]
    assert "generations/s" in lines[-1]
    assert re.fullmatch(
        r"EvolveResult of 12 generations: value \S+  mean \S+  best \S+; ran all generations; in 0:\d\d", str(whole)
    )


# What is not finite.


def lower_half(value):
    """`bowl`, but for a value where the last parameter is negative: that of most candidates, at first."""
    return lambda params, key: jnp.where(params[2] < 0, value, bowl(params, key))


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_what_is_not_finite_is_never_selected(value):
    """Not even where it would be the best of all: the parameters are those of NumPy, which leaves those out."""
    result = run(lower_half(value))
    found = numpy_es(STRATEGY, lambda p, _: np.nan if p[0][2] < 0 else numpy_bowl(p), START, GENERATIONS, KEY)
    assert MEMBERS / 2 < np.isnan(found[0]["costs"]).sum() < MEMBERS
    check_against_numpy(result, found)
    assert np.isfinite(result.best_value)
    assert np.isfinite(column(result, "value")).all()
    assert numpy_bowl(double(result.params)) < 0.5 * numpy_bowl(double(START))


def endless_at_start(params, key):
    """Infinitely good where the run begins."""
    return jnp.where(jnp.all(params == 0), -jnp.inf, bowl(params, key))


def test_an_infinite_value_of_the_parameters_themselves_is_no_success(whole):
    """Neither the best of all, nor a target reached, nor what a patience waits for."""
    settings = {"target": -1.0, "patience": 11}
    result = run(endless_at_start, **settings)
    assert column(result, "value")[0] == -np.inf
    assert len(result.history) == GENERATIONS
    assert result.outcome == "ran all generations"
    assert result.best_value == pytest.approx(whole.best_value)
    assert float(result.state.lowest) == pytest.approx(min(column(whole, "value")[1:]))
    short = run(endless_at_start, generations=1, **settings)
    assert_same_bits(run(endless_at_start, resume=short, **settings).state, result.state)  # nor where it goes on


def never(params, key):
    return jnp.nan * jnp.sum(params)


def test_a_first_generation_without_a_finite_value_raises():
    with pytest.raises(NonFiniteError, match=r"\bobjective\b") as error:
        run(never)
    np.testing.assert_array_equal(error.value.state.params, START)
    assert int(error.value.state.generation) == 1
    assert "(error.state.params)" in str(error.value)


def test_a_later_generation_without_a_finite_value_is_counted_and_changes_nothing(one_by_one, tmp_path):
    bad = jax.random.key_data(keys_of(KEY, 3)[0])

    def objective(params, key):
        return jnp.where(jnp.all(jax.random.key_data(key) == bad), jnp.nan, bowl(params, key))

    path = tmp_path / "run.npz"
    result = run(objective, generations=8, callbacks=[Checkpoint(path)])
    found = numpy_es(STRATEGY, lambda p, g: np.nan if g == 3 else numpy_bowl(p), START, 8, KEY)
    assert column(result, "failed") == [0, 0, 0, 6, 0, 0, 0, 0]
    assert [np.isnan(record["value"]) for record in result.history] == [g == 3 for g in range(8)]
    check_against_numpy(result, found)
    assert int(result.state.opt_state.strategy["told"]) == 7  # of that generation the strategy has heard nothing
    assert [np.isnan(record["mean"]) for record in read_meta(path)["history"]] == [g == 3 for g in range(8)]
    again = run(objective, generations=8, resume=run(objective, generations=4))
    assert_same_bits(again.state, result.state)


class Single(TinyES):
    """One candidate, which is always followed."""

    def tell(self, key, population, fitness, state, params):
        return state | {"mean": jax.tree.map(lambda x: x[0], population)}, {}


def test_a_population_of_one_may_fail_too():
    bad = jax.random.key_data(keys_of(KEY, 3)[0])

    def objective(params, key):
        return jnp.where(jnp.all(jax.random.key_data(key) == bad), jnp.nan, bowl(params, key))

    result = run(objective, optimizer=Single(1, START), generations=6)
    assert column(result, "failed") == [0, 0, 0, 1, 0, 0]
    steps = [np.float64(noise(Single(1, START), keys_of(KEY, g)[1])[0]) for g in range(6) if g != 3]
    np.testing.assert_allclose(result.params, 0.5 * np.sum(steps, axis=0), rtol=1e-5, atol=1e-6)


class Bursting(TinyES):
    """Its candidates are no numbers from the third generation on."""

    def ask(self, key, state, params):
        population, state = super().ask(key, state, params)
        return jax.tree.map(lambda x: jnp.where(state["told"] >= 2, jnp.nan, x), population), state


def test_a_strategy_whose_candidates_are_no_numbers_raises(one_by_one):
    with pytest.raises(NonFiniteError, match=r"\bBursting of 6\b.*\bgeneration 3\b") as error:
        run(optimizer=Bursting(MEMBERS, START))
    expected = numpy_es(STRATEGY, numpy_bowl, START, 2, KEY)[-1]["after"][0]
    np.testing.assert_allclose(error.value.state.params, expected, rtol=1e-5)


def root(params, key):
    """At the start its value is a number, and its gradient is none."""
    return jnp.sqrt(jnp.sum(params**2))


def test_a_gradient_that_is_no_number_raises():
    with pytest.raises(NonFiniteError, match=r"\bGradientDescent\b.*\bgeneration 1\b") as error:
        run(root, optimizer=optax.sgd(0.1))
    np.testing.assert_array_equal(error.value.state.params, START)
    assert error.value.state.best_value == 0.0


# What is compiled.


def test_an_objective_is_compiled_once_and_its_arrays_are_arguments():
    table = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)

    def objective(params, key):
        return jnp.sum((table - params[None]) ** 2)

    with programs(1):
        first = run(objective, generations=4)
    with programs(0):
        again = run(objective, generations=4)
        more = run(objective, generations=40)
        run(objective, generations=9, resume=first)
        run(objective, generations=4, key=jax.random.key(99))
        table = table + 1.0
        other = run(objective, generations=4)
        table = table - 1.0
    assert other.history[0]["value"] != first.history[0]["value"]
    assert_same_bits(again.state, first.state)
    assert more.history[:4] == first.history
    # The minimum is the mean of the table.
    assert np.abs(np.float64(more.params) - np.float64(table).mean(axis=0)).max() < 0.5


# Figures of the user's own.


def test_there_may_be_more_figures(whole):
    result = run(figures=lambda state: {"told": state["told"], "distance": jnp.sqrt(jnp.sum(state["mean"] ** 2))})
    assert column(result, "told") == list(range(GENERATIONS))
    before = [generation["before"][0] for generation in numpy_es(STRATEGY, numpy_bowl, START, GENERATIONS, KEY)]
    np.testing.assert_allclose(column(result, "distance"), np.linalg.norm(before, axis=1), rtol=1e-5, atol=1e-6)
    assert column(result, "value") == column(whole, "value")


@pytest.mark.parametrize(
    ("figures", "error", "name"),
    [
        (lambda state: {"best": state["told"]}, ValueError, "'best'"),
        (lambda state: {"generation": state["told"]}, ValueError, "'generation'"),
        (lambda state: {"mean of": state["mean"]}, ShapeError, "'mean of'"),
        (lambda state: {"all": state}, ShapeError, "'all'"),
        (lambda state: state["told"], TypeError, "figures"),
        ("told", TypeError, "figures"),
    ],
    ids=["name", "generation", "array", "PyTree", "no dict", "no function"],
)
def test_figures_are_numbers_by_name(figures, error, name):
    with pytest.raises(error, match=rf"\bfigures\b.*{name}|^evolve: {name}\b"):
        run(figures=figures)


# What is refused.


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"generations": 0}, ValueError, "generations"),
        ({"generations": 2.0}, TypeError, "generations"),
        ({"generations": True}, TypeError, "generations"),
        ({"patience": 0}, ValueError, "patience"),
        ({"patience": 1.5}, TypeError, "patience"),
        ({"at_once": -1}, ValueError, "at_once"),
        ({"target": np.nan}, ValueError, "target"),
        ({"target": "500"}, TypeError, "target"),
        ({"target": True}, TypeError, "target"),
        ({"goal": "maximize"}, TypeError, "goal"),
        ({"key": 0}, TypeError, "key"),
        ({"key": jax.random.split(KEY, 2)}, TypeError, "key"),
        ({"key": jax.random.PRNGKey(0)}, TypeError, "key"),
        ({"callbacks": print}, TypeError, "callbacks"),
        ({"callbacks": [print]}, TypeError, "callbacks"),
        ({"callbacks": [AbstractCallback(), LogFile]}, TypeError, "callbacks"),
        ({"callbacks": [EarlyStopping(3)]}, ValueError, "patience"),  # what evolution has in its place
        ({"devices": "cpu"}, TypeError, "devices"),
        ({"resume": 3}, TypeError, "resume"),
        ({"optimizer": snnx.solvers.Evolution}, TypeError, "optimizer"),
        ({"params": jnp.array([1.0, jnp.nan, 0.0])}, ValueError, "params"),
        ({"objective": lambda params: 1.0}, TypeError, "objective"),
        ({"objective": lambda p, key: p}, ShapeError, "objective"),
        ({"objective": lambda p, key: bowl(p, key)[None]}, ShapeError, "objective"),
        ({"objective": lambda p, key: jnp.int32(1)}, snnx.DtypeError, "objective"),
        ({"objective": lambda p, key: 1}, snnx.DtypeError, "objective"),
        ({"objective": lambda p, key: (bowl(p, key), 1.0)}, TypeError, "objective"),
        ({"objective": lambda p, key: None}, TypeError, "objective"),
        ({"objective": bowl(START, KEY)}, TypeError, "objective"),
    ],
)
def test_what_does_not_fit_is_refused(settings, error, name):
    with programs(0), pytest.raises(error, match=rf"\b{name}\b"):
        run(**settings)


@pytest.mark.slow
def test_two_devices():
    """In a process of their own, as JAX has to be told of them before it starts."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "tests/evolve_devices.py"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_an_objective_without_a_gradient_is_told_of():
    with pytest.warns(UserWarning, match=r"\bobjective\b"):
        run(lambda params, key: jnp.sum(params > 0) * 1.0, optimizer=optax.adam(0.1))
