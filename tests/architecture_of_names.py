"""The rules on classes and exported names, as functions that list what breaks them in an imported package."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from types import ModuleType
from typing import Any, ClassVar, get_origin

import equinox as eqx

HANDED_ON_BY_NOBODY = {"cli"}  # reached by the console script
MAX_DEPTH = 2
COOPERATIVE = {"__init__", "__check_init__", "__init_subclass__"}  # each class has its own: equinox runs, or makes, it


def all_modules(package: ModuleType) -> list[ModuleType]:
    """The package and everything in it, imported."""

    def fail(name: str) -> None:
        raise ImportError(f"{name} cannot be imported.")

    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=fail)
    return [package, *(importlib.import_module(f.name) for f in found if not f.name.endswith("__main__"))]


def eqx_classes(package: ModuleType) -> list[type]:
    """Every `eqx.Module` class that the package defines."""
    return sorted(
        {
            value
            for module in all_modules(package)
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, eqx.Module) and value.__module__ == module.__name__
        },
        key=lambda cls: (cls.__module__, cls.__qualname__),
    )


def _where(cls: type) -> str:
    return f"{cls.__module__.replace('.', '/')}.py: {cls.__qualname__}"


def is_abstract(cls: Any) -> bool:
    named = cls.__name__.lstrip("_").startswith("Abstract")
    return named or inspect.isabstract(cls) or bool(cls.__abstractvars__ or cls.__abstractclassvars__)


def concrete_bases(classes: Iterable[type]) -> list[str]:
    """Abstract or final: nobody subclasses a concrete class."""
    ours = set(classes)
    return [
        f"{_where(cls)} subclasses {base.__qualname__}, which is concrete;"
        " hold one as a field, or split off its abstract part."
        for cls in classes
        for base in cls.__bases__
        if base in ours and not is_abstract(base)
    ]


def _is_method(value: Any) -> bool:
    return (
        inspect.isroutine(value)
        or isinstance(value, property | classmethod | staticmethod)
        or hasattr(value, "__wrapped__")
    )


def _is_default(value: Any) -> bool:
    inner = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
    return getattr(value, "__snnx_default__", False) or getattr(inner, "__snnx_default__", False)


def overrides(classes: Iterable[type]) -> list[str]:
    """A concrete method is final, unless it is marked `@default`."""
    problems, ours = [], set(classes)
    for cls in classes:
        for name, value in vars(cls).items():
            base = next((b for b in cls.__mro__[1:] if b in ours and name in vars(b)), None)
            if base is None or name in COOPERATIVE or not _is_method(value):
                continue
            method = vars(base)[name]
            if value is method:  # dataclasses give every class the same __replace__
                continue
            if _is_method(method) and not getattr(method, "__isabstractmethod__", False) and not _is_default(method):
                problems.append(
                    f"{_where(cls)}.{name} overrides {base.__qualname__}.{name}, which is concrete;"
                    f" make that one abstract, or mark it @default (snnx/_typing.py) if any subclass may replace it."
                )
    return problems


def deep_classes(classes: Iterable[type]) -> list[str]:
    """At most two levels of inheritance below a root, the class that derives from `eqx.Module` itself."""
    ours = set(classes)

    def depth(cls: type) -> int:
        return max((1 + depth(base) for base in cls.__bases__ if base in ours), default=0)

    return [
        f"{_where(cls)} is {depth(cls)} levels below its root ({MAX_DEPTH} allowed): "
        + " < ".join(b.__qualname__ for b in cls.__mro__ if b in ours)
        + "; compose instead."
        for cls in classes
        if depth(cls) > MAX_DEPTH
    ]


def _own_fields(cls: Any) -> list[str]:
    abstract = {*cls.__abstractvars__, *cls.__abstractclassvars__}
    return [
        name
        for name, hint in inspect.get_annotations(cls).items()
        if name in cls.__dataclass_fields__ and name not in abstract and get_origin(hint) is not ClassVar
    ]


def scattered_fields(classes: Iterable[type]) -> list[str]:
    """The fields of a class stand in one class, so that what it holds is read in one place."""
    problems, ours = [], set(classes)
    for cls in classes:
        holders = {b.__qualname__: fields for b in cls.__mro__ if b in ours and (fields := _own_fields(b))}
        if len(holders) > 1:
            listed = "; ".join(f"{name}: {', '.join(fields)}" for name, fields in holders.items())
            problems.append(
                f"{_where(cls)} has fields from {len(holders)} classes ({listed});"
                " declare them eqx.AbstractVar in the base and define them in the final class."
            )
    return problems


def _has_docstring(value: Any) -> bool:
    doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    made_by_dataclass = inspect.isclass(value) and (doc or "").startswith(f"{value.__name__}(")
    return bool((doc or "").strip()) and not made_by_dataclass


def _needs_docstring(value: Any, package: str) -> bool:
    """Modules, and the package's own classes and functions; constants and type aliases cannot carry one."""
    if inspect.ismodule(value):
        return True
    made_here = (getattr(value, "__module__", None) or "").split(".")[0] == package
    return made_here and (inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "__wrapped__"))


def exports(package: ModuleType) -> list[str]:
    """Every public name is there, has a docstring, and is found from the package's top.

    Found: the top lists it, or lists its room, or names its room in the docstring (`pkg.plot`, imported when asked for).
    """
    problems = []
    public = {package.__name__: package}
    for found in pkgutil.iter_modules(package.__path__):
        if found.ispkg and not found.name.startswith("_"):
            public[found.name] = importlib.import_module(f"{package.__name__}.{found.name}")
    top = set(getattr(package, "__all__", ()))
    for short, module in public.items():
        file = f"{module.__name__.replace('.', '/')}/__init__.py"
        named = f"`{package.__name__}.{short}`" in (package.__doc__ or "")
        found_room = named or short in top or short in HANDED_ON_BY_NOBODY
        names = getattr(module, "__all__", None)
        if names is None:
            problems.append(f"{file}: no __all__; list the names that it hands on.")
            continue
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            problems.append(f"{file}: __all__ lists {', '.join(doubled)} twice.")
        for name in names:
            if not hasattr(module, name):
                problems.append(f"{file}: __all__ lists {name}, which is not there; import it or take it off.")
                continue
            value = getattr(module, name)
            if _needs_docstring(value, package.__name__) and not _has_docstring(value):
                problems.append(f"{file}: {name} has no docstring; say what it is, with its equation and shapes.")
            if not found_room and name not in top:
                problems.append(
                    f"{file}: {name} is not found from the top; hand on it or {short}, or document {short}."
                )
    return problems


RULES_OF_CLASSES = (concrete_bases, overrides, deep_classes, scattered_fields)
