"""Compiled programs: traced anew in every run, compiled only if this very program was not compiled before.

What a user's code reads from outside (a settings object, a global, an attribute of a module) can change between two runs,
and no comparison of functions sees all of it. So every run traces what it is given, with closures of its own that no cache
of JAX's has seen, and lowers it. Only then is the finished program looked for among those that were compiled before.
"""

import functools
import hashlib
import itertools
import os
import pathlib
import re
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.extend.core as jex
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, Sharding
from jaxtyping import Array, PyTree

from snnx._jitted import identified, nodes, readable_errors
from snnx.train._constants import equations, lift_constants
from snnx.train._devices import spread

KEPT = 16  # programs that are kept for the next run: of a small network some 10 MB each
# Targets of custom calls that lead back into this process, by an index or an address that says nothing of what is there
_INTO_PYTHON = re.compile(r"custom_call @\S*(callback|Partitioning)|stablehlo\.(send|recv)")


# JAX caches the trace of every function that is handed to its `jit`, `scan`, `while_loop` or `checkpoint`, for as long as the
# function exists. Under another value of this context it traces anew. Each value leaves a megabyte or so in JAX's caches, so
# it is changed only where such a function comes from a file that is not JAX's, optax's or ours, and may read a setting.
_anew, _runs = jax.make_user_context(0), itertools.count(1)
_REMEMBERING = {"jit", "pjit", "closed_call", "scan", "while", "cond", "checkpoint", "remat", "remat2"}
_READ_NOTHING = tuple(
    str(folder) + os.sep
    for folder in (
        pathlib.Path(jax.__file__).parent,
        pathlib.Path(optax.__file__).parent,
        pathlib.Path(__file__).parents[1],
    )
)


class Compilation(eqx.Module):
    """Seconds that went by before a run could start.

    - `trace`: running the Python code of model, loss and optimiser once, to see what they compute.
    - `lower`: writing that down as a program.
    - `look_up`: making the key by which this program is looked up among those that were compiled before.
    - `compile`: compiling it; 0 where it was found.
    """

    trace: float = 0.0
    lower: float = 0.0
    look_up: float = 0.0
    compile: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.trace + self.lower + self.look_up + self.compile

    def __add__(self, other: "Compilation") -> "Compilation":
        return jax.tree.map(lambda a, b: a + b, self, other)

    def __str__(self) -> str:
        last = f"compiled in {self.compile:.1f} s" if self.compile else "found compiled"
        return f"traced in {self.trace:.1f} s, lowered in {self.lower:.1f} s, looked up in {self.look_up:.2f} s, {last}"


class Program:
    """A function of PyTrees of arrays, to be called many times in one run.

    It is traced at the first call with arguments of new shapes. Arrays that it closes over become arguments of what is
    compiled, so that another value of them needs no other program.

    **Arguments:** `donated`: whether the first argument is given up by whoever calls it; `mesh`: the devices on which the
    arguments are, None for one.
    """

    def __init__(self, function: Callable[..., PyTree], *, donated: bool = False, mesh: Mesh | None = None):
        self._function, self._donated, self._mesh = function, donated, mesh
        self._ready: dict[Hashable, Callable[[list[Array]], PyTree]] = {}
        self.compilation = Compilation()

    def __call__(self, *args: PyTree) -> PyTree:
        if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            return self._function(*args)
        leaves = [leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf) for leaf in jax.tree.leaves(args)]
        kind = (identified(tuple(nodes(jax.tree.structure(args)))), tuple(_kind(leaf) for leaf in leaves))
        if kind not in self._ready:
            self._ready[kind] = self._compiled(args, leaves)
        return self._ready[kind](leaves)

    def _compiled(self, args: tuple[PyTree, ...], leaves: list[Array]) -> Callable[[list[Array]], PyTree]:
        times = [time.perf_counter()]
        structure = jax.tree.structure(args)
        donated = len(jax.tree.leaves(args[0])) if self._donated else 0
        found: list[Any] = []

        def flat(*leaves: Array) -> list[Array]:
            results, tree = jax.tree.flatten(self._function(*jax.tree.unflatten(structure, leaves)))
            found[:] = [tree]
            return results

        traced = _jitted(flat, range(donated)).trace(*leaves)
        if _is_remembered(traced.jaxpr):
            with _anew(next(_runs)):
                traced = _jitted(flat, range(donated)).trace(*leaves)
        constants, lifted = lift_constants(traced.jaxpr)
        constants = _placed(self._mesh, constants, leaves)
        if constants:
            own = len(constants)
            traced = _jitted(lambda *all: lifted(all[:own], *all[own:]), range(own, own + donated)).trace(
                *constants, *leaves
            )
        times.append(time.perf_counter())
        lowered = traced.lower()
        times.append(time.perf_counter())
        written = _Written(traced, lowered, (*constants, *leaves), donated)
        times.append(time.perf_counter())
        if written.key is None:
            run = functools.partial(readable_errors, _compile.__wrapped__(written))
        else:
            run = _compile(written)
        trace, lower, look_up = (after - before for before, after in itertools.pairwise(times))
        compile = time.perf_counter() - times[-1] if written.lowered is None else 0.0  # else it was found
        self.compilation += Compilation(trace, lower, look_up, compile)
        (tree,) = found
        return lambda leaves: jax.tree.unflatten(tree, run(*constants, *leaves))


def _placed(mesh: Mesh | None, constants: list[Array], leaves: list[Array]) -> list[Array]:
    """Constants where the arguments are: one may have been bound to another device."""
    if mesh is not None:
        return spread(mesh, constants)
    here = leaves[0].sharding
    away = (const.committed and const.sharding.device_set != here.device_set for const in constants)  # pyright: ignore[reportAttributeAccessIssue]
    return [jax.device_put(const, here) if far else const for const, far in zip(constants, away, strict=True)]


def _jitted(function: Callable[..., list[Array]], donated: range) -> Any:
    # Arguments that are not used are kept: which of them are is nothing that a program's text would say.
    return jax.jit(function, donate_argnums=tuple(donated), keep_unused=True)


def _kind(leaf: Array) -> Hashable:
    return jax.typeof(leaf), leaf.sharding, leaf.committed  # pyright: ignore[reportAttributeAccessIssue]


class _Written:
    """A lowered program. Two are equal if they do the same to arguments of the same kind.

    The text of a program does not say which types are weak, which devices it runs on, or how the compiler is configured, so
    the key has those too. A program that calls back into Python has no key: its text does not say which function it calls.
    """

    def __init__(self, traced: Any, lowered: Any, args: tuple[Array, ...], donated: int):
        self.lowered: Any = lowered
        text = lowered.as_text()
        steps = list(equations(traced.jaxpr))
        alone = traced.jaxpr.effects or _INTO_PYTHON.search(text) or any(map(_calls_python, steps))
        self.key: Hashable = None
        if not alone:
            self.key = (
                hashlib.sha256(text.encode()).digest(),
                tuple(traced.jaxpr.in_avals),
                tuple(traced.jaxpr.out_avals),
                tuple(_kind(arg) for arg in args),
                donated,
                tuple(mesh for step in steps for mesh in _meshes(step.params)),
                _settings(),
            )

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Written) and self.key == other.key


@functools.lru_cache(maxsize=KEPT)
def _compile(written: _Written) -> Callable[..., list[Array]]:
    lowered, written.lowered = written.lowered, None
    return lowered.compile()


def _is_remembered(closed: Any) -> bool:
    """Whether it runs a function from a file that is not JAX's, optax's or ours, whose trace JAX may have cached earlier."""
    for step in equations(closed):
        if step.primitive.name in _REMEMBERING:
            for inner in jex.jaxprs_in_params(step.params):
                name = inner.debug_info.func_filename  # None where JAX made it, e.g. the scan of a backward pass
                if name is not None and not name.startswith(_READ_NOTHING):
                    return True
    return False


def _calls_python(equation: Any) -> bool:
    return "callback" in equation.primitive.name or equation.primitive.name == "debug_print"


def _meshes(params: dict[str, Any]) -> Iterator[Hashable]:
    """Devices that are named within a program: its text has their number only."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, Mesh | Sharding):
                yield item


def _settings() -> Hashable:
    """JAX's configuration as it is in this thread."""
    values = {name: getattr(jax.config, name, value) for name, value in jax.config.values.items()}
    return tuple((name, repr(value)) for name, value in values.items()), jax.sharding.get_abstract_mesh()
