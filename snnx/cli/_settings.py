"""The settings of a run as plain data, and the data sets with their defaults. Imports no JAX, for the help to be quick.

To add a data set to the command line, write one entry in `DATA_SETS` below (what it is, its settings, what it is trained
with unless told otherwise), and one of the same name in `RECIPES` (`_recipes.py`: how it is loaded, and its networks).
To add a setting, write one field of `Config`: its option, its help and its check in `config.json` follow from the field.
"""

import argparse
import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnx.cli._parser import above_zero, name_of, one_of, whole

ALL = "all"
# Names of things that only JAX can import. A test compares these lists with what there is.
NEURONS = ("IF", "LIF", "CubaLIF", "ALIF", "AdLIF")
SURROGATES = (
    *("ATan", "Arctan", "Boxcar", "FastSigmoid", "Gaussian", "LeakyGradient", "MultiGaussian", "PiecewiseQuadratic"),
    *("Sigmoid", "SlayerExponential", "SoftSign", "SparseFastSigmoid", "StochasticEscape", "StraightThrough"),
    *("SuperSpike", "Tanh", "Triangular"),
)
ENCODINGS = ("current", "rate", "latency")
DIALECTS = ("norse", "rockpool", "sinabs", "snntorch", "spikingjelly", "spyx")
NETWORKS = ("feedforward", "recurrent")
GRADIENTS = ("surrogate", "eventprop")


def _setting(default: Any, read: Any, help: str, metavar: str | None = None, **more: Any) -> Any:
    """A field of `Config`; its metadata are what `add_argument` takes."""
    return dataclasses.field(default=default, metadata={"type": read, "help": help, "metavar": metavar, **more})


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a run, by default those of the digits. None: the data set does not take this setting."""

    dataset: str = "digits"
    root: str | None = _setting(
        None, name_of("folder"), "the folder of the recordings; of an existing run, where they are now", "FOLDER"
    )
    neuron: str | None = _setting("LIF", one_of("neuron", NEURONS), ", ".join(NEURONS))
    surrogate: str | None = _setting(
        "ATan", one_of("surrogate", SURROGATES), "pseudo derivative of the spike: ATan, ...; see docs/surrogates.md"
    )
    gradient: str | None = _setting(
        None, one_of("gradient", GRADIENTS), "surrogate, or eventprop: the exact gradient, for the recurrent network"
    )
    network: str | None = _setting(
        None, one_of("network", NETWORKS), "feedforward, or recurrent: CubaLIF neurons that also get their own spikes"
    )
    hidden: tuple[int, ...] = _setting(
        (256,), whole(), "sizes of the hidden layers; for event cameras, numbers of feature maps", "N", nargs="+"
    )
    encoding: str | None = _setting(
        "current", one_of("encoding", ENCODINGS), f"how the digits' pixels become input: {', '.join(ENCODINGS)}"
    )
    dt: float | None = _setting(None, above_zero, "seconds per step of recordings", "S")
    steps: int | str = _setting(
        16, whole(word=ALL), "time steps; later events are left out; 'all': as many as the longest recording has", "N"
    )
    channels: int | None = _setting(None, whole(), "of the cochlea's 700; neighbours are merged", "N")
    channel_shift: int | None = _setting(
        None, whole(0), "augmentation: an example's channels are shifted together, by up to N at random; 0: off", "N"
    )
    blend: str | None = _setting(
        None, one_of("answer", ("on", "off")), "augmentation: each example is blended with another one of its class"
    )
    epochs: int = _setting(40, whole(), "how often every example is seen", "N")
    batch_size: int = _setting(64, whole(), "examples per step of training", "N")
    learning_rate: float = _setting(3e-3, above_zero, "of AdamW, falling to 0", "X")
    seed: int = _setting(0, whole(0, 2**32 - 1), "of the split, the initial weights and the order of examples", "N")

    def taken(self) -> dict[str, Any]:
        """The settings that the data set takes, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def flag(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def flags(config: Config, default: Config | None = None) -> list[str]:
    """The words that turn the default's settings into these; without a default, those of all settings."""
    words: list[str] = []
    for name, value in config.taken().items():
        if name != "dataset" and (default is None or value != getattr(default, name)):
            words += [flag(name), *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def as_command(config: Config) -> str:
    """The call that starts a run of these settings: those that are not the data set's own."""
    return shlex.join(["snnx", "train", config.dataset, *flags(config, DATA_SETS[config.dataset].default)])


def absolute(root: str) -> str:
    """The folder of the data, as it is found from anywhere."""
    return str(Path(root).expanduser().absolute())


def from_json(text: str | bytes) -> Config:
    """The settings of a `config.json`; other entries of the file (versions) are left alone.

    **Raises:** `ValueError` that names a setting that is missing, of another type, or of a name that does not exist.
    """
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise ValueError(f"config.json is no JSON file: {error}") from error
    entries = stored if isinstance(stored, dict) else {}
    name = _read("dataset", entries.get("dataset", Config.dataset), one_of("data set", DATA_SETS))
    chosen = DATA_SETS[name].settings_for(entries)
    if chosen is None:
        network, gradient = entries.get("network"), entries.get("gradient")
        raise ValueError(f"config.json: there is no {network} network of {name} with the gradient {gradient}.")
    taken = chosen.taken()
    missing = taken.keys() - entries.keys()
    if missing:
        raise ValueError(f"config.json lacks {', '.join(sorted(missing))}; it is not of this version of snnx.")
    settings = {setting: _read(setting, entries[setting]) for setting in taken if setting != "dataset"}
    if settings.get("steps") == ALL and "root" not in settings:
        raise ValueError(f"config.json, steps: {name} has no length of its own; expected a number, got {ALL!r}.")
    return dataclasses.replace(chosen, **settings)


def _read(name: str, value: Any, read: Any = None) -> Any:
    """An entry of a `config.json`, by the rules that its option has."""
    several = "nargs" in FIELDS[name].metadata
    items = value if several else [value]
    try:
        if not isinstance(items, list) or not items:
            raise argparse.ArgumentTypeError(f"expected a list of at least one, got {value!r}")
        found = [(read or FIELDS[name].metadata["type"])(str(item)) for item in items]
        if any(isinstance(item, str) is not isinstance(got, str) for item, got in zip(items, found, strict=True)):
            raise argparse.ArgumentTypeError(
                f"expected {'text' if isinstance(found[0], str) else 'a number'}, got {value!r}"
            )
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"config.json, {name}: {error}") from error
    return tuple(found) if several else found[0]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set of the command line.

    - `about`: what it is, in a few words.
    - `choices`: the settings of each network and gradient that it has; the first are the default.
    - `root`: what `--root` has to hold, and how it gets there; empty if the data come with snnx.
    """

    about: str
    choices: tuple[Config, ...]
    root: str = ""

    @property
    def default(self) -> Config:
        return self.choices[0]

    def settings_for(self, given: Mapping[str, Any]) -> Config | None:
        """The first settings that have the network and the gradient asked for; None: there are none."""

        def fits(choice: Config) -> bool:
            own = {"network": choice.network, "gradient": choice.gradient}
            return all(value is None or given.get(name, value) == value for name, value in own.items())

        return next(filter(fits, self.choices), None)


_TONIC = "which tonic downloads there if it is missing"
_COCHLEA = Config(
    root="",  # which has to be given
    network="feedforward",
    gradient="surrogate",
    neuron="AdLIF",
    hidden=(128, 128),
    encoding=None,
    dt=0.01,
    steps=ALL,
    channels=140,
    channel_shift=4,
    batch_size=128,
)
_SPEECH = dataclasses.replace(_COCHLEA, channels=None, channel_shift=None, epochs=30, batch_size=64)
_CAMERA = dataclasses.replace(_SPEECH, network=None, gradient=None, neuron="LIF", hidden=(12, 32), epochs=10)
_HEIDELBERG: dict[str, Any] = dict(dt=0.005, channels=700, channel_shift=40, blend="on")


def _sound(default: Config, dataset: str, recurrent: dict[str, Any], **settings: Any) -> tuple[Config, ...]:
    """Settings of a feedforward network, and those of a recurrent one with either gradient."""
    first = dataclasses.replace(default, dataset=dataset, **settings)
    shared: dict[str, Any] = dict(network="recurrent", neuron=None, hidden=(256,), learning_rate=2e-3, dt=0.005)
    second = dataclasses.replace(first, **shared | recurrent)
    return first, second, dataclasses.replace(second, gradient="eventprop", surrogate=None)


DATA_SETS = {
    "digits": DataSet("1797 real handwritten digits, shipped with snnx", (Config(),)),
    "shd": DataSet(
        "Spiking Heidelberg Digits: spoken digits, English and German, as spikes of a cochlea",
        _sound(_COCHLEA, "shd", {**_HEIDELBERG, "epochs": 20, "batch_size": 64}),
        root=f"FOLDER/SHD, {_TONIC}",
    ),
    "ssc": DataSet(
        "Spiking Speech Commands: 35 spoken words, as spikes of a cochlea",
        _sound(_COCHLEA, "ssc", _HEIDELBERG, epochs=20, batch_size=256),
        root=f"FOLDER/SSC, {_TONIC}",
    ),
    "nmnist": DataSet(
        "N-MNIST: handwritten digits, seen by an event camera",
        (dataclasses.replace(_CAMERA, dataset="nmnist"),),
        root=f"FOLDER/NMNIST, {_TONIC}",
    ),
    "dvs-gesture": DataSet(
        "DVS-Gesture: 11 gestures, seen by an event camera, at 32 x 32 pixels",
        (dataclasses.replace(_CAMERA, dataset="dvs-gesture", dt=0.025, steps=60, epochs=40, batch_size=16),),
        root=f"FOLDER/DVSGesture, {_TONIC}",
    ),
    "fsdd": DataSet(
        "Free Spoken Digit Dataset: spoken English digits, as events of 40 mel bands",
        _sound(_SPEECH, "fsdd", {"steps": 200, "epochs": 16}, steps=100),
        root="FOLDER/fsdd: git clone https://github.com/Jakobovski/free-spoken-digit-dataset FOLDER/fsdd",
    ),
    "audio": DataSet(
        "your own recordings: wav or flac files, as events of 40 mel bands",
        _sound(_SPEECH, "audio", {}),
        root="a folder of files for each class, named after the class",
    ),
}
