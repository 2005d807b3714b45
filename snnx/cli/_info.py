"""`snnx info`."""

import argparse
import importlib.metadata
import importlib.util
import platform

import jax

import snnx

EXTRAS = {
    "plot": ("matplotlib",),
    "data": ("tonic", "h5py", "soundfile"),
    "evo": ("evosax", "gymnax"),
    "brax": ("brax", "mujoco"),
    "notebooks": ("nbclient", "nbformat"),
}


def main(args: argparse.Namespace, started: float) -> None:
    """Versions, devices, extras."""
    print(f"snnx {snnx.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in ("jax", "jaxlib", "equinox", "optax", "jaxtyping", "beartype", "nir", "numpy"):
        print(f"  {name:10} {importlib.metadata.version(name)}")
    print("devices")
    for device in jax.devices():
        print(f"  {device.platform}:{device.id} {device.device_kind}")
    print("extras")
    for extra, packages in EXTRAS.items():
        missing = [p for p in packages if importlib.util.find_spec(p) is None]
        print(f"  {extra:10} " + ("missing " + ", ".join(missing) if missing else "installed"), end="")
        print(f": pip install 'snnx[{extra}]' (in a clone: pip install '.[{extra}]')" if missing else "")
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    print(f"compiled programs are kept in {cache}")
