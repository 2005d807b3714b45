"""What the fields of a node hold, how they are read, and what is asked of them. Nothing in a file is trusted."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from snnx._errors import NIRError

Shape: TypeAlias = tuple[int, ...]
MOST = 2**28  # elements of one step, or of a delay: a gigabyte of floats


class Numbers(NamedTuple):
    """In `Kind.fields`: an array of real numbers, which are finite.

    - `role`: what else is asked of them. A `"time constant"` is in seconds, and positive; a `"delay"` is in seconds, and not
        negative; a `"threshold"` may be infinite, and is then never reached.
    - `missing`: the number that a node without this field means. By default a node must have the field.
    """

    role: Literal["number", "time constant", "delay", "threshold"] = "number"
    missing: float | None = None

    @property
    def optional(self) -> bool:
        """Whether a node may do without the field."""
        return self.missing is not None

    def errors(self, name: str, value: Any) -> Iterator[str]:
        """What is wrong with the value of the field called `name`."""
        try:
            array = np.asarray(value)
        except ValueError:
            yield f"{name} is a list of lists that differ in length; expected an array of numbers."
            return
        if array.dtype.kind not in "fiub":
            yield f"{name} holds {array.dtype}; expected real numbers."
            return
        if np.isnan(array).any():
            yield f"{name} is NaN at {place(np.isnan(array))}; expected numbers."
            return
        infinite = np.isinf(array) & ((array < 0) | (self.role != "threshold"))
        if infinite.any():
            yield f"{name} is infinite at {place(infinite)}; expected finite numbers."
        low = {"time constant": array <= 0, "delay": array < 0}.get(self.role, np.zeros(array.shape, bool))
        if low.any():
            expected = "expected seconds >= 0."
            if self.role == "time constant":
                expected = "a time constant is > 0 (snnx.nir.constrain keeps it so in training)."
            yield f"{name} is {array[low].flat[0]:g} at {place(low)}; {expected}"

    def odd(self, name: str, array: np.ndarray, dt: float | None) -> Iterator[str]:
        """What is odd about an array without errors, run in steps of `dt` seconds."""
        if self.role == "threshold" and np.isinf(array).any():
            yield f"{name} is infinite at {place(np.isinf(array))}: there it never fires."
        if self.role == "time constant" and dt is not None and (array < dt).any():
            least = float(array.min())
            yield (
                f"{name} is {least:g} s at least, shorter than the step, {dt:g} s: forward Euler's factor 1 - dt/tau is"
                f" {1 - dt / least:g}. It is run as written; a smaller dt would follow the equation."
            )


class Setting(NamedTuple):
    """In `Kind.fields`: anything but an array of numbers, such as a stride; `optional`: whether a node may do without it."""

    optional: bool = False


Field: TypeAlias = Numbers | Setting


def place(wrong: np.ndarray) -> str:
    """Where an array is wrong: the first place, and how many more there are."""
    first, others = [int(i) for i in np.argwhere(wrong)[0]], int(wrong.sum()) - 1
    return f"{first} and {others} more" if others else f"{first}"


def _whole_numbers(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:
        raise NIRError(f"{name} is {value!r}; expected whole numbers") from None


def whole(name: str, value: Any) -> int:
    """A field that is one whole number."""
    array = _whole_numbers(name, value)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise NIRError(f"{name} is {value!r}; expected a whole number")
    return int(array.reshape(()))


def sizes(name: str, value: Any, axes: int | None = None, least: int = 1) -> Shape:
    """A field of whole numbers: a shape, or (with `axes`) one number for each of so many axes, or one for all of them."""
    array = _whole_numbers(name, value)
    if array.dtype.kind not in "iu" and not (array.size == 0 and axes is None):
        raise NIRError(f"{name} is {value!r}; expected whole numbers")
    if axes is not None and array.size not in (1, axes):
        raise NIRError(f"{name} is {value!r}; expected a whole number, or {axes} of them")
    flat = array.reshape(-1)
    numbers = tuple(int(n) for n in (flat if axes is None else np.broadcast_to(flat, (axes,))))
    if any(n < least for n in numbers):
        raise NIRError(f"{name} is {value!r}; expected whole numbers >= {least}")
    return numbers


def margins(value: Any, reach: Sequence[int]) -> list[tuple[int, int]]:
    """The padding of a convolution before and after each axis, along which a kernel reaches `reach` places past its first.

    `"same"` is what keeps the size at stride 1, the odd row or column behind, as in PyTorch; with a stride, every stride-th
    place of that convolution is taken.
    """
    if isinstance(value, str | bytes):
        text = value.decode() if isinstance(value, bytes) else value
        if text == "valid":
            return [(0, 0)] * len(reach)
        if text != "same":
            raise NIRError(f"padding is {text!r}; expected whole numbers, 'same' or 'valid'")
        return [(r // 2, r - r // 2) for r in reach]
    return [(p, p) for p in sizes("padding", value, len(reach), least=0)]


def places(
    given: Sequence[int], window: Sequence[int], stride: Sequence[int], padding: Sequence[tuple[int, int]]
) -> Shape:
    """At how many places a window fits along each axis."""
    padded = [n + low + high for n, (low, high) in zip(given, padding, strict=True)]
    if any(n < w for n, w in zip(padded, window, strict=True)):
        raise NIRError(f"a step of {tuple(given)} places, {tuple(padded)} with its padding, is smaller than the kernel")
    return tuple((n - w) // s + 1 for n, w, s in zip(padded, window, stride, strict=True))
