"""What every test runs under: CPU, no silent broadcasting across ranks, no leaked x64, annotations checked."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# Set before JAX is imported, and in the environment, so that the programs that tests start inherit it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Most of the suite's time is XLA compiling: twice as fast without its optimisation and its newer emitters of loops, which
# jaxlib 0.10 can do without. `XLA_FLAGS= pytest` runs it as programs are run otherwise, and so does a newer jaxlib.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook


def _user_cache_dir() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


# The second run finds the programs on disk. JAX's own key for an entry covers program, flags and versions.
# SNNX_TEST_CACHE=0 leaves it out.
_CACHE = _user_cache_dir() / "snnx-tests" / f"jax-{jax.__version__}-{platform.machine()}"
_CACHE_DAYS = 14
if os.environ.get("SNNX_TEST_CACHE") != "0":
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update(
        "jax_persistent_cache_min_compile_time_secs",
        float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]),
    )

jax.config.update("jax_numpy_rank_promotion", "raise")

# All annotations of the package are checked, not only those of the public boundary; see typechecker.py. The hook is
# installed here because pytest-xdist's workers never see --jaxtyping-packages in addopts. SNNX_TEST_TYPES=0: not.
if os.environ.get("SNNX_TEST_TYPES") != "0":
    install_import_hook("snnx", "typechecker.after_return")

settings.register_profile("snnx", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("snnx")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget compiled programs of long ago (in the process that starts the workers)."""
    if not hasattr(session.config, "workerinput") and _CACHE.is_dir():
        for entry in _CACHE.iterdir():
            if time.time() - entry.stat().st_mtime > _CACHE_DAYS * 86400:
                entry.unlink(missing_ok=True)


@pytest.fixture(autouse=True, scope="module")
def _programs_are_forgotten() -> Iterator[None]:
    """Let go of a file's compiled programs, without which a worker grows to several GB; the disk still has them."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def _x64_is_restored() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    yield
    after = jax.config.jax_enable_x64
    if after != before:
        jax.config.update("jax_enable_x64", before)
        pytest.fail(f"the test left jax_enable_x64 at {after}; use the fixture x64, or `with jax.enable_x64(True):`")


@pytest.fixture
def x64() -> Iterator[None]:
    """Run the test in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def cache_settings() -> Iterator[None]:
    """The command line switches JAX's cache of compiled programs on; the session's own settings are restored."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def ranks_are_promoted() -> Iterator[None]:
    """What is solved in continuous time broadcasts `[size]` to `[events, size]`."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def nir_registers() -> Iterator[None]:
    """The kinds of NIR nodes and the exports that a test registers are gone after it."""
    from snnx.nir import _export, _kind

    registers = (_kind.KINDS, _export.EXPORTS)
    before = [dict(register) for register in registers]
    yield
    for register, old in zip(registers, before, strict=True):
        register.clear()
        register.update(old)
