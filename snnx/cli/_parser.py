"""The parser of the command line: a wrong call is answered in a sentence."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn


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
        """Refuse an unknown option before its value is taken for something else, e.g. for the data set."""
        known = self._option_string_actions
        for word in words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return  # what follows is no option, or the command's
            name = word.partition("=")[0]
            if re.match(r"-[^\d.\s]", name) and " " not in name and not any(o.startswith(name) for o in known):
                near = _nearest_option(name, known)
                self.error(f"there is no option {name}." + (f" Did you mean {near}?" if near else ""))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        from snnx.cli._config import unknown

        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(None, unknown(str(action.metavar or "value"), value, action.choices))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"snnx: {message.removeprefix('argument ')}\nSee: {self.prog} --help\n")


def _nearest_option(name: str, known: Iterable[str]) -> str | None:
    """The option that was meant: of these initials (`--lr`), or of nearly this spelling."""
    options = sorted(option for option in known if option.startswith("--"))
    initials = {"".join(word[0] for word in option[2:].split("-")): option for option in options}
    near = difflib.get_close_matches(name.replace("_", "-"), options, n=1)
    return initials.get(name.lstrip("-")) or (near[0] if near else None)
