"""What a run is made of: the settings, and the model, data and optimiser that they stand for."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array

import snnx
from snnx._errors import unknown_name
from snnx.data import SpikeDataset, digits
from snnx.neurons import ALIF, IF, LI, LIF, AdLIF, CubaLIF

NEURONS = {"IF": IF, "LIF": LIF, "CubaLIF": CubaLIF, "ALIF": ALIF, "AdLIF": AdLIF}
SURROGATES = {
    name: getattr(snnx.surrogates, name)
    for name in snnx.surrogates.__all__
    if name not in ("AbstractSurrogate", "Custom")
}
DATASETS: dict[str, Callable[..., SpikeDataset]] = {"digits": digits}


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a run, as they stand in its `config.json`."""

    dataset: str = "digits"
    neuron: str = "LIF"
    surrogate: str = "ATan"
    hidden: tuple[int, ...] = (256,)
    encoding: str = "current"
    steps: int = 16
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    @staticmethod
    def from_json(stored: Any) -> "Config":
        """The settings of a `config.json`; other entries of the file (versions) are left alone.

        **Raises:** `ValueError` for settings that are missing, of another type, or name what does not exist.
        """
        default = dataclasses.asdict(Config()) | {"hidden": list(Config().hidden)}
        missing = default.keys() - (stored.keys() if isinstance(stored, dict) else set())
        if missing:
            raise ValueError(f"config.json lacks {', '.join(sorted(missing))}; it is not of this version of snnx.")
        settings: dict[str, Any] = {name: stored[name] for name in default}
        for name, value in settings.items():
            if not _alike(value, default[name]):
                raise ValueError(f"config.json: {name} is {value!r}, expected something like {default[name]!r}.")
        for name, what, known in (
            ("dataset", "data set", DATASETS),
            ("neuron", "neuron", NEURONS),
            ("surrogate", "surrogate", SURROGATES),
        ):
            try:
                settings[name] = named(what, settings[name], known)
            except ValueError as error:
                raise ValueError(f"config.json: {error}") from error
        hidden = tuple(settings.pop("hidden"))
        return Config(hidden=hidden, **settings)


def as_command(config: Config) -> str:
    """The call that starts a run of these settings: those that are not the default's."""
    words = ["snnx", "train", config.dataset]
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        if field.name != "dataset" and value != field.default:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return " ".join(words)


def _alike(value: Any, example: Any) -> bool:
    """Whether a value has the type of an example; a list, whether its items have that of the example's first."""
    if isinstance(value, list) and isinstance(example, list):
        return all(_alike(item, example[0]) for item in value)
    return type(value) is type(example)


def named(what: str, name: str, known: dict[str, Any]) -> str:
    """The name as it is spelled, whatever the case; an error with the nearest one for a name that does not exist."""
    spelled = {n.lower(): n for n in known}
    if name.lower() not in spelled:
        raise ValueError(unknown(what, name, known))
    return spelled[name.lower()]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist, without a place in front: the command line has its own."""
    return unknown_name("", what, name, known).removeprefix(": ")


@dataclasses.dataclass(frozen=True)
class Task:
    """The parts of a run, made from its settings; the seed decides split, initial weights and order of examples."""

    model: snnx.Sequential
    train: SpikeDataset
    valid: SpikeDataset
    test: SpikeDataset
    loss: snnx.losses.AbstractLoss
    optimizer: optax.GradientTransformation
    key: Array


def make_task(config: Config) -> Task:
    """Data, model, loss and optimiser of a run."""
    key_data, key_split, key_model, key_fit = jax.random.split(jax.random.key(config.seed), 4)
    data = DATASETS[config.dataset](config.steps, encoding=config.encoding, key=key_data)
    train, valid, test = data.split((0.7, 0.1, 0.2), key=key_split)
    if config.batch_size > len(train):
        raise ValueError(
            f"--batch-size is {config.batch_size}, but there are {len(train)} examples to train on; take --batch-size"
            f" {len(train)} or less."
        )
    updates = config.epochs * -(-len(train) // config.batch_size)
    return Task(
        model=make_model(config, data.sample_shape[0], len(data.classes or ()), key_model),
        train=train,
        valid=valid,
        test=test,
        loss=snnx.CrossEntropy(snnx.Mean()) + 10.0 * snnx.UpperRate(0.1),
        optimizer=optax.adamw(optax.cosine_decay_schedule(config.learning_rate, updates), weight_decay=1e-3),
        key=key_fit,
    )


def make_model(config: Config, inputs: int, classes: int, key: Array) -> snnx.Sequential:
    """Linear layers with neurons between them, read out by a leaky integrator."""
    surrogate = SURROGATES[config.surrogate]()
    neuron = NEURONS[config.neuron](surrogate=surrogate)
    widths = (inputs, *config.hidden)
    keys = jax.random.split(key, len(widths))
    layers: list[Any] = []
    for fan_in, fan_out, sub in zip(widths[:-1], widths[1:], keys[:-1], strict=True):
        layers += [eqx.nn.Linear(fan_in, fan_out, key=sub), neuron]
    return snnx.Sequential([*layers, eqx.nn.Linear(widths[-1], classes, key=keys[-1]), LI()])
