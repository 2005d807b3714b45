"""The rules of the package's structure, as functions that list what breaks them: a sentence each, file and line first.

`root` is a package's folder (`snnx/`, or a made-up one in the tests of the rules themselves). These rules read source
only; those on classes and exported names look at the imported package, see architecture_of_names.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FLOORS = {
    0: ("_typing", "_checks", "_readers", "_memory", "_errors", "_files", "_jitted", "_text", "_varying", "_version"),
    1: ("parameters", "surrogates", "reductions", "inputs", "cells"),
    2: ("neurons",),
    3: ("layers",),
    4: ("simulation",),
    5: ("encoding", "audio", "augment", "losses", "metrics", "data", "solvers"),
    6: ("train", "event", "nir", "control", "neurobench", "plot"),
    7: ("cli", "__main__"),
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
SIDEWAYS = {0, 1, 7}  # floors whose rooms may import each other, as long as there is no cycle
NEVER = {5: {2, 3, 4}}  # floors that are lower, and yet no business of this one: data knows no networks
EXCEPTIONS = {
    ("data", "encoding"),
    ("data", "audio"),
    ("audio", "encoding"),
}  # (from, to) on one floor: data come encoded
MAY_IMPORT_THE_TOP = {7}
MAY_PRINT = {"cli", "__main__"}
HEAVY = {"tonic", "h5py", "aedat", "soundfile", "librosa", "grain", "matplotlib", "evosax", "gymnax", "brax", "nir"} | {
    "sklearn",
    "rich",
}
MAX_LINES = 400


class Import(NamedTuple):
    target: str  # the module, in full
    line: int
    when: str  # "import" (of the importing module), "call" (inside a function), or "typing" (under TYPE_CHECKING)


def modules(root: Path) -> dict[str, Path]:
    """Every module under `root`, by its full name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _where(root: Path, path: Path, line: int = 1) -> str:
    return f"{path.relative_to(root.parent).as_posix()}:{line}"


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """All imports of the module, wherever they stand. `from a import b` means `a.b` if that is a module."""

    def targets(node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        above = package[: len(package) - node.level + 1] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        named = [f"{source}.{alias.name}" for alias in node.names]
        return sorted({target if target in known else source for target in named})

    def visit(node: ast.AST, when: str) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in targets(node):
                yield Import(target, node.lineno, when)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            when = "call"
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from visit(child, "typing")
            for child in node.orelse:
                yield from visit(child, when)
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child, when)

    yield from visit(_parse(path), "import")


def _room(module: str) -> str:
    """`cells` for `pkg.cells._cell`, `` for the package's own `__init__`."""
    return module.split(".")[1] if "." in module else ""


def unknown_rooms(root: Path) -> list[str]:
    rooms = {_room(name): path for name, path in modules(root).items()}
    return [
        f"{_where(root, path)}: {room!r} has no floor; name it in FLOORS of tests/architecture.py."
        for room, path in rooms.items()
        if room and room not in FLOOR_OF
    ]


def floors(root: Path) -> list[str]:
    """A module imports from lower floors or from its own room."""
    problems, known = [], modules(root)
    for name, path in known.items():
        room = _room(name)
        if room not in FLOOR_OF:  # the package's own __init__ may import everything; unknown_rooms has the others
            continue
        floor = FLOOR_OF[room]
        for target, line, _ in imports(name, path, known):
            if target.split(".")[0] != root.name or _room(target) == room:
                continue
            other, start = _room(target), f"{_where(root, path, line)}: {room!r} (floor {floor}) imports"
            if other == "":
                if floor not in MAY_IMPORT_THE_TOP:
                    problems.append(f"{start} the package's top; import from the room that has the name.")
                continue
            height = FLOOR_OF.get(other)
            if height is None:
                problems.append(f"{start} {target}, which has no floor; name it in FLOORS of tests/architecture.py.")
            elif height > floor:
                problems.append(f"{start} {other!r} (floor {height}), which is above; pass it in, or move the code.")
            elif height == floor and floor not in SIDEWAYS and (room, other) not in EXCEPTIONS:
                problems.append(f"{start} {other!r} of the same floor; move what both need to a lower one.")
            elif height in NEVER.get(floor, ()):
                problems.append(f"{start} {other!r} (floor {height}), which is none of its business; take arrays.")
    return problems


def _cycle(graph: dict[str, set[str]]) -> list[str]:
    """Nodes of one cycle, the first repeated at the end; empty if there is none."""
    done: set[str] = set()

    def walk(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node not in done:
            for after in sorted(graph.get(node, ())):
                if cycle := walk(after, [*trail, node]):
                    return cycle
            done.add(node)
        return []

    return next((cycle for node in sorted(graph) if (cycle := walk(node, []))), [])


def cycles(root: Path) -> list[str]:
    """No cycle, neither of modules nor of rooms, imports inside functions and for typing included."""
    known = modules(root)
    by_module = {name: {i.target for i in imports(name, path, known)} & known.keys() for name, path in known.items()}
    by_room: dict[str, set[str]] = {}
    for name, targets in by_module.items():
        by_room.setdefault(_room(name), set()).update({_room(target) for target in targets} - {_room(name)})
    problems = []
    if cycle := _cycle(by_module):
        path = _where(root, known[cycle[0]])
        hint = "inside a room, import from the file that has the name, not from the room"
        problems.append(f"{path}: modules import each other in a circle: {' -> '.join(cycle)}; {hint}.")
    if cycle := _cycle(by_room):
        names = " -> ".join(room or "__init__" for room in cycle)
        problems.append(f"{root.name}/{cycle[0]}: rooms import each other in a circle: {names}; move what both need.")
    return problems


def heavy_imports(root: Path) -> list[str]:
    """What only one room needs, and is slow to import or optional, is imported when it is called for."""
    problems, known = [], modules(root)
    for name, path in known.items():
        for target, line, when in imports(name, path, known):
            top = target.split(".")[0]
            if when == "import" and (top in HEAVY or top.startswith("tensorboard")):
                problems.append(f"{_where(root, path, line)}: imports {top} at module level; do it in the functions.")
    return problems


def future_annotations(root: Path) -> list[str]:
    return [
        f"{_where(root, path, node.lineno)}: from __future__ import annotations silences field checks; leave it out."
        for path in modules(root).values()
        for node in ast.walk(_parse(path))
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if any(alias.name == "annotations" for alias in node.names)
    ]


def long_files(root: Path) -> list[str]:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(root).values()}
    return [
        f"{_where(root, path)}: {length} lines; past {MAX_LINES} a file has two concepts: split it."
        for path, length in lengths.items()
        if length > MAX_LINES
    ]


def prints_and_asserts(root: Path) -> list[str]:
    problems = []
    for name, path in modules(root).items():
        for node in ast.walk(_parse(path)) if _room(name) not in MAY_PRINT else ():
            if isinstance(node, ast.Assert):
                problems.append(f"{_where(root, path, node.lineno)}: assert; raise an error that says what to do.")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                problems.append(f"{_where(root, path, node.lineno)}: print; use warnings or logging, or return it.")
    return problems


def init_files(root: Path) -> list[str]:
    """A room's `__init__.py` holds a docstring, imports and `__all__`.

    `__all__` is the public part of what it hands on, perhaps without helpers that only other rooms need.
    """
    problems = []
    for name, path in modules(root).items():
        if path.name != "__init__.py" or _room(name) == "":
            continue  # the package's own loads its names when they are used; a test of its own looks at it
        listed: list[str] | None = None
        tree = _parse(path)
        if not ast.get_docstring(tree):
            problems.append(f"{_where(root, path)}: no docstring; say in a sentence what the room is for.")
        for node in tree.body:
            assigned = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
            if isinstance(node, ast.Assign) and assigned == "__all__":
                listed = ast.literal_eval(node.value)
            elif not (
                isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)
                and (node is tree.body[0] or not isinstance(node, ast.Expr))
            ):
                problems.append(f"{_where(root, path, node.lineno)}: an __init__ only hands on; move this to a file.")
        if listed is None:
            problems.append(f"{_where(root, path)}: no __all__; list the names that it hands on.")
    return problems


RULES = (
    unknown_rooms,
    floors,
    cycles,
    heavy_imports,
    future_annotations,
    long_files,
    prints_and_asserts,
    init_files,
)
