"""The benchmark suite: its peers of this environment do the work that NumPy says, and those that do other work are found."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import report, runner, sweeps
from benchmarks.peers import PEERS, naive_jax, snnx_peer
from benchmarks.workloads import BETA, apply, batch_of, draw, fire, pool, workloads

QUICK = workloads(quick=True)


def by_hand(work, data):
    """Loss of the first batch and the layers' rates, in NumPy."""
    xs, labels = batch_of(work, data, 0, time_axis=0)
    rates = []
    for i, layer in enumerate(work.layers):
        currents = apply(data[f"w{i}"], xs)
        if layer.fires:
            xs = fire(currents, data.get(f"f{i}"))
            rates.append(xs.mean())
            xs = pool(xs) if layer.pool else xs
        else:
            v = np.zeros_like(currents[0])
            xs = np.stack([v := np.float32(BETA) * v + current for current in currents])
    logits = xs.mean(axis=0, dtype=np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -log_probabilities[np.arange(len(labels)), labels].mean(), rates


@pytest.mark.slow
@pytest.mark.parametrize("name", ["W1", "W2", "W3-1024", "W4"])
def test_the_peers_do_the_work_that_numpy_does(name):
    work = QUICK[name]
    data = draw(work)
    loss, rates = by_hand(work, data)
    found = {}
    for peer in ("naive_jax", "snnx"):
        module = pytest.importorskip(f"benchmarks.peers.{PEERS[peer].module}")
        job = module.build(work, data, "")
        found[peer] = job.check()
        assert found[peer][0] == pytest.approx(loss, rel=2e-3)
        assert found[peer][1] == pytest.approx(rates, rel=1e-2)
    assert all(0.005 < rate < 0.4 for rate in rates)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variants"), [("W1", ("", "bits", "lists")), ("W5", ("",)), ("W6", ("bits", "lists"))]
)
def test_variants_do_the_work_of_the_naive_scan(name, variants):
    work = QUICK[name]
    data = draw(work)
    found = [naive_jax.build(work, data, "")]
    found += [snnx_peer.build(work, data, variant) for variant in variants]
    (loss, rates), *others = [job.check() for job in found]
    assert all(0.005 < rate < 0.4 for rate in rates)
    for other, other_rates in others:
        assert other == pytest.approx(loss, rel=2e-3)
        assert other_rates == pytest.approx(rates, rel=1e-2)
    backward, *others = [job.run() for job in found]
    assert others == pytest.approx([backward] * len(others), rel=2e-2)


def test_the_names_of_the_workloads_are_those_of_the_sizes():
    assert list(workloads()) == list(QUICK)
    assert workloads()["W1"].layers[0].weight == (64, 128)
    assert workloads()["W4"].shapes == ((12, 30, 30), (32, 11, 11), (10,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": 2.01}, r"does other work: loss is 2.01, but the reference's is 2"),
        ({"backward": 0.6}, r"does other work: backward is 0.6, but the reference's is 0.5"),
        ({"rates": [0.1, 0.3]}, r"does other work: rate of layer 1 is 0.3, but the reference's is 0.2"),
        ({"rates": [0.1]}, r"1 spiking layers, but the reference has 2"),
    ],
)
def test_other_work_is_found(change, message):
    reference = {"loss": 2.0, "backward": 0.5, "rates": [0.1, 0.2]}
    runner.differences(reference, reference, 2e-3)
    with pytest.raises(runner.Failure, match=message):
        runner.differences(reference | change, reference, 2e-3)
    with pytest.raises(runner.Failure, match=r"\breference\b"):
        runner.differences(reference, {"error": "x"}, 2e-3)


@pytest.mark.slow
def test_a_quick_run_measures_compares_and_reports(tmp_path):
    said = []
    results = runner.run(
        QUICK["W1"], ["naive_jax", "snnx", "snnx_lists_cores"], rounds=2, quick=True, timeout=300.0, say=said.append
    )
    for found in results["peers"].values():
        assert "error" not in found
        assert 0 < found["min_ms"] <= found["median_ms"] <= found["p90_ms"]
        assert found["peak_rss_mb"] > 50
    run = {
        "command": "x",
        "machine": report.machine(),
        "quick": True,
        "workloads": {"W1": results},
    }
    names = {path.name for path in report.write(tmp_path, run)}
    assert names == {"results.json", "results.md", "W1.png"}
    text = (tmp_path / "results.md").read_text()
    assert "| naive_jax |" in text
    assert "| snnx |" in text
    assert "the times say nothing" in text


def test_a_slope_is_that_of_the_upper_half():
    assert sweeps.slope((1, 2, 4, 8, 16, 32), [5.0, 5.0, 5.0, 1.0, 4.0, 16.0]) == pytest.approx(2.0)
    assert sweeps.slope((8, 16), [1.0, 2.0]) == pytest.approx(1.0)


@pytest.mark.slow
def test_the_sweeps_measure_and_report(tmp_path):
    command = [sys.executable, "-m", "benchmarks.sweeps", "--quick", "--rounds", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "sweeps.json").read_text())
    assert set(run["sweeps"]) == {"steps", "width", "batch", "depth"}
    assert all(ms > 0 for found in run["sweeps"].values() for ms in found["snnx"]["median_ms"])
    assert set(run["memory"]) == {"sizes", *sweeps.WAYS}
    assert (tmp_path / "sweeps.md").read_text() == done.stdout.rstrip("\n") + "\n"
    assert (tmp_path / "sweeps.png").stat().st_size > 10_000


def test_the_readme_shows_the_stored_run():
    root = Path(__file__).parents[1]
    run = json.loads((root / "benchmarks" / "results" / "results.json").read_text())
    assert report.as_readme(run) in (root / "README.md").read_text()
    assert report.as_markdown(run) == (root / "benchmarks" / "results" / "results.md").read_text()


def test_the_readme_table_takes_the_fastest_variant_and_leaves_out_who_failed():
    peers = {
        "snnx": {"median_ms": 3.0},
        "snnx_lists": {"median_ms": 2.0},
        "spyx": {"median_ms": 4.0, "x": 1},
        "norse": {"error": "e"},
    }
    table = report.as_readme({"workloads": {"W": {"about": "what", "peers": peers}}})
    assert table.splitlines()[-1] == "| W: what | **2** |  |  |  | 4 |  |  |  |  |  |"
