"""Several devices: in a process of their own, as JAX has to be told of them before it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import snnx
from snnx.train import _devices


@pytest.mark.slow
def test_three_devices():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "tests/three_devices.py"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.slow
def test_use_cores_makes_devices_before_jax_starts():
    program = "import jax, snnx; print(snnx.use_cores(2), jax.device_count(), snnx.use_cores(2))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "2", "2"]


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_use_cores_refuses_what_is_no_number_of_devices(count, error):
    with pytest.raises(error, match=r"\bcount\b"):
        snnx.use_cores(count)


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)]
)
def test_a_containers_quota_counts(quota, cores, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(_devices, "CGROUP_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert _devices._usable_cores() == cores
    monkeypatch.setattr(_devices, "CGROUP_QUOTA", tmp_path / "none")
    assert _devices._usable_cores() == 8
