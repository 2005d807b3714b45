"""Floor 0: how an argument is read by its annotation, and how annotations are put in words.

To read is to check and to settle the kind: NumPy's numbers become Python's, NumPy's arrays JAX's, where nothing is lost.
"""

import collections.abc
import difflib
import functools
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Unpack, get_args, get_origin, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import AbstractArray, PyTree

from snnx._errors import DtypeError, ShapeError, describe, unknown_name
from snnx._typing import Real, Whole

Reader: TypeAlias = Callable[[str, str, Any], Any]  # where, the argument's name, its value -> the value, settled


@no_type_check
def read_key(where: str, name: str, value: Any) -> Any:
    """One typed key of JAX."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if shape == ():
            return value
        came = f"keys of shape {tuple(shape)}, expected one key: jax.vmap takes a function over several"
    elif dtype == jnp.uint32 and shape == (2,):
        came = "a legacy key of jax.random.PRNGKey, expected a typed one: jax.random.key(0), or jax.random.wrap_key_data(key)"
    else:
        came = f"{describe(value)}, expected one key: jax.random.key(0)"
    raise TypeError(f"{where}: {name} is {came}.")


@no_type_check
def read_keys(where: str, name: str, value: Any) -> Any:
    """A row of typed keys."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and value.ndim == 1:
        return value
    came = f"{where}: {name} is {describe(value)}, expected a row of keys"
    raise TypeError(f"{came}: jax.random.split(jax.random.key(0), 32).")


def as_jax_array(value: Any) -> Any:
    """A NumPy array or number as a JAX array, if JAX keeps its dtype (or, of whole numbers, all values); else as it is."""
    if not isinstance(value, np.ndarray | np.generic) or isinstance(value, np.ma.MaskedArray):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biufV":
        return value
    # NumPy copies: JAX, jnp.array too, may still be reading a large array when its owner writes to it again.
    native = array.astype(array.dtype.newbyteorder("="))
    kept = jax.dtypes.canonicalize_dtype(native.dtype)
    if kept == native.dtype:
        return jnp.asarray(native)
    if native.dtype.kind in "iu" and (native.size == 0 or _holds(kept, native)):
        return jnp.asarray(native.astype(kept))
    return value


def _holds(dtype: np.dtype, array: np.ndarray) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= array.min() and array.max() <= limits.max)


# ------------------------------------------------------------------ a reader for each kind of annotation
def is_array_hint(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, AbstractArray)


# Not type-checked: the tests' checker would give each of these a context of its own for the names of axes.
@no_type_check
def _is(value: Any, hint: type) -> bool:
    return isinstance(value, hint)


def reader(hint: Any) -> "Reader | None":
    """How arguments of an annotation are read; None where it says nothing."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        own = next((extra for extra in hint.__metadata__ if hasattr(extra, "read")), None)
        return reader(args[0]) if own is None else own.read
    if isinstance(hint, TypeVar):
        return None if hint.__bound__ is None else reader(hint.__bound__)
    if hint in (Any, object, PyTree, inspect.Parameter.empty) or isinstance(hint, str):
        return None
    if hint is None or hint is type(None):
        return _read_none
    if origin in (typing.Union, types.UnionType):
        return _union(args)
    if is_array_hint(hint):
        axes = hint.dim_str.split()
        if hint.__name__.startswith("Key[") and (not axes or (len(axes) == 1 and axes[0].isidentifier())):
            return read_keys if axes else read_key
        return functools.partial(_array, hint)
    if hint is bool:
        return _read_bool
    if hint is int:
        return Whole().read
    if hint is float:
        return Real(infinite=True).read
    if origin is Literal:
        return functools.partial(_literal, args)
    if origin is Unpack:
        return functools.partial(_option, inspect.get_annotations(args[0]))
    if origin is collections.abc.Callable or hint is Callable:
        return _read_callable
    if origin is tuple and args and args[-1] is Ellipsis:
        return functools.partial(_sequence, reader(args[0]), tuple)
    if origin in (list, collections.abc.Sequence):
        return functools.partial(_sequence, reader(args[0]), None)
    if origin is collections.abc.Iterable:
        return functools.partial(_iterable, reader(args[0]))
    if origin is collections.abc.Mapping:
        return functools.partial(_mapping, reader(args[0]), reader(args[1]))
    if isinstance(hint, type) and getattr(hint, "__module__", "") != "jaxtyping":
        return functools.partial(_instance, hint)
    return functools.partial(_otherwise, hint)


def _read_none(where: str, name: str, value: Any) -> None:
    if value is not None:
        raise TypeError(f"{where}: {name} is {describe(value)}, expected None.")


def _read_bool(where: str, name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{where}: {name} is {describe(value)}, expected True or False.")
    return bool(value)


def _read_callable(where: str, name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{where}: {name} is {describe(value)}, expected a function.")
    return value


def _literal(known: tuple, where: str, name: str, value: Any) -> Any:
    if not any(value is option or (type(value) is type(option) and value == option) for option in known):
        near = difflib.get_close_matches(str(value), [str(option) for option in known], n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{where}: {name} is {value!r}, expected {' or '.join(map(repr, known))}.{hint}")
    return value


@no_type_check
def _option(hints: Mapping[str, Any], where: str, name: str, value: Any) -> Any:
    """One of the keywords that a `TypedDict` names."""
    if name not in hints:
        raise TypeError(unknown_name(where, "option", name, hints))
    read = reader(hints[name])
    return value if read is None else read(where, name, value)


@no_type_check
def _sequence(each: "Reader | None", kind: "type | None", where: str, name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray | jax.Array) and value.ndim == 1 and not isinstance(value, Tracer):
        value = value.tolist()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        what = "a tuple" if kind is tuple else "a list"
        raise TypeError(f"{where}: {name} is {describe(value)}, expected {what}{_of_one(each, kind, value)}.")
    if each is None:
        return tuple(value) if kind is tuple else value
    found = [_item(each, where, f"{name}[{i}]", item) for i, item in enumerate(value)]
    return tuple(found) if kind is tuple or isinstance(value, tuple) else found


def _iterable(each: "Reader | None", where: str, name: str, value: Any) -> Any:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Sequence):
        value = list(value)
    return _sequence(each, None, where, name, value)


def _of_one(each: "Reader | None", kind: "type | None", value: Any) -> str:
    """Where the value itself could stand in the list: how it would."""
    if value is None or isinstance(value, Mapping):
        return ""
    try:
        if each is not None and each("", "", value) is None:
            return ""
    except (TypeError, ValueError):
        return ""
    return f": put it in brackets, {f'({_short(value)},)' if kind is tuple else f'[{_short(value)}]'}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 30 else f"{type(value).__name__}(...)"


@no_type_check
def _mapping(key: "Reader | None", each: "Reader | None", where: str, name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"{where}: {name} is {describe(value)}, expected a dict.")
    if key is not None:
        value = {_item(key, where, f"a key of {name}", k): item for k, item in value.items()}
    return value if each is None else {k: _item(each, where, f"{name}[{k!r}]", item) for k, item in value.items()}


@no_type_check
def _item(each: Reader, where: str, name: str, value: Any) -> Any:
    """What is in a list or dict. Its error is marked: of a union, the member that took the list itself is the one meant."""
    try:
        return each(where, name, value)
    except (TypeError, ValueError) as error:
        error.is_of_an_item = True
        raise


def _instance(kind: type, where: str, name: str, value: Any) -> Any:
    if not _is(value, kind):
        if isinstance(value, type) and issubclass(value, kind):
            hint = f"is the class {value.__name__}, expected an object: {value.__name__}(...)"
        else:
            hint = f"is {describe(value)}, expected {_words([kind])}"
        raise TypeError(f"{where}: {name} {hint}.")
    return value


def _otherwise(hint: Any, where: str, name: str, value: Any) -> Any:
    """Anything else is beartype's to say."""
    # Imported here: beartype is a third of what `import snnx` would cost.
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    if not is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True)):
        raise TypeError(f"{where}: {name} is {describe(value)}, expected {_words([hint])}.")
    return value


def _union(members: tuple) -> "Reader | None":
    several = [member for member in members if member not in (None, type(None))]
    optional, readers = len(several) < len(members), [reader(member) for member in several]
    if any(each is None for each in readers):
        return None

    @no_type_check
    def read(where: str, name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        for member in several:  # arrays and objects that are of a kind already stay as they are
            if isinstance(member, type) and member not in (int, float, bool) and _is(value, member):
                return value
        first, inner = None, False
        for each in readers:
            try:
                return each(where, name, value)  # pyright: ignore[reportOptionalCall]
            except (TypeError, ValueError) as error:
                # A value of the right kind that is out of range is the one to be told of, or one inside of a list or dict.
                kind = isinstance(error, ShapeError) or not isinstance(error, TypeError)
                inside = getattr(error, "is_of_an_item", False)
                if first is None or ((kind or inside) and isinstance(first, TypeError) and not inner):
                    first, inner = error, inside
        if len(several) == 1 or inner or not isinstance(first, TypeError) or isinstance(first, DtypeError):
            raise first  # pyright: ignore[reportGeneralTypeIssues]
        raise TypeError(f"{where}: {name} is {describe(value)}, expected {_words(members)}.")

    return read


@no_type_check
def _array(hint: Any, where: str, name: str, value: Any) -> Any:
    if isinstance(value, hint):
        return value
    if issubclass(jax.Array, hint.array_type) or hint.array_type is jax.Array:
        settled = as_jax_array(value)
        if isinstance(settled, hint):
            return settled
        value = settled
    came = f"{where}: {name} is {describe(value)}, expected {_words([hint])}"
    if not hasattr(value, "dtype"):
        raise TypeError(f"{came}.")
    if isinstance(value, hint.dtype[hint.array_type, "..."]):
        raise ShapeError(came)
    if isinstance(value, np.ndarray | np.generic) and hint.array_type is not np.ndarray:
        wide = jax.dtypes.canonicalize_dtype(value.dtype) if value.dtype.kind in "iufc" else None
        if wide is not None and isinstance(np.zeros(value.shape, wide), hint.dtype[np.ndarray, "..."]):
            lost = "does not hold all of its values" if value.dtype.kind in "iu" else "would round it"
            raise DtypeError(
                f"{came}; {wide.name}, which JAX has instead, {lost}: write {name}.astype('{wide.name}') if that is meant, or"
                " switch jax_enable_x64 on."
            )
    raise DtypeError(f"{came}; cast it, e.g. {name}.astype(...), or pass the array that was meant.")


# ------------------------------------------------------------------ annotations in words
def _words(hints: Iterable[Any]) -> str:
    found = list(dict.fromkeys(_word(hint) for hint in hints))
    return " or ".join(found)


def _word(hint: Any) -> str:
    """`Float[Array, "time in"]` as `Float[time, in]`; classes of ours as what they are, with some of their kind."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        own = next((extra for extra in hint.__metadata__ if hasattr(extra, "read")), None)
        return _word(args[0]) if own is None else str(own)
    if is_array_hint(hint):
        return f"{hint.dtype.__name__}[{', '.join(hint.dim_str.split())}]"
    plain = {type(None): "None", int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
    plain |= {np.ndarray: "a NumPy array", jax.Array: "a JAX array", os.PathLike: "a path"}
    if hint in plain:
        return plain[hint]
    if origin in (typing.Union, types.UnionType):
        return _words(args)
    if origin is collections.abc.Callable or hint is Callable:
        return "a function"
    if origin in (tuple, list, collections.abc.Sequence, collections.abc.Iterable):
        each = f" of {_plural(_word(args[0]))}" if args and args[0] is not Any else ""
        return ("a tuple" if origin is tuple else "a list") + each
    if origin is collections.abc.Mapping:
        return "a dict"
    if origin is Literal:
        return " or ".join(map(repr, args))
    if isinstance(hint, type):
        return _class_in_words(hint)
    return getattr(hint, "__name__", None) or str(hint)


def _plural(word: str) -> str:
    """`a whole number >= 1` as `whole numbers >= 1`, and `a reduction, such as Sum` as `reductions`."""
    return re.sub(r"^an? (.+?)(?= (?:[<>(]|in |of |from )|,|:|$)", r"\1s", word.split(", such as")[0])


def _class_in_words(kind: type) -> str:
    if "kind_in_words" in vars(kind):  # a class may say itself what is expected
        return vars(kind)["kind_in_words"]
    name = kind.__name__
    if not name.startswith("Abstract"):
        return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removeprefix("Abstract")).lower()
    several = [found.__name__ for found in _concrete(kind) if found.__module__.startswith("snnx")]
    such = f", such as {', '.join(several[:4])}" if several else ""
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}{such}"


def _concrete(kind: type) -> list[type]:
    found = []
    for child in kind.__subclasses__():
        if not child.__name__.startswith(("Abstract", "_")) and not inspect.isabstract(child):
            found.append(child)
        found += _concrete(child)
    return found


# ------------------------------------------------------------------ what shapes and dtypes of two arguments say together
def check_float(where: str, name: str, value: Any, dtype: jnp.dtype | None = None) -> None:
    """Refuse an array that is no float, or (with `dtype`) a float of another width than the cell's."""
    if not hasattr(value, "dtype"):
        raise DtypeError(f"{where}: {name} is {describe(value)}; expected a JAX array of floats.")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        hint = ""
        if value.dtype == jnp.uint8:
            hint = " Packed spikes go in as snnx.inputs.Bits(packed, sample_shape=...)."
        raise DtypeError(
            f"{where}: {name} is {describe(value)}, but a cell takes floats.{hint}"
            f" Cast counts and bits yourself, e.g. {name}.astype(jnp.float32)."
        )
    if dtype is not None and value.dtype != dtype:
        raise DtypeError(
            f"{where}: {name} is {describe(value)}, but this cell computes in {jnp.dtype(dtype).name};"
            f" cast the input with .astype('{jnp.dtype(dtype).name}'), or the model with"
            f" snnx.cast(model, '{value.dtype.name}')."
        )
