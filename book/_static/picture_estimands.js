/* Estimands of the pictures, computed as hccbook.evaluation computes them. */
"use strict";

window.hccbookEstimands = (() => {
  const Z = 1.959963984540054;

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  /* True and false, positive and negative; a patient at the cut-off is positive. */
  function twoByTwo(hcc, score, cutoff) {
    const table = { tp: 0, fp: 0, fn: 0, tn: 0 };
    hcc.forEach((event, patient) => {
      const isPositive = score[patient] >= cutoff;
      table[(isPositive === (event === 1) ? "t" : "f") + (isPositive ? "p" : "n")] += 1;
    });
    return table;
  }

  const sensitivity = ({ tp, fn }) => tp / (tp + fn);
  const specificity = ({ tn, fp }) => tn / (tn + fp);

  /* Points from (0, 0) to (1, 1), one a distinct score; the first cut-off is infinite. */
  function rocPoints(hcc, score) {
    const order = score.map((_, patient) => patient).sort((a, b) => score[b] - score[a]);
    const events = sum(hcc);
    const others = hcc.length - events;
    const points = [{ fpr: 0, tpr: 0, cutoff: Infinity }];
    let [tp, fp] = [0, 0];
    order.forEach((patient, position) => {
      if (hcc[patient]) tp += 1;
      else fp += 1;
      const next = order[position + 1];
      if (next === undefined || score[next] !== score[patient]) {
        points.push({ fpr: fp / others, tpr: tp / events, cutoff: score[patient] });
      }
    });
    return points;
  }

  function areaUnder(points) {
    return sum(points.slice(1).map((point, before) => (
      ((point.fpr - points[before].fpr) * (point.tpr + points[before].tpr)) / 2
    )));
  }

  /* By Bayes' rule; NaN where nobody would have that result. */
  function predictiveValues(se, sp, prevalence) {
    const [tp, fp] = [se * prevalence, (1 - sp) * (1 - prevalence)];
    const [tn, fn] = [sp * (1 - prevalence), (1 - se) * prevalence];
    return { ppv: tp / (tp + fp), npv: tn / (tn + fn) };
  }

  /* Wilson's 95 % interval of a share. */
  function wilson(count, total) {
    if (!total) return [0, 1];
    const share = count / total;
    const width = 1 + (Z * Z) / total;
    const centre = (share + (Z * Z) / (2 * total)) / width;
    const half = (Z / width) * Math.sqrt((share * (1 - share)) / total + (Z * Z) / (4 * total * total));
    return [Math.max(centre - half, 0), Math.min(centre + half, 1)];
  }

  /* All pairs of cut-offs of a score: counts, Pearson's chi-square of three groups, and the greatest of them. */
  function xtile(score, hcc) {
    const distinct = [...new Set(score)].sort((a, b) => a - b);
    const position = new Map(distinct.map((value, place) => [value, place]));
    const perScore = distinct.map(() => [0, 0]);
    score.forEach((value, patient) => {
      const counts = perScore[position.get(value)];
      counts[0] += 1;
      counts[1] += hcc[patient];
    });
    const n = score.length;
    const events = sum(hcc);
    const rate = events / n;
    const candidates = distinct.slice(1).map((value, place) => (value + distinct[place]) / 2);
    const nFrom = [];
    const eventsFrom = [];
    let [left, leftEvents] = [n, events];
    candidates.forEach((_, place) => {
      left -= perScore[place][0];
      leftEvents -= perScore[place][1];
      nFrom.push(left);
      eventsFrom.push(leftEvents);
    });

    /* Patients and events of low, medium and high. */
    function groups(lower, upper) {
      return [
        { n: n - nFrom[lower], events: events - eventsFrom[lower] },
        { n: nFrom[lower] - nFrom[upper], events: eventsFrom[lower] - eventsFrom[upper] },
        { n: nFrom[upper], events: eventsFrom[upper] },
      ];
    }

    function chiSquare(lower, upper) {
      return sum(groups(lower, upper).map((group) => {
        const variance = group.n * rate * (1 - rate);
        return variance > 0 ? (group.events - group.n * rate) ** 2 / variance : 0;
      }));
    }

    function isAllowed(lower, upper, minFraction) {
      return lower < upper && groups(lower, upper).every((group) => group.n >= minFraction * n - 1e-9);
    }

    /* The pair with the greatest chi-square, the first of equal ones; millions of pairs, so that nothing is made in
     * the loop. */
    function best(minFraction) {
      const least = minFraction * n - 1e-9;
      const part = (size, cases) => (size ? (cases - size * rate) ** 2 / (size * rate * (1 - rate)) : 0);
      const high = nFrom.map((size, place) => part(size, eventsFrom[place]));
      let found = null;
      for (let lower = 0; lower < candidates.length; lower += 1) {
        const low = part(n - nFrom[lower], events - eventsFrom[lower]);
        for (let upper = lower + 1; upper < candidates.length && nFrom[upper] >= least; upper += 1) {
          const between = nFrom[lower] - nFrom[upper];
          if (n - nFrom[lower] >= least && between >= least) {
            const statistic = low + part(between, eventsFrom[lower] - eventsFrom[upper]) + high[upper];
            // Equal tables reached in another order differ in their last bits.
            if (!found || statistic > found.statistic * (1 + 1e-12)) found = { lower, upper, statistic };
          }
        }
      }
      return found;
    }

    /* At most so many candidates, evenly spread over the patients. */
    function spread(count) {
      const wanted = Array.from({ length: count }, (_, step) => n - (n * (step + 1)) / (count + 1));
      const nearest = wanted.map((left_) => {
        let place = 0;
        nFrom.forEach((size, other) => { if (Math.abs(size - left_) < Math.abs(nFrom[place] - left_)) place = other; });
        return place;
      });
      return [...new Set(nearest)].sort((a, b) => a - b);
    }

    return { n, events, candidates, nFrom, groups, chiSquare, isAllowed, best, spread };
  }

  /* aMAP first, aMAP-CT for those whom it does not call low: CTs spared, cancers missed, who is called high. */
  function stepwise({ amap, ct, hcc }, amapCutoff, ctCutoff) {
    const counts = { n: hcc.length, events: sum(hcc), spared: 0, byAmap: 0, byCt: 0, lost: 0, high: 0, highEvents: 0 };
    hcc.forEach((event, patient) => {
      const isSpared = amap[patient] < amapCutoff;
      const isFlagged = ct[patient] >= ctCutoff;
      if (isSpared) {
        counts.spared += 1;
        counts.byAmap += event;
        if (isFlagged) counts.lost += event;
      } else if (isFlagged) {
        counts.high += 1;
        counts.highEvents += event;
      } else counts.byCt += event;
    });
    return { ...counts, missed: counts.byAmap + counts.byCt, ppv: counts.highEvents / counts.high };
  }

  return { twoByTwo, sensitivity, specificity, rocPoints, areaUnder, predictiveValues, wilson, xtile, stepwise };
})();
