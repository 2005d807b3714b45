"""What a run of the suite leaves behind: JSON, a table, and a bar chart for each workload."""

import json
import os
import pathlib
import platform
import time
from typing import Any

COLUMNS = (
    "peer",
    "median",
    "min",
    "p90",
    "processor time",
    "first call",
    "temporaries",
    "peak memory",
    "of the naive scan",
    "of snnx",
)

# The columns of the README's table: of each the fastest that ran.
COMPARED = {
    "snnx": ("snnx", "snnx_bits", "snnx_lists"),
    "snnx, all cores": ("snnx_cores", "snnx_lists_cores"),
    "naive scan": ("naive_jax", "naive_jax_call"),
    "naive scan, all cores": ("naive_jax_cores",),
    "Spyx": ("spyx", "spyx_compile_fit"),
    "snnTorch": ("snntorch", "snntorch_compile"),
    "Norse": ("norse",),
    "SpikingJelly": ("spikingjelly_m", "spikingjelly_s"),
    "Sinabs": ("sinabs",),
    "PyTorch by hand": ("naive_torch",),
}


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cpu = platform.processor()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d"),
    }


def write(folder: pathlib.Path, run: dict[str, Any]) -> list[pathlib.Path]:
    """Write all of a run into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "results.json", folder / "results.md"]
    files[0].write_text(json.dumps(run, indent=1) + "\n")
    files[1].write_text(as_markdown(run))
    for name, found in run["workloads"].items():
        if any("median_ms" in peer for peer in found["peers"].values()):
            files.append(folder / f"{name}.png")
            draw(files[-1], name, found)
    return files


def as_markdown(run: dict[str, Any]) -> str:
    """Every workload as a table, fastest first; then who failed, and what is not equal."""
    on = run["machine"]
    lines = [
        "# Results",
        "",
        f"{on['cpu']}, {on['cores']} cores, {on['date']}, load {on['load']:.2f} before; `{run['command']}`.",
    ]
    if run["quick"]:
        lines += ["", "**Quick: at these sizes the times say nothing.**"]
    for name, found in run["workloads"].items():
        lines += ["", f"## {name}: {found['about']}", ""]
        drift = f"the naive scan at the end of a round took {found['drift']:.2f} of its time at the start"
        lines += [f"Milliseconds per {found['unit']}, {found['rounds']} rounds; {drift}."]
        lines += ["", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        timed = {peer: f for peer, f in found["peers"].items() if "median_ms" in f}
        for peer, f in sorted(timed.items(), key=lambda item: item[1]["median_ms"]):
            lines.append("| " + " | ".join(_row(peer, f)) + " |")
        notes = [f"- {peer}: {f['note']}." for peer, f in timed.items() if f.get("note")]
        notes += [f"- **{peer} did not run**: {f['error']}" for peer, f in found["peers"].items() if "error" in f]
        lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"


def as_readme(run: dict[str, Any]) -> str:
    """One row a workload: milliseconds, of each column the fastest variant."""
    lines = ["| ms | " + " | ".join(COMPARED) + " |", "|---" * (1 + len(COMPARED)) + "|"]
    for name, found in run["workloads"].items():
        medians = {peer: f["median_ms"] for peer, f in found["peers"].items() if "median_ms" in f}
        best = [min((medians[v] for v in variants if v in medians), default=None) for variants in COMPARED.values()]
        cells = ["" if ms is None else f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}" for ms in best]
        cells = [f"**{cell}**" if ms == min(medians.values()) else cell for ms, cell in zip(best, cells, strict=True)]
        lines.append(f"| {name}: {found['about']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _row(peer: str, f: dict[str, Any]) -> list[str]:
    temporaries = "" if f.get("temporaries_mb") is None else f"{f['temporaries_mb']:.1f} MB"
    times = [f"{f[name]:.4g}" for name in ("median_ms", "min_ms", "p90_ms", "cpu_ms")]
    ratio = f"{f['times_snnx']:.2f}" if "times_snnx" in f else ""
    peak = f"{f['peak_rss_mb']:.0f} MB" if "peak_rss_mb" in f else ""
    return [peer, *times, f"{f['first_call_s']:.1f} s", temporaries, peak, f"{f['of_reference']:.2f}", ratio]


def draw(path: pathlib.Path, name: str, found: dict[str, Any]) -> None:
    """Bars of the medians, with the fastest round marked."""
    from matplotlib.figure import Figure

    timed = sorted(
        ((f["median_ms"], f["min_ms"], peer) for peer, f in found["peers"].items() if "median_ms" in f), reverse=True
    )
    figure = Figure(figsize=(8.0, 1.4 + 0.32 * len(timed)), layout="constrained")
    ax = figure.add_subplot()
    colors = ["#1f5f9f" if peer.startswith("snnx") else "#b9c2cc" for *_, peer in timed]
    places = range(len(timed))
    ax.barh(places, [median for median, *_ in timed], color=colors)
    ax.plot([fastest for _, fastest, _ in timed], places, "|", color="black", markersize=8, label="fastest round")
    longest = timed[0][0]
    for place, (median, _, _) in zip(places, timed, strict=True):
        ax.text(median + 0.01 * longest, place, f"{median:.3g}", va="center", fontsize=8)
    ax.set_yticks(places, [peer for *_, peer in timed])
    ax.set_xlim(0, 1.1 * longest)
    ax.set_xlabel(f"ms per {found['unit']}, median of the rounds")
    ax.set_title(f"{name}: {found['about']}", fontsize=10)
    ax.legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=110)
