"""The parts of a run, made from its settings: data, model, loss, optimiser."""

import dataclasses
import sys
import warnings

import jax
import optax
from jaxtyping import Array

import snnx
from snnx.augment import AbstractAugmentation, AbstractMixing, Blend, ChannelShift
from snnx.cli._config import Config
from snnx.cli._recipes import RECIPES, Parts
from snnx.data import SpikeDataset


@dataclasses.dataclass(frozen=True)
class Task:
    """The parts of a run; the seed decides split, initial weights and order of examples.

    `score`: what examples are scored by; `loss`: with what is added to it in training.
    """

    model: snnx.Sequential
    train: SpikeDataset
    valid: SpikeDataset
    test: SpikeDataset
    score: snnx.losses.AbstractLoss
    loss: snnx.losses.AbstractLoss
    optimizer: optax.GradientTransformation
    augment: tuple[AbstractAugmentation | AbstractMixing, ...]
    key: Array


def make_task(config: Config, *, download: bool = False, progress: bool = False) -> Task:
    """Data, model, loss and optimiser of a run.

    **Arguments:** `download`: whether files that are missing are fetched, where that can be; `progress`: of reading.
    """
    key_data, key_split, key_model, key_fit = jax.random.split(jax.random.key(config.seed), 4)
    return task_of(config, _load(config, key_data, key_split, download, progress), key_model, key_fit)


def task_of(config: Config, parts: Parts, key_model: Array, key_fit: Array) -> Task:
    """What is trained, and how, on these parts of the data."""
    recipe = RECIPES[config.dataset].variant(config.taken())
    if recipe is None:
        raise ValueError(f"{config.dataset} has no {config.network} network with the gradient {config.gradient}.")
    train, valid, test = parts
    if config.batch_size > len(train):
        raise ValueError(
            f"--batch-size is {config.batch_size}, but there are {len(train)} examples to train on; take --batch-size"
            f" {len(train)} or less."
        )
    score = snnx.CrossEntropy(recipe.readout())
    updates = config.epochs * -(-len(train) // config.batch_size)
    return Task(
        model=recipe.network(config, train.sample_shape, len(train.classes or ()), key_model),
        train=train,
        valid=valid,
        test=test,
        score=score,
        loss=score if recipe.cost is None else score + recipe.cost(config),
        optimizer=optax.adamw(optax.cosine_decay_schedule(config.learning_rate, updates), weight_decay=1e-3),
        augment=_augment(config),
        key=key_fit,
    )


def _augment(config: Config) -> tuple[AbstractAugmentation | AbstractMixing, ...]:
    shift = (ChannelShift(config.channel_shift),) if config.channel_shift else ()
    return (*shift, Blend()) if config.blend == "on" else shift


def _load(config: Config, key: Array, key_split: Array, download: bool, progress: bool) -> Parts:
    """The parts of the data. What the readers have to tell goes to standard error, in a line each."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        try:
            parts = RECIPES[config.dataset].load(config, key, key_split, {"download": download, "progress": progress})
        except FileNotFoundError as error:
            if download:
                raise
            reason = str(error).partition("; download=True")[0].removesuffix(".")
            raise ValueError(f"{reason}. If the data have moved, say where they are with --root FOLDER.") from error
    for note in told:
        print(f"snnx: note: {note.message}".replace("drop_late=True", f"--steps {config.steps}"), file=sys.stderr)
    return parts
