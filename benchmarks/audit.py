"""Seconds that the audit of both papers takes, in a process of its own and within one that has loaded it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time

RUNS = 5
BOUND_S = 20.0
"""What the plan allows."""


def main() -> None:
    """Print what it ran on, then the median of `RUNS` for each way."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "pandas"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one used")
    print(f"Python {platform.python_version()}, {versions}")
    fresh = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hccbook.cli", "audit", "--json"], check=True, stdout=subprocess.DEVNULL)
        fresh.append(time.perf_counter() - start)

    from hccbook.audit import papers

    loaded = []
    for _ in range(RUNS):
        papers.everything.cache_clear()
        start = time.perf_counter()
        report = papers.audit()
        loaded.append(time.perf_counter() - start)
    print(f"{'the whole command, from the shell':<40} {statistics.median(fresh):6.2f} s")
    print(f"{'the audit alone, everything loaded':<40} {statistics.median(loaded):6.2f} s")
    print(f"{len(report.findings)} findings, {sum(one.cells for one in report.agreements)} comparisons that agree")
    print(f"bound {BOUND_S:g} s: {'kept' if max(fresh) < BOUND_S else 'BROKEN'}")


if __name__ == "__main__":
    main()
