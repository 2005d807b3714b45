"""How the words of a call are read, and the sentence that answers a wrong one. Imports no JAX, for the answer to be quick."""

import argparse
import contextlib
import difflib
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from snnx._errors import unknown_name

INT32 = 2**31 - 1


class Parser(argparse.ArgumentParser):
    """A parser that answers a wrong call with a sentence, the nearest name that exists, and where the help is."""

    def parse_known_args(self, args: "Sequence[str] | None" = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        words = list(sys.argv[1:] if args is None else args)
        self._check_options(words)
        found, others = super().parse_known_args(words, namespace)
        if others:
            self.error(f"there is no place for {' '.join(others)!r}")
        return found, others

    def _check_options(self, words: Sequence[str]) -> None:
        """Refuse an unknown option before its value is taken for something else, such as the data set."""
        known = self._option_string_actions
        for word in words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return  # what follows is no option, or belongs to the command
            name = word.partition("=")[0]
            if re.match(r"-[^\d.\s]", name) and " " not in name and not any(o.startswith(name) for o in known):
                near = _nearest_option(name, known)
                self.error(f"there is no option {name}." + (f" Did you mean {near}?" if near else ""))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(None, _unknown(str(action.metavar), value, action.choices))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"snnx: {message.removeprefix('argument ')}\nSee: {self.prog} --help\n")


def _nearest_option(name: str, known: Iterable[str]) -> str | None:
    """The option that was meant: the one with these initials (`--lr`), or with nearly this spelling."""
    options = sorted(option for option in known if option.startswith("--"))
    initials = {"".join(word[0] for word in option[2:].split("-")): option for option in options}
    near = difflib.get_close_matches(name.replace("_", "-"), options, n=1)
    return initials.get(name.lstrip("-")) or (near[0] if near else None)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist, without a place in front: the command line has its own."""
    return unknown_name("", what, name, known).removeprefix(": ")


# The kinds of values: functions of a word, for argparse's `type=`, and for the entries of a run's config.json.


def one_of(what: str, known: Iterable[str]) -> Callable[[str], str]:
    """A name out of several, whatever its case."""
    spelled = {name.lower(): name for name in known}

    def read(text: str) -> str:
        if text.lower() not in spelled:
            raise argparse.ArgumentTypeError(_unknown(what, text, spelled.values()))
        return spelled[text.lower()]

    return read


def whole(least: int = 1, most: int = INT32, word: str = "") -> Callable[[str], Any]:
    """A whole number; or `word`, if there is one, whatever its case."""

    def read(text: str) -> int | str:
        if word and text.lower() == word:
            return word
        number = int(text) if text.isdecimal() else -1
        if not least <= number <= most:
            limits = f">= {least}" if most == INT32 and number < least else f"from {least} to {most}"
            other = f", or {word}" if word else ""
            raise argparse.ArgumentTypeError(f"expected a whole number {limits}{other}, got {text!r}")
        return number

    return read


def above_zero(text: str) -> float:
    """A finite number > 0."""
    number = math.nan
    with contextlib.suppress(ValueError):
        number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return number


def name_of(what: str) -> Callable[[str], str]:
    """The name of a file or folder."""

    def read(text: str) -> str:
        if not text.strip():
            raise argparse.ArgumentTypeError(f"expected the name of a {what}, got nothing")
        return text

    return read


@contextlib.contextmanager
def warnings_as(what: str, words: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """The warnings of the block go to standard error, in a line each, every sentence once.

    **Arguments:** `words`: arguments of Python that the sentences name, and the options that take their place.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(note.message) for note in caught):
        for argument, option in words.items():
            text = text.replace(argument, option)
        print(f"snnx: {what}: {text}", file=sys.stderr)
