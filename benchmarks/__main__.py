"""The benchmark suite: snnx beside its peers, on the same work.

    python -m benchmarks --peers all --workloads all
    python -m benchmarks --peers snnx spyx --workloads W1 W1L --rounds 7
    python -m benchmarks --quick --peers snnx naive_jax      (does it run? the times say nothing)

Every peer runs in a process of its own; environments for Spyx and for the PyTorch libraries are made when they are first
needed (see benchmarks/README.md). Figures go to --out as JSON, Markdown and pictures. Keep the machine quiet meanwhile.
"""

import argparse
import json
import pathlib
import shlex
import sys
import time

from benchmarks import report, runner
from benchmarks.peers import PEERS
from benchmarks.workloads import workloads


def main() -> int:
    known = workloads()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", nargs="+", default=["all"], choices=["all", *PEERS], metavar="PEER")
    parser.add_argument("--workloads", nargs="+", default=["all"], choices=["all", *known], metavar="WORKLOAD")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of all peers in turn (default 5)")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds that a peer may take for an answer")
    parser.add_argument("--out", default=".benchmarks/results", help="folder for the figures (default %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep what --out has of other workloads")
    parser.add_argument("--quick", action="store_true", help="small sizes: that everything runs and computes the same")
    parser.add_argument("--list", action="store_true", help="list peers and workloads, and run nothing")
    args = parser.parse_args()
    if args.list:
        print("workloads", *(f"  {name:8} {work.about}" for name, work in known.items()), sep="\n")
        print("peers", *(f"  {name:18} in {peer.environment}" for name, peer in PEERS.items()), sep="\n")
        return 0
    if args.rounds < 1:
        parser.error(f"--rounds is {args.rounds}; expected at least 1")
    peers = list(PEERS) if "all" in args.peers else args.peers
    chosen = list(known) if "all" in args.workloads else args.workloads
    out = pathlib.Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        parser.error(f"--out: {out} cannot be written: {error.strerror}")
    before = json.loads((out / "results.json").read_text()) if args.keep and (out / "results.json").exists() else None
    if before is not None and before["quick"] != args.quick:
        parser.error(f"--keep: {out} holds a {'quick' if before['quick'] else 'full'} run; take another --out")
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    run = {
        "command": command if before is None else f"{before['command']}; {command}",
        "machine": report.machine(),
        "quick": args.quick,
        "workloads": {} if before is None else before["workloads"],
    }
    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - started:6.0f} s] {text}", file=sys.stderr, flush=True)

    for name in chosen:
        work = workloads(args.quick)[name]
        run["workloads"][name] = runner.run(
            work, peers, rounds=args.rounds, quick=args.quick, timeout=args.timeout, say=say
        )
        run["workloads"] = {n: run["workloads"][n] for n in known if n in run["workloads"]}
        report.write(out, run)  # after each, so that what was measured is kept
    print(report.as_markdown(run))
    print(f"wrote {', '.join(map(str, report.write(out, run)))}")
    failed = [f"{name}: {p}" for name in chosen for p, f in run["workloads"][name]["peers"].items() if "error" in f]
    if failed:
        print(f"did not run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
