"""The data sets of the command line: of each how it is read, and what is trained on it unless said otherwise."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from jaxtyping import Array

import snnx
from snnx import data as sets
from snnx.cli._config import ALL, Config, settings_for
from snnx.cli._networks import convolutional, dense, recurrent
from snnx.data import Options, SpikeDataset
from snnx.losses import AbstractLoss
from snnx.reductions import AbstractReduction

Parts: TypeAlias = tuple[SpikeDataset, SpikeDataset, SpikeDataset]
"""The examples to train, to validate, to test."""


HERTZ = 14.0  # what hidden neurons of recurrent networks are drawn to


def _spikes_cost(config: Config) -> AbstractLoss:
    return 10.0 * snnx.UpperRate(0.1)


def _drawn_to_a_rate(config: Config, weight: float) -> AbstractLoss:
    """Neurons that are silent have no exact gradient."""
    return weight * snnx.losses.TargetRate(HERTZ * (config.dt or 1.0))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A data set, and how it is trained.

    - `about`: in a few words; `root`: what `--root` has to hold, and how it gets there.
    - `default`: its settings.
    - `load`: from settings, two keys (for what is random in the data, for the split) and how to read, to the parts.
    - `network`: from settings, shape of a step, number of classes and key, to the model.
    - `readout`: what of the outputs is scored; `cost`: from settings, what is added to the loss; None: nothing.
    - `variants`: other networks and gradients on the same data.
    """

    about: str
    default: Config
    load: Callable[[Config, Array, Array, Options], Parts]
    network: Callable[[Config, tuple[int, ...], int, Array], snnx.Sequential]
    readout: Callable[[], AbstractReduction] = snnx.Mean
    cost: Callable[[Config], AbstractLoss] | None = None
    root: str = ""
    variants: "tuple[Recipe, ...]" = ()

    @property
    def choices(self) -> tuple[Config, ...]:
        """The settings of this recipe, and of its variants."""
        return (self.default, *(variant.default for variant in self.variants))

    def variant(self, settings: Mapping[str, Any]) -> "Recipe | None":
        """The recipe of the network and the gradient that are asked for; None: there is none."""
        chosen = settings_for(self.choices, settings)
        return next((recipe for recipe in (self, *self.variants) if recipe.default is chosen), None)


def _digits(config: Config, key: Array, key_split: Array, options: Options) -> Parts:
    data: Any = sets.digits(config.steps, encoding=config.encoding, key=key)  # pyright: ignore[reportArgumentType]
    return data.split((0.7, 0.1, 0.2), key=key_split)


def _official(read: Callable[..., SpikeDataset], names: tuple[str, ...] = ("train", "test"), **settings: Any) -> Any:
    """Official splits. Where there is none to validate, a tenth of the training split is kept for it."""

    def load(config: Config, key: Array, key_split: Array, options: Options) -> Parts:
        own = {"channels": config.channels} if config.channels is not None else {}
        train, *others = _of_equal_length(
            [functools.partial(read, config.root, name, **own, **settings, **options) for name in names], config
        )
        for name, part in zip(names[1:], others, strict=True):
            if part.classes != train.classes:
                raise ValueError(
                    f"{config.dataset}: the classes of the {name} split, {', '.join(part.classes or ())}, are not those"
                    f" of the training split, {', '.join(train.classes or ())}."
                )
        if len(others) == 2:
            return train, others[0], others[1]
        train, valid = train.split((0.9, 0.1), key=key_split)
        return train, valid, others[0]

    return load


def _folders(config: Config, key: Array, key_split: Array, options: Options) -> Parts:
    (data,) = _of_equal_length([functools.partial(sets.from_audio, config.root, **options)], config)
    train, valid, test = data.split((0.7, 0.1, 0.2), key=key_split)
    return train, valid, test


def _of_equal_length(readers: list[Callable[..., SpikeDataset]], config: Config) -> list[SpikeDataset]:
    """Splits of as many steps as was asked for, or as the longest recording of them all has."""

    def read(reader: Callable[..., SpikeDataset], steps: int | None) -> SpikeDataset:
        return reader(dt=config.dt, num_steps=steps, drop_late=steps is not None)

    if config.steps != ALL:
        return [read(reader, int(config.steps)) for reader in readers]
    parts = [read(reader, None) for reader in readers]
    most = max(part.num_steps for part in parts)
    return [part if part.num_steps == most else read(reader, most) for reader, part in zip(readers, parts, strict=True)]


_TONIC = "which tonic downloads there if it is missing"
_COCHLEA = Config(
    root="",
    network="feedforward",
    gradient="surrogate",
    neuron="AdLIF",
    hidden=(128, 128),
    encoding=None,
    dt=0.01,
    steps=ALL,
    channels=140,
    channel_shift=4,
    epochs=40,
    batch_size=128,
)
_SPEECH = dataclasses.replace(_COCHLEA, channels=None, channel_shift=None, epochs=30, batch_size=64)
_CAMERA = dataclasses.replace(_SPEECH, network=None, gradient=None, neuron="LIF", hidden=(12, 32), epochs=10)
_HEIDELBERG: dict[str, Any] = dict(spread=0.01, drawn=30.0, dt=0.005, channels=700, channel_shift=40, blend="on")
_with_dropout = functools.partial(dense, dropout=0.2)


def _of_sound(recipe: Recipe, spread: float, drawn: float, **settings: Any) -> Recipe:
    """A recipe with its variants: a recurrent network, with either gradient.

    **Arguments:** `spread`: of the readout at the start; `drawn`: how strongly neurons are drawn to a rate; `settings`: of both.
    """
    taken = dataclasses.replace(
        recipe.default, network="recurrent", neuron=None, hidden=(256,), learning_rate=2e-3, **settings
    )
    exact = dataclasses.replace(taken, gradient="eventprop", surrogate=None)
    shaped = dataclasses.replace(
        recipe,
        network=functools.partial(recurrent, spread=spread),
        readout=snnx.reductions.Weighted.exponential,
        cost=functools.partial(_drawn_to_a_rate, weight=drawn),
    )
    variants = tuple(dataclasses.replace(shaped, default=choice) for choice in (taken, exact))
    return dataclasses.replace(recipe, variants=variants)


RECIPES = {
    "digits": Recipe("1797 real handwritten digits, shipped with snnx", Config(), _digits, dense, cost=_spikes_cost),
    "shd": _of_sound(
        Recipe(
            "Spiking Heidelberg Digits: spoken digits, English and German, as spikes of a cochlea",
            dataclasses.replace(_COCHLEA, dataset="shd"),
            _official(sets.shd),
            _with_dropout,
            root=f"FOLDER/SHD, {_TONIC}",
        ),
        **_HEIDELBERG,
        epochs=20,
        batch_size=64,
    ),
    "ssc": _of_sound(
        Recipe(
            "Spiking Speech Commands: 35 spoken words, as spikes of a cochlea",
            dataclasses.replace(_COCHLEA, dataset="ssc", epochs=20, batch_size=256),
            _official(sets.ssc, ("train", "valid", "test")),
            _with_dropout,
            root=f"FOLDER/SSC, {_TONIC}",
        ),
        **_HEIDELBERG,
    ),
    "nmnist": Recipe(
        "N-MNIST: handwritten digits, seen by an event camera",
        dataclasses.replace(_CAMERA, dataset="nmnist"),
        _official(sets.nmnist),
        convolutional,
        root=f"FOLDER/NMNIST, {_TONIC}",
    ),
    "dvs-gesture": Recipe(
        "DVS-Gesture: 11 gestures, seen by an event camera, at 32 x 32 pixels",
        dataclasses.replace(_CAMERA, dataset="dvs-gesture", dt=0.025, steps=60, epochs=40, batch_size=16),
        _official(sets.dvs_gesture, size=(32, 32)),
        convolutional,
        root=f"FOLDER/DVSGesture, {_TONIC}",
    ),
    "fsdd": _of_sound(
        Recipe(
            "Free Spoken Digit Dataset: spoken English digits, as events of 40 mel bands",
            dataclasses.replace(_SPEECH, dataset="fsdd", steps=100),
            _official(sets.fsdd),
            _with_dropout,
            root="FOLDER/fsdd: git clone https://github.com/Jakobovski/free-spoken-digit-dataset FOLDER/fsdd",
        ),
        spread=0.1,
        drawn=1.0,
        dt=0.005,
        steps=200,
        epochs=16,
    ),
    "audio": _of_sound(
        Recipe(
            "your own recordings: wav or flac files, as events of 40 mel bands",
            dataclasses.replace(_SPEECH, dataset="audio"),
            _folders,
            _with_dropout,
            root="a folder of files for each class, which is called as the class is",
        ),
        spread=0.1,
        drawn=1.0,
        dt=0.005,
    ),
}
