"""What needs JAX of each data set: how it is loaded, and what is trained on it. Its settings are in `_settings.py`.

To add a data set, write one entry in `RECIPES` below, of the name that it has in `DATA_SETS`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import optax
from jaxtyping import Array

import snnx
from snnx import data as sets
from snnx.augment import AbstractAugmentation, AbstractMixing, Blend, ChannelShift
from snnx.cli._networks import convolutional, dense, recurrent
from snnx.cli._parser import warnings_as
from snnx.cli._settings import ALL, Config
from snnx.data import Options, SpikeDataset
from snnx.losses import AbstractLoss
from snnx.reductions import AbstractReduction

Splits: TypeAlias = tuple[SpikeDataset, SpikeDataset, SpikeDataset]
"""The examples to train, to validate, to test."""

HERTZ = 14.0  # the rate that hidden neurons of recurrent networks are drawn to


class Network(NamedTuple):
    """A network, and what is asked of it.

    - `make`: from settings, shape of a step, number of classes and key, to the model.
    - `readout`: what of the outputs is scored.
    - `cost`: from settings, to what is added to the loss in training; None: nothing.
    """

    make: Callable[[Config, tuple[int, ...], int, Array], snnx.Sequential]
    readout: Callable[[], AbstractReduction] = snnx.Mean
    cost: Callable[[Config], AbstractLoss] | None = None


class Recipe(NamedTuple):
    """How a data set is loaded and trained.

    - `load`: from settings, two keys (for what is random in the data, for the split) and how to read, to the splits.
    - `networks`: by the setting `network`; None where the data set does not have that setting.
    """

    load: Callable[[Config, Array, Array, Options], Splits]
    networks: Mapping[str | None, Network]


@dataclasses.dataclass(frozen=True)
class Task:
    """The parts of a run. The seed decides split, initial weights and order of examples.

    `score`: what examples are scored by; `loss`: the same, and what is added to it in training.
    """

    model: snnx.Sequential
    train: SpikeDataset
    valid: SpikeDataset
    test: SpikeDataset
    score: AbstractLoss
    loss: AbstractLoss
    optimizer: optax.GradientTransformation
    augment: tuple[AbstractAugmentation | AbstractMixing, ...]
    key: Array


def make_task(config: Config, *, download: bool = False, progress: bool = False) -> Task:
    """Data, model, loss and optimiser of a run.

    **Arguments:** `download`: whether missing files are fetched, where that is possible; `progress`: of reading.
    """
    key_data, key_split, key_model, key_fit = jax.random.split(jax.random.key(config.seed), 4)
    try:
        with warnings_as("note", {"drop_late=True": f"--steps {config.steps}"}):
            splits = RECIPES[config.dataset].load(
                config, key_data, key_split, {"download": download, "progress": progress}
            )
    except FileNotFoundError as error:
        if download:
            raise
        reason = str(error).partition("; download=True")[0].removesuffix(".")
        raise ValueError(f"{reason}. If the data have moved, say where they are with --root FOLDER.") from error
    return task_of(config, splits, key_model, key_fit)


def task_of(config: Config, splits: Splits, key_model: Array, key_fit: Array) -> Task:
    """What is trained on these splits, and how."""
    train, valid, test = splits
    if config.batch_size > len(train):
        raise ValueError(
            f"--batch-size is {config.batch_size}, but there are {len(train)} examples to train on; take --batch-size"
            f" {len(train)} or less."
        )
    network = RECIPES[config.dataset].networks[config.network]
    score = snnx.CrossEntropy(network.readout())
    updates = config.epochs * -(-len(train) // config.batch_size)
    shift = (ChannelShift(config.channel_shift),) if config.channel_shift else ()
    return Task(
        model=network.make(config, train.sample_shape, len(train.classes or ()), key_model),
        train=train,
        valid=valid,
        test=test,
        score=score,
        loss=score if network.cost is None else score + network.cost(config),
        optimizer=optax.adamw(optax.cosine_decay_schedule(config.learning_rate, updates), weight_decay=1e-3),
        augment=(*shift, Blend()) if config.blend == "on" else shift,
        key=key_fit,
    )


def _digits(config: Config, key: Array, key_split: Array, options: Options) -> Splits:
    data: Any = sets.digits(config.steps, encoding=config.encoding, key=key)  # pyright: ignore[reportArgumentType]
    return data.split((0.7, 0.1, 0.2), key=key_split)


def _official(read: Callable[..., SpikeDataset], names: tuple[str, ...] = ("train", "test"), **settings: Any) -> Any:
    """Official splits. If none of them is to validate, a tenth of the training split is kept for it."""

    def load(config: Config, key: Array, key_split: Array, options: Options) -> Splits:
        own = {"channels": config.channels} if config.channels is not None else {}
        train, *others = _of_equal_length(
            [functools.partial(read, config.root, name, **own, **settings, **options) for name in names], config
        )
        for name, split in zip(names[1:], others, strict=True):
            if split.classes != train.classes:
                raise ValueError(
                    f"{config.dataset}: the classes of the {name} split, {', '.join(split.classes or ())}, are not those"
                    f" of the training split, {', '.join(train.classes or ())}."
                )
        if len(others) == 2:
            return train, others[0], others[1]
        train, valid = train.split((0.9, 0.1), key=key_split)
        return train, valid, others[0]

    return load


def _folders(config: Config, key: Array, key_split: Array, options: Options) -> Splits:
    (data,) = _of_equal_length([functools.partial(sets.from_audio, config.root, **options)], config)
    train, valid, test = data.split((0.7, 0.1, 0.2), key=key_split)
    return train, valid, test


def _of_equal_length(readers: list[Callable[..., SpikeDataset]], config: Config) -> list[SpikeDataset]:
    """Splits of as many steps as asked for, or as the longest recording of them all has."""

    def read(reader: Callable[..., SpikeDataset], steps: int | None) -> SpikeDataset:
        return reader(dt=config.dt, num_steps=steps, drop_late=steps is not None)

    if config.steps != ALL:
        return [read(reader, int(config.steps)) for reader in readers]
    splits = [read(reader, None) for reader in readers]
    most = max(split.num_steps for split in splits)
    return [s if s.num_steps == most else read(reader, most) for reader, s in zip(readers, splits, strict=True)]


def _spikes_cost(config: Config) -> AbstractLoss:
    return 10.0 * snnx.UpperRate(0.1)


def _of_sound(load: Any, spread: float, drawn: float) -> Recipe:
    """A feedforward and a recurrent network. `spread`: of the readout at the start; `drawn`: how strongly to a rate."""

    def to_a_rate(config: Config) -> AbstractLoss:  # neurons that are silent have no exact gradient
        return drawn * snnx.losses.TargetRate(HERTZ * (config.dt or 1.0))

    networks: dict[str | None, Network] = {
        "feedforward": Network(functools.partial(dense, dropout=0.2)),
        "recurrent": Network(
            functools.partial(recurrent, spread=spread), snnx.reductions.Weighted.exponential, to_a_rate
        ),
    }
    return Recipe(load, networks)


RECIPES = {
    "digits": Recipe(_digits, {None: Network(dense, cost=_spikes_cost)}),
    "shd": _of_sound(_official(sets.shd), spread=0.01, drawn=30.0),
    "ssc": _of_sound(_official(sets.ssc, ("train", "valid", "test")), spread=0.01, drawn=30.0),
    "nmnist": Recipe(_official(sets.nmnist), {None: Network(convolutional)}),
    "dvs-gesture": Recipe(_official(sets.dvs_gesture, size=(32, 32)), {None: Network(convolutional)}),
    "fsdd": _of_sound(_official(sets.fsdd), spread=0.1, drawn=1.0),
    "audio": _of_sound(_folders, spread=0.1, drawn=1.0),
}
