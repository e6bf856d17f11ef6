"""What ALARM's statistics cost at the papers' sizes, beside the bounds that the project sets.

    .venv/bin/python benchmarks/alarm_statistics.py            # everything, some minutes on two cores
    .venv/bin/python benchmarks/alarm_statistics.py --quick    # one run each instead of five

Each statistic is first held against a plain, slow form of itself on fewer patients: all pairs for DeLong, scipy's
chi-square for X-tile, patients drawn one by one for the bootstrap, scikit-learn alone for the LASSO. Where the two
differ, the script stops, since the time of a wrong value means nothing. The selection chain uses all cores; the rest
one. Exits with 1 where a bound is missed. Patients are drawn from a seed alone.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from imblearn.over_sampling import BorderlineSMOTE
from scipy.stats import chi2_contingency, mannwhitneyu
from sklearn.linear_model import LassoCV
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from hccbook.evaluation import auc_bootstrap, auc_delong, xtile, xtile_permutation
from hccbook.features.lasso import LassoSelector
from hccbook.features.selection import MannWhitneySelector, SpearmanSelector

SEED = 20240718
PATIENTS, SCORES = 2_000, 1_000_000
DISCOVERY, DISCOVERY_HCC, FEATURES = 924, 45, 3_669
FAMILIES = 900
REPEATS = 5


def graded(n: int, seed: int = SEED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, outcome that follows it, and follow-up in months."""
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    return score, (rng.random(n) < 0.6 * score**2).astype(int), np.round(rng.exponential(20, n), 1)


def discovery(features: int, patients: int = DISCOVERY, events: int = DISCOVERY_HCC) -> tuple[pd.DataFrame, np.ndarray]:
    """Features in families that nearly repeat one another, some of which carry the outcome; balanced by SMOTE."""
    rng = np.random.default_rng(SEED)
    y = np.repeat([1, 0], [events, patients - events])
    families = min(FAMILIES, features // 3)
    latent = rng.normal(size=(patients, 40))
    latent[:, :10] += 0.7 * y[:, None]
    of_family = latent @ (rng.normal(size=(40, families)) * (rng.random((40, families)) < 0.1))
    of_family += 0.7 * rng.normal(size=of_family.shape)
    of_family /= of_family.std(axis=0)
    values = of_family[:, rng.integers(0, families, features)] + 0.25 * rng.normal(size=(patients, features))
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    values, y = BorderlineSMOTE(k_neighbors=5, m_neighbors=10, random_state=SEED).fit_resample(values, y)
    return pd.DataFrame(values, columns=[f"feature {number}" for number in range(features)]), y


def chain(features: pd.DataFrame, y: np.ndarray) -> list[int]:
    """Features left after each step."""
    left, counts = features, [features.shape[1]]
    for selector in (MannWhitneySelector(), SpearmanSelector(), LassoSelector(random_state=SEED)):
        left = selector.set_output(transform="pandas").fit(left, y).transform(left)
        counts.append(left.shape[1])
    return counts


def agree(what: str, found: float, expected: float, within: float) -> None:
    """Stop where a fast value is not the slow one's."""
    if not abs(found - expected) <= within:
        sys.exit(f"benchmarks/alarm_statistics.py: {what} must agree, but found {found!r} instead of {expected!r}")


def check() -> None:
    """Each statistic beside its plain form."""
    score, y, _ = graded(300)
    events, others = score[y == 1][:, None], score[y == 0][None, :]
    psi = (events > others) + 0.5 * (events == others)
    variance = psi.mean(axis=1).var(ddof=1) / psi.shape[0] + psi.mean(axis=0).var(ddof=1) / psi.shape[1]
    found = auc_delong(y, score)
    agree("AUC", found.auc, psi.mean(), 1e-12)
    agree("DeLong's variance", found.variance, variance, 1e-12)
    rng = np.random.default_rng(SEED)
    drawn = [
        mannwhitneyu(rng.choice(score[y == 1], y.sum()), rng.choice(score[y == 0], (y == 0).sum())).statistic
        for _ in range(2000)
    ]
    plain = np.quantile(drawn, 0.025) / y.sum() / (y == 0).sum()
    agree("the bootstrap's limit", auc_bootstrap(y, score, 2000, SEED).lower, plain, 0.01)
    score, y, _ = graded(60)
    best = 0.0
    for cuts in itertools.combinations(np.sort(score)[1:], 2):
        group = np.digitize(score, cuts)
        if np.bincount(group, minlength=3).min() >= 6:
            table = [np.bincount(group, y == outcome, 3) for outcome in (0, 1)]
            best = max(best, chi2_contingency(table, correction=False).statistic)
    agree("X-tile's maximum", xtile(score, y).statistic, best, 1e-9)
    features, y = discovery(60, 300, 40)
    folds = StratifiedKFold(10, shuffle=True, random_state=SEED)
    plain = LassoCV(eps=1e-3, alphas=100, cv=folds, max_iter=5000, precompute=False).fit(features, y)
    own = LassoSelector(random_state=SEED).fit(features, y)
    agree("the LASSO's penalty", own.alpha_, plain.alpha_, 1e-12)
    agree("the LASSO's error", own.mse_path_.min(), plain.mse_path_.min(), 1e-9)


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median wall time, s, after one run that loads what it needs."""
    if repeats > 1:
        work()
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        runs.append(time.perf_counter() - start)
    return statistics.median(runs)


def machine() -> str:
    """What the numbers were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    about = {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "scikit-learn", "numba")},
    }
    return ", ".join(f"{name} {value}" for name, value in about.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run each")
    repeats = 1 if parser.parse_args().quick else REPEATS
    print(machine())
    check()
    print("every statistic agrees with its plain form")
    many = graded(SCORES)
    score, y, months = graded(PATIENTS)
    features, outcome = discovery(FEATURES)
    cores = len(os.sched_getaffinity(0))
    counts: list[list[int]] = []
    rows = [
        ("DeLong, 1,000,000 scores", 1, 2.0, lambda: auc_delong(many[1], many[0])),
        ("X-tile, Pearson, 2,000 patients", 1, 2.0, lambda: xtile(score, y)),
        ("X-tile, log-rank, 2,000 patients", 1, 2.0, lambda: xtile(score, y, months)),
        ("X-tile, 999 permutations", 1, None, lambda: xtile_permutation(score, y)),
        ("Bootstrap, 2,000 replicates", 1, 2.0, lambda: auc_bootstrap(y, score, 2000)),
        (
            f"Selection chain, {FEATURES:,} x {len(outcome):,}",
            cores,
            60.0,
            lambda: counts.append(chain(features, outcome)),
        ),
    ]
    missed = 0
    # A statistic is timed on one core; the chain's threads are the folds of its cross-validation.
    threadpool_limits(1)
    print(f"{'what':<36} {'cores':>5} {'runs':>5} {'seconds':>9} {'bound, s':>9}  kept")
    for what, used, bound, work in rows:
        seconds = timed(work, repeats)
        kept = "" if bound is None else "yes" if seconds < bound else "NO"
        missed += kept == "NO"
        shown = "" if bound is None else f"{bound:.0f}"
        print(f"{what:<36} {used:>5} {repeats:>5} {seconds:>9.3f} {shown:>9}  {kept}", flush=True)
    print("features after each step of the chain:", *counts[-1])
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
