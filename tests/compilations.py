"""How often something is compiled: by XLA at all, and as a program of the trainers."""

import contextlib
from collections.abc import Iterator

import jax

from snnx.train import _programs

EVENT = "/jax/core/compile/backend_compile_duration"  # also where XLA's answer lies on disk


@contextlib.contextmanager
def compilations() -> Iterator[list[float]]:
    """The seconds of everything that is handed to XLA within."""
    found: list[float] = []

    def listen(event: str, seconds: float, **_: object) -> None:
        if event == EVENT:
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@contextlib.contextmanager
def programs(times: int) -> Iterator[None]:
    """So many programs are compiled within, rather than found."""
    before = _programs._compile.cache_info().misses
    yield
    assert _programs._compile.cache_info().misses - before == times
