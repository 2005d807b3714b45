"""The interpreters that run the peers: this one, and two virtual environments that are made when they are needed.

Environment variables:

- `SNNX_BENCH_TORCH_PYTHON`, `SNNX_BENCH_SPYX_PYTHON`: an interpreter that has the peers already; nothing is installed.
- `SNNX_BENCH_TORCH_INDEX`: the address of the package index that PyTorch's CPU build comes from, where pip's own has
  CUDA builds.
- `SNNX_BENCH_FOLDER`: where the environments are made; by default `.benchmarks` beside the package.
"""

import os
import pathlib
import subprocess
import sys

from benchmarks.peers import Environment

HERE = pathlib.Path(__file__).parent
DONE = "complete"  # a file in an environment that was made to its end


def python_of(environment: Environment) -> str:
    """The interpreter of an environment, which is made if it is not there.

    **Raises:** `RuntimeError` if it cannot be made; the message ends with what pip said last.
    """
    if environment == "jax":
        return sys.executable
    given = os.environ.get(f"SNNX_BENCH_{environment.upper()}_PYTHON")
    if given:
        return given
    folder = pathlib.Path(os.environ.get("SNNX_BENCH_FOLDER", HERE.parent / ".benchmarks")) / environment
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / DONE).exists():
        print(f"making {folder}: the peers of the environment {environment!r}", file=sys.stderr, flush=True)
        _call(sys.executable, "-m", "venv", "--clear", str(folder))
        for arguments in _installs(environment):
            _call(str(python), "-m", "pip", "install", "--quiet", *arguments)
        (folder / DONE).touch()
    return str(python)


def _installs(environment: Environment) -> list[list[str]]:
    """What pip is called with, one after the other."""

    def file(name: str) -> list[str]:
        return ["-r", str(HERE / "requirements" / name)]

    if environment == "spyx":
        return [file("spyx.txt")]
    index = os.environ.get("SNNX_BENCH_TORCH_INDEX")
    torch = ["--index-url", index] if index else []
    return [[*torch, *file("torch.txt")], file("torch_imports.txt"), ["--no-deps", *file("torch_peers.txt")]]


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise RuntimeError(f"{' '.join(command)} failed: {' / '.join(said)}")
