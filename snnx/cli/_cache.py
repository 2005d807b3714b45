"""JAX's persistent compilation cache, on for the command line: a second run finds its programs compiled."""

import os
import pathlib

import jax


def use_compilation_cache() -> pathlib.Path:
    """Switch the cache on, in `JAX_COMPILATION_CACHE_DIR` or the user's cache folder; returns the folder."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    path = pathlib.Path(folder) if folder else pathlib.Path(home) / "snnx" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(path))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return path
