"""The public boundary: whatever takes arrays, numbers, keys, functions or objects reads them by their annotations."""

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import snnx
from snnx._checks import readers
from snnx._readers import reader

# Rooms whose boundary is in place; a new one is a name more.
ROOMS = (*(name for name in snnx.__all__ if inspect.ismodule(getattr(snnx, name))), "event.ode")

# What snnx makes itself, in the middle of compiled programs, and nobody passes in.
MADE_BY_SNNX = {
    *("DelayState", "GaussianNoiseState", "RecurrentState", "Summary", "AdExState", "IzhikevichState", "MembraneState"),
    *("Rollout", "RolloutState", "Trajectory", "Transition", "Membrane", "Solution", "Candidates", "Objective", "Step"),
    *("Compilation", "Evaluation", "FitResult", "EnsembleResult", "EvolveResult", "Snapshot"),
    *("TrainState", "EnsembleState", "EvolveState", "Finding", "GraphInfo", "Node", "Export"),
}
# What a neuron of one's own calls at every step, within somebody's loop.
WITHIN_A_STEP = {"fire", "init_clock", "value"}
# Quoted, and why: what a figure is drawn in is matplotlib's, which is imported late; long lists are read at once, inside.
QUOTED = {("plot", "ax"), ("event.make_events", "times"), ("event.make_events", "indices")}
# What stands in annotations.
IN_ANNOTATIONS = {"ParameterIn"}


class Nothing:
    """No array, number, key, function, text or sequence, and without a hash."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def doors(room: str) -> Iterator[tuple[str, Any]]:
    """Every public function and constructor of a room, and the makers that stand in its classes, by name."""
    module = importlib.import_module(f"snnx.{room}")
    for name in module.__all__:
        thing = getattr(module, name)
        if (
            not getattr(thing, "__module__", "").startswith("snnx.")
            or name in MADE_BY_SNNX | IN_ANNOTATIONS | WITHIN_A_STEP
        ):
            continue
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing) and not issubclass(thing, Exception):
            if not inspect.isabstract(thing):
                yield name, thing
            for method, value in vars(thing).items():
                if isinstance(value, staticmethod | classmethod) and not method.startswith("_"):
                    yield f"{name}.{method}", value.__func__


DOORS = {f"{room}.{name}": thing for room in ROOMS for name, thing in doors(room)}


def annotations(thing: Any) -> dict[str, Any]:
    """The annotations of the arguments."""
    hints = inspect.get_annotations(thing.__init__ if inspect.isclass(thing) else thing)
    return {name: hint for name, hint in hints.items() if name != "return"}


def says_something(hint: Any) -> bool:
    """Whether a value can be wrong for an annotation. A quoted one cannot be read, and texts alone need no reading."""
    return isinstance(hint, str) or (hint is not str and reader(hint) is not None)


def is_unpacked(thing: Any, argument: str) -> bool:
    """Whether these are the rest of the keywords, which are read one by one."""
    signature = inspect.signature(thing)
    return signature.parameters[argument].kind is inspect.Parameter.VAR_KEYWORD if argument != "self" else False


@pytest.mark.parametrize("name", DOORS)
def test_what_takes_more_than_trees_and_texts_is_checked(name):
    hints = annotations(DOORS[name])
    if any(map(says_something, hints.values())):
        assert readers(DOORS[name])
    places = (name, name.split(".")[0])
    quoted = [
        argument
        for argument, hint in hints.items()
        if isinstance(hint, str) and not QUOTED & {(place, argument) for place in places}
    ]
    assert not quoted, "annotations in quotes are not read"


@pytest.mark.parametrize("name", DOORS)
def test_every_argument_that_is_read_refuses_what_it_cannot_be(name):
    if not any(map(says_something, annotations(DOORS[name]).values())):
        return
    for argument, read in readers(DOORS[name]).items():
        if read is not None and not is_unpacked(DOORS[name], argument):
            with pytest.raises((TypeError, ValueError)) as caught:
                read("the door", argument, Nothing())
            assert re.match(rf"the door: {argument} is\b", str(caught.value))


def test_the_walk_finds_what_is_left_out():
    def unread(x: int, y: "float") -> None: ...

    assert {name: says_something(hint) for name, hint in annotations(unread).items()} == {"x": True, "y": True}
    with pytest.raises(TypeError, match=r"\bunread\b"):
        readers(unread)
    assert {"layers.Graph", "simulation.simulate", "reductions.Weighted.sigmoid", "surrogates.ATan"} <= set(DOORS)
