from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


def track(items: Iterable[_Item], what: str, total: int, shown: bool) -> Iterator[_Item]:
    """Go through the items, with a bar on a terminal that shows how many are done, and how long the rest will take."""
    if not shown:
        yield from items
        return
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    yield from rich.progress.track(items, what, total=total, console=console, transient=True)
