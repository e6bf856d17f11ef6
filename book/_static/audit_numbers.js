/* What printed numbers may have been, 2x2 tables behind them and their intervals, as hccbook.audit computes them. */
"use strict";

window.hccbookAudit = (() => {
  const Z = 1.959963984540054;
  const SLACK = 1e-9;
  const PRINTED = /^([<>≤≥]=?)?\s*(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)$/;

  /* All values that a text may stand for: half a unit of its last decimal to each side; null where it is no number. */
  function printedRange(text, isPercent = false) {
    const match = PRINTED.exec(text.trim());
    if (!match) return null;
    const digits = match[2].replaceAll(",", "");
    const value = Number(digits);
    const half = 0.5 * 10 ** -(digits.split(".")[1] ?? "").length;
    const sign = (match[1] ?? "")[0];
    const below = sign === "<" || sign === "≤";
    const above = sign === ">" || sign === "≥";
    const low = below ? -Infinity : value - (above ? 0 : half);
    const high = above ? Infinity : value + (below ? 0 : half);
    const scale = isPercent ? 0.01 : 1;
    return { low: low * scale, high: high * scale, text: text.trim() };
  }

  /* The same where the last digit may have been cut instead of rounded. */
  const cutOrRounded = (range) => ({ ...range, high: range.low + 1.5 * (range.high - range.low) });

  const holds = ({ low, high }, value, slack = SLACK) => low - slack <= value && value <= high + slack;

  /* Numerator and denominator of a share. */
  const SHARES = {
    sensitivity: ({ tp, fn }) => [tp, tp + fn],
    specificity: ({ tn, fp }) => [tn, tn + fp],
    ppv: ({ tp, fp }) => [tp, tp + fp],
    npv: ({ tn, fn }) => [tn, tn + fn],
    accuracy: ({ tp, fp, fn, tn }) => [tp + tn, tp + fp + fn + tn],
    f1: ({ tp, fp, fn }) => [2 * tp, 2 * tp + fp + fn],
  };

  const ratio = ([numerator, denominator]) => numerator / denominator;

  function chance({ tp, fp, fn, tn }) {
    const n = tp + fp + fn + tn;
    return ((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn)) / n ** 2;
  }

  const se = (table) => ratio(SHARES.sensitivity(table));
  const sp = (table) => ratio(SHARES.specificity(table));

  const DERIVED = {
    prevalence: ({ tp, fp, fn, tn }) => (tp + fn) / (tp + fp + fn + tn),
    "youden index": (table) => se(table) + sp(table) - 1,
    "balanced accuracy": (table) => (se(table) + sp(table)) / 2,
    "positive likelihood ratio": (table) => se(table) / (1 - sp(table)),
    "negative likelihood ratio": (table) => (1 - se(table)) / sp(table),
    kappa: (table) => (ratio(SHARES.accuracy(table)) - chance(table)) / (1 - chance(table)),
    mcc: ({ tp, fp, fn, tn }) => (tp * tn - fp * fn) / Math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
  };

  const valueOf = (table, measure) => (DERIVED[measure] ?? ((one) => ratio(SHARES[measure](one))))(table);

  /* Whether a table prints so; null stands for a printed n.a., 0 divided by 0. */
  function prints(table, measure, range) {
    if (DERIVED[measure]) {
      const value = DERIVED[measure](table);
      return range ? Number.isFinite(value) && holds(range, value) : !Number.isFinite(value);
    }
    const [numerator, denominator] = SHARES[measure](table);
    if (!range) return denominator === 0 || (measure === "f1" && table.tp === 0);
    return denominator > 0 && (range.low - SLACK) * denominator <= numerator
      && numerator <= (range.high + SLACK) * denominator;
  }

  /* Every 2x2 table of so many people whose measures print as they are printed, in the order of TP, TN. */
  function compatibleTables(measures, events, nonevents) {
    const names = Object.keys(measures);
    // Sensitivity and specificity are of one number each, which spares most tables.
    const alone = (measure, total, tableOf) => Array.from({ length: total + 1 }, (_, count) => count)
      .filter((count) => !(measure in measures) || prints(tableOf(count), measure, measures[measure]));
    const positives = alone("sensitivity", events, (tp) => ({ tp, fp: 0, fn: events - tp, tn: nonevents }));
    const negatives = alone("specificity", nonevents, (tn) => ({ tp: events, fp: nonevents - tn, fn: 0, tn }));
    const rest = names.filter((name) => name !== "sensitivity" && name !== "specificity");
    const found = [];
    const table = { tp: 0, fp: 0, fn: 0, tn: 0 };
    for (const tp of positives) {
      for (const tn of negatives) {
        Object.assign(table, { tp, fp: nonevents - tn, fn: events - tp, tn });
        if (rest.every((name) => prints(table, name, measures[name]))) found.push({ ...table });
      }
    }
    return found;
  }

  const mapped = (measures, change) => Object.fromEntries(
    Object.entries(measures).map(([name, range]) => [name, range && change(range)]),
  );

  const cut = (measures) => mapped(measures, cutOrRounded);

  /* Sizes within one of the printed ones for which there is a table. */
  function nearbySizes(measures, n, events) {
    const found = [];
    for (let size = n - 1; size <= n + 1; size += 1) {
      for (let cases = Math.max(0, events - 1); cases <= Math.min(size, events + 1); cases += 1) {
        const tables = compatibleTables(measures, cases, size - cases);
        if (tables.length) found.push({ n: size, events: cases, tables });
      }
    }
    return found;
  }

  /* Least and greatest numerator whose share of a number of people prints so; the least is above if there is none. */
  function countsThatPrintAs(range, denominator) {
    const least = Math.max(0, Math.ceil(range.low * denominator - 1e-7));
    return [least, Math.min(denominator, Math.floor(range.high * denominator + 1e-7))];
  }

  /* Lanczos' approximation of the logarithm of the gamma function (g = 7). */
  const LANCZOS = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];

  function logGamma(x) {
    if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
    const series = LANCZOS.reduce((sum, term, place) => (place ? sum + term / (x - 1 + place) : term), 0);
    const t = x + 6.5;
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(series);
  }

  /* Continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22). */
  function betaFraction(x, a, b) {
    const away = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
    let d = 1 / away(1 - ((a + b) * x) / (a + 1));
    let [c, fraction] = [1, d];
    for (let m = 1; m < 1000; m += 1) {
      let before = fraction;
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      for (const term of [even, odd]) {
        d = 1 / away(1 + term * d);
        c = away(1 + term / c);
        before = fraction;
        fraction *= d * c;
      }
      if (Math.abs(fraction / before - 1) < 1e-15) break;
    }
    return fraction;
  }

  /* Distribution function of the beta distribution. */
  function betaCdf(x, a, b) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    const front = Math.exp(
      logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
    );
    if (x < (a + 1) / (a + b + 2)) return (front * betaFraction(x, a, b)) / a;
    return 1 - (front * betaFraction(1 - x, b, a)) / b;
  }

  function betaQuantile(p, a, b) {
    let [low, high] = [0, 1];
    for (let step = 0; step < 80; step += 1) {
      const middle = (low + high) / 2;
      if (betaCdf(middle, a, b) < p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  const TAIL = 0.025;
  const within = (value) => Math.min(Math.max(value, 0), 1);

  function wald(share, n) {
    const half = Z * Math.sqrt((share * (1 - share)) / n);
    return [share - half, share + half];
  }

  function wilson(share, n) {
    const width = 1 + (Z * Z) / n;
    const centre = (share + (Z * Z) / (2 * n)) / width;
    const half = (Z / width) * Math.sqrt((share * (1 - share)) / n + (Z * Z) / (4 * n * n));
    return [share === 0 ? 0 : centre - half, share === 1 ? 1 : centre + half].map(within);
  }

  function corrected(share, n) {
    const end = (p) => {
      const root = Math.sqrt(Math.max(Z * Z - 2 - 1 / n + 4 * p * (n * (1 - p) + 1), 0));
      return p === 0 ? 0 : Math.max((2 * n * p + Z * Z - 1 - Z * root) / (2 * (n + Z * Z)), 0);
    };
    return [end(share), 1 - end(1 - share)];
  }

  function clopperPearson(share, n) {
    const count = share * n;
    return [
      share === 0 ? 0 : betaQuantile(TAIL, count, n - count + 1),
      share === 1 ? 1 : betaQuantile(1 - TAIL, count + 1, n - count),
    ];
  }

  function agrestiCoull(share, n) {
    const size = n + Z * Z;
    return wald((share * n + (Z * Z) / 2) / size, size).map(within);
  }

  function jeffreys(share, n) {
    const [a, b] = [share * n + 0.5, n - share * n + 0.5];
    return [betaQuantile(TAIL, a, b), betaQuantile(1 - TAIL, a, b)];
  }

  /* Interval methods: of a share and a number of people, whose product need be no whole number. */
  const METHODS = {
    Wald: wald, Wilson: wilson, "Clopper-Pearson": clopperPearson, "Agresti-Coull": agrestiCoull, Jeffreys: jeffreys,
    "Wilson with continuity correction": corrected,
  };

  const OWN = "own denominator";

  /* Numbers of people that an interval may have been computed with; those of 0 people left out. */
  function denominators(table, measure) {
    const { tp, fp, fn, tn } = table;
    const numbers = {
      [OWN]: SHARES[measure](table)[1], "whole cohort": tp + fp + fn + tn, events: tp + fn, "non-events": fp + tn,
      flagged: tp + fp, "cohort balanced by oversampling": 2 * (fp + tn),
    };
    return Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0));
  }

  /* Whether computed limits print as the printed ones; a limit beyond 0 or 1 may have been cut anywhere near it. */
  function reproduces([low, high], lower, upper) {
    const middle = (range) => (range.low + range.high) / 2;
    const width = (range) => range.high - range.low;
    return (holds(lower, low, 1e-6) || (low <= 0 && middle(lower) - width(lower) <= 1e-9))
      && (holds(upper, high, 1e-6) || (high >= 1 && middle(upper) + width(upper) >= 1 - 1e-9));
  }

  /* Every method and denominator that reproduces printed limits of a measure. */
  function waysToReproduce(table, measure, lower, upper) {
    const share = valueOf(table, measure);
    if (Number.isNaN(share)) return [];
    return Object.entries(METHODS).flatMap(([method, interval]) => (
      Object.entries(denominators(table, measure))
        .filter(([, number]) => reproduces(interval(share, number), lower, upper))
        .map(([name, number]) => ({ method, name, number }))
    ));
  }

  return {
    printedRange, holds, SHARES, DERIVED, valueOf, compatibleTables, cut, nearbySizes, countsThatPrintAs, METHODS, OWN,
    denominators, reproduces, waysToReproduce,
  };
})();
