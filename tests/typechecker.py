"""The checker of the package's annotations in tests: beartype, once the function has returned.

jaxtyping's hook calls a checker twice: before the function with its arguments, and after it with arguments and result.
Here only the second counts. A function, or a module's `__check_init__`, that refuses a wrong argument with its own
sentence is thus heard, and one that takes it without a word is caught.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # as in PEP 484, an int is a float


def after_return(stand_in: Callable) -> Callable:
    """Check `stand_in`, jaxtyping's empty copy of a function, if it is the copy that takes the result as well."""
    keywords = [p.name for p in inspect.signature(stand_in).parameters.values() if p.kind is p.KEYWORD_ONLY]
    takes_result = any(name.startswith("ret") and name.removeprefix("ret").isdigit() for name in keywords)
    if not takes_result:
        return stand_in
    checked = _beartype(stand_in)
    return _unless_refused(checked) if stand_in.__name__ == "__init__" else checked


def _unless_refused(init: Callable) -> Callable:
    """Equinox runs `__check_init__` after `__init__`; where it is about to refuse these fields, it has the word."""

    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except Exception:
            for cls in type(self).__mro__:
                try:
                    vars(cls).get("__check_init__", lambda _: None)(self)
                except Exception:
                    return
            raise

    return wrapper
