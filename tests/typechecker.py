"""The checker of the package's annotations in tests: beartype, once the function has returned.

jaxtyping's hook calls a checker twice: before the function with its arguments, and after it with arguments and result.
Here only the second counts. A function that refuses a wrong argument with its own sentence is thus heard, and one that
takes it without a word is caught.
"""

import inspect
from collections.abc import Callable

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # as in PEP 484, an int is a float


def after_return(stand_in: Callable) -> Callable:
    """Check `stand_in`, jaxtyping's empty copy of a function, if it is the copy that takes the result as well."""
    keywords = [p.name for p in inspect.signature(stand_in).parameters.values() if p.kind is p.KEYWORD_ONLY]
    takes_result = any(name.startswith("ret") and name.removeprefix("ret").isdigit() for name in keywords)
    return _beartype(stand_in) if takes_result else stand_in
