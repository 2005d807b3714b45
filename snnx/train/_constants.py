"""The arrays that a traced function closes over, as arguments of it.

JAX writes an array that a function reads from outside into its program, so that another value is another program. It
lifts such arrays out of loops and branches by itself, but leaves those of an inner `jax.jit` where they are. Here a
function that has one is traced anew from what JAX has traced of it, with the array handed in from outside.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array

Lifted = dict[int, Any]  # what stands for a constant, by its identity


def lift_constants(closed: jex.ClosedJaxpr) -> tuple[list[Array], Callable[..., list[Any]]]:
    """The arrays that a traced function closes over, and the function of them (a list, first) and of its arguments.

    Anything but an array stays in the program, and so does an array within a primitive that has no rule here.
    """
    found = {id(const): const for const in _constants(closed)}

    def function(lifted: Sequence[Any], *args: Any) -> list[Any]:
        return _evaluate(closed, dict(zip(found, lifted, strict=True)), args)

    return [jnp.array(const) for const in found.values()], function


def equations(closed: Any) -> Iterator[Any]:
    """Every equation of a traced function, with those of the functions within it."""
    for equation in _open(closed).eqns:
        yield equation
        for inner in jex.jaxprs_in_params(equation.params):
            yield from equations(inner)


def _open(closed: Any) -> Any:
    return getattr(closed, "jaxpr", closed)


def _constants(closed: Any) -> Iterator[Any]:
    yield from getattr(closed, "consts", ())
    for equation in _open(closed).eqns:
        for part in _parts(equation):
            yield from _constants(part)


def _parts(equation: Any) -> "tuple[Any, ...]":
    """What runs within an equation, where there is a rule to trace it anew."""
    parts, _ = _RULES.get(equation.primitive.name, (_none, None))
    return parts(equation.params)


def _evaluate(closed: Any, lifted: Lifted, args: Sequence[Any]) -> list[Any]:
    jaxpr, consts = _open(closed), getattr(closed, "consts", ())
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*(lifted[id(c)] for c in consts), *args), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jex.Literal) else known[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        with equation.ctx.manager:
            if any(True for part in _parts(equation) for _ in _constants(part)):
                _, run_anew = _RULES[equation.primitive.name]
                results = run_anew(equation, lifted, given)
            else:
                results = equation.primitive.bind(*given, **equation.primitive.get_bind_params(equation.params))
                results = results if equation.primitive.multiple_results else [results]
        known |= zip(equation.outvars, results, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def _none(params: dict[str, Any]) -> tuple[Any, ...]:
    return ()


def _called(params: dict[str, Any]) -> tuple[Any, ...]:
    return (params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"],)


def _call(equation: Any, lifted: Lifted, given: list[Any]) -> list[Any]:
    """A call is inlined. All derivatives have been taken by now, so a custom derivative needs no rule of its own."""
    return _evaluate(_called(equation.params)[0], lifted, given)


def _scan_sizes(params: dict[str, Any]) -> tuple[int, int]:
    """How many of a scan's operands are constants, and how many are carried: as JAX 0.10 says it, and as 0.12 does."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = (len(part) for part in params["ft_in"].unpack())
    return consts, carry


def _scan(equation: Any, lifted: Lifted, given: list[Any]) -> list[Any]:
    params = equation.params
    consts, carried = _scan_sizes(params)

    def step(carry: list[Any], xs: list[Any]) -> tuple[list[Any], list[Any]]:
        results = _evaluate(params["jaxpr"], lifted, [*given[:consts], *carry, *xs])
        return results[:carried], results[carried:]

    start, xs = given[consts : consts + carried], given[consts + carried :]
    settings = {name: params[name] for name in ("length", "reverse", "unroll")}
    carry, ys = jax.lax.scan(step, start, xs, **settings)
    return [*carry, *ys]


def _while_parts(params: dict[str, Any]) -> tuple[Any, ...]:
    """None if the condition is batched: `jax.lax.while_loop` does not take such a loop again."""
    scalar = _open(params["cond_jaxpr"]).outvars[0].aval.shape == ()
    return (params["cond_jaxpr"], params["body_jaxpr"]) if scalar else ()


def _while(equation: Any, lifted: Lifted, given: list[Any]) -> list[Any]:
    params = equation.params
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

    def more(carry: list[Any]) -> Any:
        return _evaluate(params["cond_jaxpr"], lifted, [*given[:first], *carry])[0]

    def step(carry: list[Any]) -> list[Any]:
        return _evaluate(params["body_jaxpr"], lifted, [*given[first:second], *carry])

    return jax.lax.while_loop(more, step, given[second:])


def _cond(equation: Any, lifted: Lifted, given: list[Any]) -> list[Any]:
    def branch(closed: Any) -> Callable[..., list[Any]]:
        return lambda *args: _evaluate(closed, lifted, args)

    return jax.lax.switch(given[0], [branch(closed) for closed in equation.params["branches"]], *given[1:])


def _shard_map(equation: Any, lifted: Lifted, given: list[Any]) -> list[Any]:
    params = equation.params
    names, values = list(lifted), list(lifted.values())

    def run(values: list[Any], *args: Any) -> list[Any]:
        return _evaluate(params["jaxpr"], dict(zip(names, values, strict=True)), args)

    return jax.shard_map(
        run,
        mesh=params["mesh"],
        in_specs=(PartitionSpec(), *params["in_specs"]),
        out_specs=list(params["out_specs"]),
        axis_names=params["newly_manual_axes"],
        check_vma=params["check_vma"],
    )(values, *given)


def _checkpoint(equation: Any, lifted: Lifted, given: list[Any]) -> list[Any]:
    """Bound again with its own parameters: `jax.checkpoint` has no argument for those of a backward pass."""
    names = list(dict.fromkeys(id(const) for const in _constants(equation.params["jaxpr"])))
    values = [lifted[name] for name in names]

    def run(values: list[Any], *args: Any) -> list[Any]:
        return _evaluate(equation.params["jaxpr"], dict(zip(names, values, strict=True)), args)

    again = jax.make_jaxpr(run)(values, *given)
    return equation.primitive.bind(*values, *given, **{**equation.params, "jaxpr": again.jaxpr})


_RULES: dict[str, tuple[Callable[..., tuple[Any, ...]], Callable[..., list[Any]]]] = {
    **dict.fromkeys(
        ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"), (_called, _call)
    ),
    **dict.fromkeys(("checkpoint", "remat", "remat2"), (_called, _checkpoint)),
    "scan": (_called, _scan),
    "while": (_while_parts, _while),
    "cond": (lambda params: params["branches"], _cond),
    "shard_map": (_called, _shard_map),
}
