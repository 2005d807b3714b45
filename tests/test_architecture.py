"""The package keeps the rules of architecture.py and architecture_of_names.py, and each rule can fail."""

import ast
import importlib
import re
import subprocess
import sys
import textwrap
from abc import abstractmethod
from pathlib import Path

import architecture as rules
import architecture_of_names as names
import equinox as eqx
import pytest

import snnx
from snnx._typing import default

ROOT = Path(snnx.__file__).parent


def _report(problems: list[str]) -> str:
    return "\n".join(["", *problems])


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule):
    problems = rule(ROOT)
    assert not problems, _report(problems)


@pytest.mark.parametrize("rule", names.RULES_OF_CLASSES, ids=lambda rule: rule.__name__)
def test_the_classes_keep_the_rule(rule):
    classes = names.eqx_classes(snnx)
    assert snnx.AbstractCell in classes
    problems = rule(classes)
    assert not problems, _report(problems)


def test_every_public_name_is_there_and_documented():
    problems = names.exports(snnx)
    assert not problems, _report(problems)


def test_the_top_its_stub_and_the_rooms_say_the_same():
    stub = ast.parse((ROOT / "__init__.pyi").read_text())
    imported = {
        alias.asname: getattr(importlib.import_module(node.module), alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    listed = next(ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign))
    assert sorted(listed) == sorted(imported) == sorted(snnx.__all__) == dir(snnx)
    assert all(getattr(snnx, name) is value for name, value in imported.items())
    for node in stub.body:
        if isinstance(node, ast.ImportFrom) and not (node.module == "snnx" or node.module.startswith("snnx._")):
            assert {alias.name for alias in node.names} <= set(importlib.import_module(node.module).__all__)


def test_a_name_has_one_meaning():
    rooms = [m for m in names.all_modules(snnx) if hasattr(m, "__path__") and m.__name__.count(".") == 1]
    meanings: dict[str, set[int]] = {}
    for room in rooms:
        for name in room.__all__:
            meanings.setdefault(name, set()).add(id(getattr(room, name)))
    several = {name for name, found in meanings.items() if len(found) > 1}
    assert several == {"read", "simulate"}  # of a recording, a graph; on the clock, from event to event


def test_a_name_that_is_elsewhere_is_found():
    with pytest.raises(AttributeError, match=r"snnx\.surrogates\.ATan"):
        _ = snnx.ATan
    with pytest.raises(AttributeError, match=r"snnx\.AdLIF"):
        _ = snnx.Adlif


def test_import_pulls_in_nothing_heavy():
    heavy = sorted(rules.HEAVY)
    code = f"import sys, snnx; print(*[name for name in {heavy!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert not run.stdout.split(), (
        f"import snnx imports {run.stdout.strip()}; import it inside the functions that need it."
    )


# Each rule, on a made-up package that breaks it: files, and what the message must say.
BROKEN = [
    (rules.unknown_rooms, {"magic/_x.py": ""}, "'magic' has no floor"),
    (rules.unknown_rooms, {"magic.py": ""}, "'magic' has no floor"),
    (rules.floors, {"cells/_x.py": "from pkg.neurons import LIF", "neurons/__init__.py": ""}, "which is above"),
    (rules.floors, {"neurons/_x.py": "def f():\n    from pkg.layers._y import Z"}, "_x.py:2: .* which is above"),
    (rules.floors, {"cells/_x.py": "if TYPE_CHECKING:\n    import pkg.train"}, "which is above"),
    (rules.floors, {"cells/_x.py": "from ..train import fit", "train/__init__.py": ""}, "which is above"),
    (rules.floors, {"cells/_x.py": "from .. import train", "train/__init__.py": ""}, "which is above"),
    (rules.floors, {"losses/_x.py": "from pkg.metrics._y import z"}, "of the same floor"),
    (rules.floors, {"data/_x.py": "from pkg.neurons._y import z"}, "none of its business"),
    (rules.floors, {"losses/_x.py": "from pkg.simulation import simulate"}, "none of its business"),
    (rules.floors, {"train/_x.py": "import pkg"}, "the package's top"),
    (rules.floors, {"train/_x.py": "from pkg.magic import wand"}, "no floor"),
    (rules.cycles, {"cells/_x.py": "import pkg.cells._y", "cells/_y.py": "from pkg.cells import _x"}, "in a circle"),
    (
        rules.cycles,
        {"cells/__init__.py": "from pkg.cells._x import X", "cells/_x.py": "import pkg.cells"},
        "not from the room",
    ),
    (
        rules.cycles,
        {
            "cells/_x.py": "import pkg.inputs._x",
            "cells/_y.py": "",
            "inputs/_x.py": "",
            "inputs/_y.py": "import pkg.cells._y",
        },
        "rooms import each other",
    ),
    (rules.heavy_imports, {"plot/_x.py": "import matplotlib.pyplot as plt"}, "imports matplotlib at module level"),
    (
        rules.heavy_imports,
        {"train/_x.py": "try:\n    from tensorboardX import Y\nexcept ImportError: ..."},
        "tensorboardX",
    ),
    (rules.heavy_imports, {"nir/_x.py": "class A:\n    import nir"}, "imports nir at module level"),
    (rules.future_annotations, {"cells/_x.py": "from __future__ import annotations"}, "leave it out"),
    (rules.long_files, {"cells/_x.py": "\n" * 401}, "401 lines"),
    (rules.prints_and_asserts, {"cells/_x.py": "def f(x):\n    print(x)"}, "_x.py:2: print"),
    (rules.prints_and_asserts, {"cells/_x.py": "def f(x):\n    assert x"}, "_x.py:2: assert"),
    (rules.init_files, {"cells/__init__.py": '"""Doc."""\n__all__ = []\ndef f(): ...'}, "__init__.py:3: .* move this"),
    (rules.init_files, {"cells/__init__.py": '"""Doc."""\nfrom pkg.cells._x import X as X'}, "no __all__"),
    (rules.init_files, {"cells/__init__.py": "__all__ = []"}, "no docstring"),
    (rules.init_files, {"cells/__init__.py": '"""Doc."""\n__all__ = []\n__version__ = "1"'}, "move this"),
]

SOUND = {
    "__init__.py": '"""Doc."""\nfrom pkg.cells import X as X\n__all__ = ["X"]\n__version__ = "0.1.0"',
    "_errors.py": "import difflib",
    "_typing.py": "from pkg._errors import E",
    "cells/__init__.py": '"""Doc."""\nfrom pkg.cells._x import X as X\n__all__ = ["X"]',
    "cells/_x.py": "from pkg.cells import _y\nfrom pkg.inputs import Z\nimport jax.numpy as jnp",
    "cells/_y.py": "from pkg._checks import checked",
    "inputs/__init__.py": '"""Doc."""\n__all__ = []',
    "plot/_x.py": "if TYPE_CHECKING:\n    import matplotlib\ndef f():\n    import matplotlib",
    "nir/_x.py": "from pkg.cells import X\ndef f():\n    import nir",
    "cli/_x.py": "import pkg\ndef f():\n    print(pkg.__version__)",
    "__main__.py": "from pkg.cli._x import f",
}


def _package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder / "pkg"


@pytest.mark.parametrize(("rule", "files", "message"), BROKEN, ids=lambda v: getattr(v, "__name__", None))
def test_a_rule_of_source_can_fail(rule, files, message, tmp_path):
    problems = rule(_package(tmp_path, files))
    assert any(re.search(message, problem) for problem in problems), _report(problems)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_sound_package_passes(rule, tmp_path):
    assert rule(_package(tmp_path, SOUND)) == []


class AbstractRoot(eqx.Module):
    dt: eqx.AbstractVar[float]

    @abstractmethod
    def step(self): ...

    @default
    def stretch(self):
        return 1

    def final(self):
        return 2


class AbstractMiddle(AbstractRoot):
    @property
    def width(self):
        return 3


class Leaf(AbstractMiddle):
    dt: float

    def step(self):
        return 4

    def stretch(self):
        return 5


class SubclassesALeaf(Leaf):
    pass


class OverridesAMethod(AbstractRoot):
    dt: float

    def step(self): ...

    def final(self): ...


class OverridesAProperty(AbstractMiddle):
    dt: float

    @property
    def width(self): ...


class AbstractHolder(AbstractRoot):
    dt: float


class AddsAField(AbstractHolder):
    threshold: float = 1.0

    def step(self): ...


GOOD = [AbstractRoot, AbstractMiddle, Leaf]


@pytest.mark.parametrize(
    ("rule", "bad", "message"),
    [
        (names.concrete_bases, [SubclassesALeaf], "SubclassesALeaf subclasses Leaf, which is concrete"),
        (names.deep_classes, [SubclassesALeaf], "SubclassesALeaf is 3 levels below its root"),
        (names.overrides, [OverridesAMethod], "OverridesAMethod.final overrides AbstractRoot.final"),
        (names.overrides, [OverridesAProperty], "OverridesAProperty.width overrides AbstractMiddle.width"),
        (names.scattered_fields, [AbstractHolder, AddsAField], "threshold; AbstractHolder: dt"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_a_rule_of_classes_can_fail(rule, bad, message):
    assert rule(GOOD) == []
    (problem,) = rule([*GOOD, *bad])
    assert message in problem
    assert "test_architecture.py" in problem


def test_a_rule_of_names_can_fail(tmp_path, monkeypatch):
    _package(
        tmp_path,
        {
            "__init__.py": "'`pkg.losses`'\nfrom pkg.cells import X\nfrom pkg import plot\n__all__ = ['X', 'X', 'gone', 'plot']",
            "cells/__init__.py": '"""Cells."""\nfrom pkg.cells._x import X, hidden\n__all__ = ["X", "hidden"]',
            "cells/_x.py": """
                import equinox as eqx
                class X(eqx.Module):
                    tau: float
                def hidden():
                    "Documented, but nobody finds it."
                """,
            "cli/__init__.py": '"""The command line."""\n__all__ = []',
            "losses/__init__.py": "'Losses.'\nfrom pkg.cells._x import hidden as loss\n__all__ = ['loss']",
            "plot/__init__.py": "from pkg.cells._x import hidden as raster\n__all__ = ['raster']",
            "train/__init__.py": "",
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        problems = names.exports(importlib.import_module("pkg"))
        assert names.eqx_classes(sys.modules["pkg"]) == [sys.modules["pkg"].X]
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "pkg"]:
            del sys.modules[name]
    assert sorted(problems) == sorted(
        [
            "pkg/__init__.py: __all__ lists X twice.",
            *["pkg/__init__.py: X has no docstring; say what it is, with its equation and shapes."] * 2,
            "pkg/__init__.py: __all__ lists gone, which is not there; import it or take it off.",
            "pkg/__init__.py: plot has no docstring; say what it is, with its equation and shapes.",
            "pkg/cells/__init__.py: X has no docstring; say what it is, with its equation and shapes.",
            "pkg/cells/__init__.py: hidden is not found from the top; hand on it or cells, or document cells.",
            "pkg/train/__init__.py: no __all__; list the names that it hands on.",
        ]
    )
