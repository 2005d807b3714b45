"""What `import snnx` costs over `import jax, equinox`: the median of several fresh processes.

python benchmarks/import_time.py [--rounds 7]
"""

import argparse
import statistics
import subprocess
import sys

PROGRAM = """
import time
start = time.perf_counter()
import jax, equinox
middle = time.perf_counter()
import snnx
print(middle - start, time.perf_counter() - middle)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    outputs = [subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True) for _ in range(rounds)]
    base, ours = zip(*(map(float, o.stdout.split()) for o in outputs), strict=True)
    print(f"import jax, equinox: min {min(base):.2f} s, median {statistics.median(base):.2f} s")
    print(f"import snnx on top:  min {min(ours):.2f} s, median {statistics.median(ours):.2f} s")


if __name__ == "__main__":
    main()
