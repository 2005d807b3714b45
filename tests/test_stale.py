"""No program is taken for another when what a user's code reads has changed: the numbers are those of a fresh process.

Every way to hold a number that a user's function may read, in every place where a function of the user's stands, for every
trainer, with the objects kept or made anew. The ways are read together, and change one after the other, so that their
product goes from 1 to 3 and back: a program that was kept too long shows at once.
"""

import argparse
import dataclasses
import functools
import importlib
import math
import sys
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import differs
from strategies import TinyES

import snnx
from snnx.augment import AbstractAugmentation
from snnx.losses import AbstractLoss
from snnx.train import _programs

GLOBAL = GLOBAL_OF_A_METHOD = 1.0


def helper():
    return 1.0


class Plain:
    number = 1.0


class Settings:
    def __init__(self):
        self.number = 1.0


@dataclasses.dataclass
class Compared:
    number: float = 1.0


@dataclasses.dataclass(eq=False)
class Uncompared:
    number: float = 1.0


class Reader:
    def number(self):
        return GLOBAL_OF_A_METHOD


class Ways:
    """Everything that holds a number, all of them 1 at first: `read` multiplies them, `change` sets one."""

    def __init__(self, folder):
        self.settings, self.compared, self.uncompared = Settings(), Compared(), Uncompared()
        self.namespace, self.module = argparse.Namespace(number=1.0), types.ModuleType("settings_of_a_user")
        self.module.number = 1.0
        self.entries, self.array, self.reader = {"number": 1.0}, np.ones(1), Reader()
        closed = 1.0

        def read_closed():
            return closed

        def write_closed(number):
            nonlocal closed
            closed = number

        self.read_closed, self.write_closed = read_closed, write_closed
        self.file = folder / "a_users_helper.py"
        self.file.write_text("def number():\n    return 1.0\n")
        self.reloaded = importlib.import_module("a_users_helper")

    def read(self):
        numbers = (
            self.settings.number,
            self.compared.number,
            self.uncompared.number,
            self.namespace.number,
            self.module.number,
            Plain.number,
            self.entries["number"],
            float(self.array[0]),
            GLOBAL,
            self.reader.number(),
            helper(),
            self.read_closed(),
            self.reloaded.number(),
        )
        return math.prod(numbers)

    def changes(self):
        """One way after the other, by its name, and what sets it."""

        def redefine(number):
            exec(f"def helper():\n    return {number!r}", globals())

        def reload(number):
            self.file.write_text(f"def number():\n    return {number!r}  # {'x' * int(9 * number)}\n")
            importlib.reload(self.reloaded)

        yield "attribute of an object", lambda n: setattr(self.settings, "number", n)
        yield "dataclass that is compared", lambda n: setattr(self.compared, "number", n)
        yield "dataclass that is not", lambda n: setattr(self.uncompared, "number", n)
        yield "namespace", lambda n: setattr(self.namespace, "number", n)
        yield "attribute of a module", lambda n: setattr(self.module, "number", n)
        yield "attribute of a class", lambda n: setattr(Plain, "number", n)
        yield "entry of a dict", lambda n: self.entries.update(number=n)
        yield "NumPy array in place", lambda n: self.array.fill(n)
        yield "global of a function", lambda n: globals().update(GLOBAL=n)
        yield "global of a method", lambda n: globals().update(GLOBAL_OF_A_METHOD=n)
        yield "helper defined again", redefine
        yield "closure", self.write_closed
        yield "module loaded again", reload


@pytest.fixture
def ways(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Ways(tmp_path)
    sys.modules.pop("a_users_helper", None)
    globals().update(GLOBAL=1.0, GLOBAL_OF_A_METHOD=1.0)
    exec("def helper():\n    return 1.0", globals())
    Plain.number = 1.0


# Where a function of the user's may stand


class OwnLayer(eqx.Module):
    read: object = eqx.field(static=True)

    def __call__(self, x, *, key=None):
        return x * self.read()


class OwnLoss(AbstractLoss):
    read: object = eqx.field(static=True)
    readout: snnx.reductions.AbstractReduction = snnx.Mean()

    def __call__(self, reduced, target, *, record):
        return self.read() * jnp.sum((reduced - target) ** 2)


class OwnAugmentation(AbstractAugmentation):
    read: object = eqx.field(static=True)

    def __call__(self, inputs, *, key):
        return jax.tree.map(lambda x: x * self.read(), inputs)


KEY = jax.random.key(0)
CURRENTS = np.random.default_rng(0).uniform(0.5, 1.5, (4, 3, 2)).astype(np.float32)
DATA = snnx.data.from_currents(CURRENTS, np.arange(4) % 2, sample_shape=(2,), classes=("a", "b"))


def make_model(place, read):
    first, second = (eqx.nn.Linear(2, 2, key=key) for key in jax.random.split(KEY))
    if place == "surrogate":
        custom = snnx.surrogates.Custom(lambda x: read() * jnp.exp(-jnp.abs(x)))
        return snnx.Sequential([first, snnx.LIF(threshold=0.1, surrogate=custom), second, snnx.LI(tau=4.0)])
    own = {"lambda layer": (lambda x: x * read(),), "own layer": (OwnLayer(read),)}.get(place, ())
    return snnx.Sequential([first, *own, snnx.LI(tau=4.0)])


def make_loss(place, read):
    if place == "loss":
        return OwnLoss(read)
    usual = snnx.CrossEntropy(snnx.Mean())
    return usual + 0.1 * OwnLoss(read) if place == "regulariser" else usual


def make_optimizer(place, read):
    return optax.sgd((lambda step: 0.1 * read()) if place == "schedule" else 0.1)


# What a trainer is given, and a call of it: its numbers


def of_fit(place, read):
    model, loss, optimizer = (make(place, read) for make in (make_model, make_loss, make_optimizer))
    augment = [OwnAugmentation(read)] if place == "augmentation" else []
    settings = dict(loss=loss, optimizer=optimizer, augment=augment, epochs=1, key=KEY, progress=False)
    return lambda: snnx.fit(model, DATA, **settings).model


def of_fit_ensemble(place, read):
    models = snnx.parameters.init_ensemble(lambda key: make_model(place, read), jax.random.split(KEY))
    settings = dict(loss=make_loss(place, read), optimizer=make_optimizer(place, read), epochs=1, progress=False)
    augment = [OwnAugmentation(read)] if place == "augmentation" else []
    return lambda: snnx.fit_ensemble(models, DATA, key=KEY, augment=augment, **settings).models


def of_evaluate(place, read):
    model, loss = make_model(place, read), make_loss(place, read)
    return lambda: jnp.asarray(snnx.evaluate(model, DATA, loss=loss).losses)


def of_evolve(place, read):
    params, rest = snnx.partition(make_model(place, read))
    loss = make_loss(place, read)
    environment = snnx.control.Environment(
        lambda key: (jnp.ones(2), jnp.ones(2)),
        lambda state, action, key: (state + read() * action, state + read() * action, -jnp.sum(state**2), False),
    )

    def objective(params, key):
        model = snnx.combine(params, rest)
        if place == "environment":
            return -snnx.rollout(model, environment, length=3, key=key).returns
        reduced, _ = snnx.simulate(model, jnp.asarray(CURRENTS[0]), readout=loss.readout)
        return loss(reduced, 1, record={}) * (read() if place == "objective" else 1.0)

    optimizer = make_optimizer(place, read)
    settings = dict(optimizer=optimizer, generations=1, key=KEY, progress=False)
    return lambda: snnx.evolve(objective, params, **settings).params


OF_MODELS, OF_LOSSES = ("lambda layer", "own layer"), ("loss", "regulariser")
PLACES = {
    of_fit: (*OF_MODELS, "surrogate", *OF_LOSSES, "schedule", "augmentation"),
    of_fit_ensemble: (*OF_MODELS, "surrogate", *OF_LOSSES, "schedule", "augmentation"),
    of_evaluate: (*OF_MODELS, *OF_LOSSES),
    of_evolve: (*OF_MODELS, "surrogate", "loss", "schedule", "objective", "environment"),
}


QUICK = {(of_fit, "lambda layer"), (of_fit, "schedule"), (of_evaluate, "loss"), (of_evolve, "objective")}


def cases():
    for trainer, places in PLACES.items():
        for place in places:
            for kept in (True, False):
                slow = () if kept and (trainer, place) in QUICK else pytest.mark.slow
                name = f"{trainer.__name__.removeprefix('of_')}-{place}-{'kept' if kept else 'anew'}"
                yield pytest.param(trainer, place, kept, marks=slow, id=name)


@pytest.mark.parametrize(("trainer", "place", "kept"), list(cases()))
def test_what_a_users_code_reads_is_what_it_reads_now(trainer, place, kept, ways):
    _programs._compile.cache_clear()
    expected = {number: trainer(place, lambda number=number: number)() for number in (1.0, 3.0)}
    assert differs(expected[1.0], expected[3.0])
    call = trainer(place, ways.read)
    assert not differs(call(), expected[1.0])
    for number, (way, change) in enumerate(ways.changes()):
        change(1 / 3 if number % 2 else 3.0)
        got = call() if kept else trainer(place, lambda: ways.read())()
        assert not differs(got, expected[1.0 if number % 2 else 3.0]), f"{way}: the old program ran"


# What JAX itself remembers: functions of a module's top level that are handed to its loops and to `jit`

GAIN = 1.0


def scanned(carry, _):
    return carry * GAIN, None


def looped(_, carry):
    return carry * GAIN


def plain(x):
    return x * GAIN


jitted = jax.jit(plain)
filter_jitted = eqx.filter_jit(plain)
REMEMBERED = {
    "scan": lambda x: jax.lax.scan(scanned, x, length=1)[0],
    "fori_loop": lambda x: jax.lax.fori_loop(0, 1, looped, x),
    "jit": lambda x: jitted(x),
    "filter_jit": lambda x: filter_jitted(x),
    "checkpoint": lambda x: jax.checkpoint(plain)(x),
    "jit in a scan": lambda x: jax.lax.scan(lambda c, _: (jitted(c), None), x, length=1)[0],
}


@pytest.mark.parametrize("layer", REMEMBERED)
def test_what_jax_remembers_is_traced_anew(layer, monkeypatch):
    def scores():
        model = snnx.Sequential([eqx.nn.Linear(2, 2, key=KEY), REMEMBERED[layer], snnx.LI(tau=4.0)])
        settings = dict(
            loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.sgd(0.1), epochs=1, key=KEY, progress=False
        )
        return snnx.evaluate(model, DATA).losses, np.asarray(snnx.fit(model, DATA, **settings).model.layers[0].weight)

    before = scores()
    monkeypatch.setitem(globals(), "GAIN", 3.0)
    after = scores()
    monkeypatch.setitem(REMEMBERED, layer, lambda x: 3.0 * x)
    expected = scores()
    for old, new, right in zip(before, after, expected, strict=True):
        assert not np.allclose(old, new)
        np.testing.assert_allclose(new, right, rtol=1e-5)


class Jitted(TinyES):
    """As evosax's strategies are: a method that is compiled for the object that it belongs to."""

    pull = 0.0

    @functools.partial(jax.jit, static_argnames="self")
    def tell(self, key, population, fitness, state, params):
        new, figures = super().tell(key, population, fitness, state, params)
        return new | {"mean": jax.tree.map(lambda m: m + self.pull, new["mean"])}, figures


def test_a_strategy_that_is_kept_and_changed_is_not_the_old_one():
    strategy = Jitted(6, jnp.zeros(3))

    def search():
        settings = dict(optimizer=strategy, generations=1, key=KEY, progress=False)
        return np.asarray(snnx.evolve(lambda p, key: jnp.sum(p**2), jnp.zeros(3), **settings).params)

    before = search()
    strategy.pull = 1.0
    np.testing.assert_allclose(search(), before + 1.0, rtol=1e-6)
