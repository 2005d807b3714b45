"""The settings of a run, and how they are written: in `config.json`, and as a command."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snnx._errors import unknown_name

ALL = "all"
NETWORKS = ("feedforward", "recurrent")
GRADIENTS = ("surrogate", "eventprop")
SWITCH = ("on", "off")


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a run; by default those of the digits.

    None: the data set does not take this setting.

    - `root`: the folder of the recordings; empty in a recipe, for it has to be named.
    - `network`: one of `NETWORKS`; `gradient`: one of `GRADIENTS`. A data set has settings of its own for each.
    - `hidden`: sizes of the hidden layers; of convolutions, how many feature maps each has.
    - `dt`: seconds per step; None where time constants are in steps.
    - `steps`: of every example; `"all"`: as many as the longest recording has.
    - `channel_shift`: of the augmentation, the largest shift in channels; `blend`: whether examples of a class are blended.
    """

    dataset: str = "digits"
    root: str | None = None
    neuron: str | None = "LIF"
    surrogate: str | None = "ATan"
    gradient: str | None = None
    network: str | None = None
    hidden: tuple[int, ...] = (256,)
    encoding: str | None = "current"
    dt: float | None = None
    steps: int | str = 16
    channels: int | None = None
    channel_shift: int | None = None
    blend: str | None = None
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def taken(self) -> dict[str, Any]:
        """The settings that the data set takes, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def flag(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def flags(config: Config, default: Config | None = None) -> list[str]:
    """The words that turn the default's settings into these; without a default, those of all settings."""
    words: list[str] = []
    for name, value in config.taken().items():
        if name != "dataset" and (default is None or value != getattr(default, name)):
            values = value if isinstance(value, tuple) else (value,)
            words += [flag(name), *map(str, values)]
    return words


def as_command(config: Config, default: Config) -> str:
    """The call that starts a run of these settings: those that are not the default's."""
    return shlex.join(["snnx", "train", config.dataset, *flags(config, default)])


def absolute(root: str) -> str:
    """The folder of the data, as it is found from anywhere."""
    return str(Path(root).expanduser().absolute())


def settings_for(choices: Sequence[Config], given: Mapping[str, Any]) -> Config | None:
    """The first settings of a data set that have the network and the gradient that are asked for; None: there are none."""

    def fits(choice: Config) -> bool:
        own = {"network": choice.network, "gradient": choice.gradient}
        return all(value is None or given.get(name, value) == value for name, value in own.items())

    return next(filter(fits, choices), None)


def from_json(stored: Any, defaults: Mapping[str, Sequence[Config]], known: dict[str, Iterable[str]]) -> Config:
    """The settings of a `config.json`; other entries of the file (versions) are left alone.

    **Arguments:** `defaults`: of every data set, one or more; `known`: the names that there are of settings that are names.
    **Raises:** `ValueError` for settings that are missing, of another type, or name what does not exist.
    """
    entries = stored if isinstance(stored, dict) else {}
    dataset = entries.get("dataset")
    choices = defaults[_checked("dataset", dataset, defaults)] if isinstance(dataset, str) else (Config(),)
    chosen = settings_for(choices, entries)
    if chosen is None:
        network, gradient = entries.get("network"), entries.get("gradient")
        raise ValueError(f"config.json: there is no {network} network of {dataset} with the gradient {gradient}.")
    default = chosen.taken()
    missing = default.keys() - entries.keys()
    if missing:
        raise ValueError(f"config.json lacks {', '.join(sorted(missing))}; it is not of this version of snnx.")
    settings: dict[str, Any] = {name: entries[name] for name in default}
    for name, value in settings.items():
        like = list(default[name]) if isinstance(default[name], tuple) else default[name]
        recorded_steps = name == "steps" and "root" in default  # whose default may be of either type
        if not (type(value) is int or value == ALL if recorded_steps else _alike(value, like)):
            raise ValueError(f"config.json: {name} is {value!r}, expected something like {like!r}.")
    for name, names in (known | {"dataset": defaults}).items():
        if name in settings:
            settings[name] = _checked(name, settings[name], names)
    return dataclasses.replace(chosen, **settings | {"hidden": tuple(settings["hidden"])})


def _checked(setting: str, name: str, known: Iterable[str]) -> str:
    try:
        return named({"dataset": "data set"}.get(setting, setting), name, known)
    except ValueError as error:
        raise ValueError(f"config.json: {error}") from error


def _alike(value: Any, example: Any) -> bool:
    """Whether a value has the type of an example; a list, whether its items have that of the example's first."""
    if isinstance(value, list) and isinstance(example, list):
        return all(_alike(item, example[0]) for item in value)
    return type(value) is type(example)


def named(what: str, name: str, known: Iterable[str]) -> str:
    """The name as it is spelled, whatever the case; an error with the nearest one for a name that does not exist."""
    spelled = {n.lower(): n for n in known}
    if name.lower() not in spelled:
        raise ValueError(unknown(what, name, spelled.values()))
    return spelled[name.lower()]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist, without a place in front: the command line has its own."""
    return unknown_name("", what, name, known).removeprefix(": ")
