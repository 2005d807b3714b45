import equinox as eqx
import jax
from jaxtyping import Array, Bool, Int, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_image, check_vector, check_whole, check_window
from snnx.augment._keep import keep_where
from snnx.augment._layout import unfolded
from snnx.inputs import AbstractInputs


class DropBlock(AbstractAugmentation):
    r"""A random block of steps and neighbouring channels is silent.

    $$ x'_{t,c} = 0 \text{ for } s \le t < s + \texttt{steps} \text{ and } b \le c < b + \texttt{channels}, \text{ else }
    x_{t,c}, \quad s \sim U\{0, \dots, T - \texttt{steps}\}, \quad b \sim U\{0, \dots, C - \texttt{channels}\} $$

    Of an image the block is one of rows and columns, the last two axes, through all polarities. A block of all steps is a
    mask of channels, one of all channels a mask of time. Bits become counts, a constant becomes dense; every other layout
    stays.

    **Arguments:**
    - `steps`: the length of the block.
    - `channels`: its width, or `(rows, columns)` for images.

    **Raises:** `ValueError` for what is no whole number >= 1, and, when called, for a block larger than the input;
    `ShapeError`, when called, for a width on images or rows and columns on vectors.

    Source: Gu, Sng, Hu & Yu, EventDrop: Data Augmentation for Event-based Learning, IJCAI (2021), "drop by area" and "drop by
    time"; Park et al., SpecAugment, Interspeech (2019).
    """

    steps: int = eqx.field(static=True)
    channels: int | tuple[int, int] = eqx.field(static=True)

    def __check_init__(self):
        check_whole("DropBlock", "steps", self.steps, 1)
        sizes = self._sizes()
        if isinstance(self.channels, tuple) and len(sizes) != 2:
            raise ValueError(f"DropBlock: channels is {self.channels!r}, expected a whole number or (rows, columns).")
        for size in sizes:
            check_whole("DropBlock", "channels", size, 1)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(inputs, key))

    def _sizes(self) -> tuple[int, ...]:
        return self.channels if isinstance(self.channels, tuple) else (self.channels,)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> tuple[Int[Array, ""], ...]:
        """Where the block begins: its step, and its channel or its row and column."""
        read_key("DropBlock", "key", key)
        if isinstance(self.channels, tuple):
            check_image("DropBlock", inputs)
        else:
            check_vector("DropBlock", inputs, "DropBlock(steps, (rows, columns))")
        sizes = (self.steps, *self._sizes())
        rooms = (inputs.num_steps, *inputs.sample_shape[1 - len(sizes) :])
        names = ("steps", "rows", "columns") if isinstance(self.channels, tuple) else ("steps", "channels")
        for name, size, room in zip(names, sizes, rooms, strict=True):
            check_window("DropBlock", name, size, room, name)
        keys = jax.random.split(key, len(sizes))
        return tuple(
            jax.random.randint(k, (), 0, room - size + 1) for k, room, size in zip(keys, rooms, sizes, strict=True)
        )

    def _apply(self, inputs: AbstractInputs, starts: tuple[Int[Array, ""], ...]) -> AbstractInputs:
        def keeps(steps: Array, channels: Array) -> Bool[Array, "..."]:
            inside = (steps >= starts[0]) & (steps < starts[0] + self.steps)
            stride = 1
            edges = zip(inputs.sample_shape[::-1], starts[:0:-1], self._sizes()[::-1], strict=False)
            for room, start, size in edges:  # the last axis first
                place = channels // stride % room
                inside &= (place >= start) & (place < start + size)
                stride *= room
            return ~inside

        return keep_where(unfolded("DropBlock", inputs), keeps)
