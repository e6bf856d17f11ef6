/* A movable threshold on an ROC curve, and what it means for people among whom HCC is rarer. */
"use strict";

(() => {
  const form = document.getElementById("roc");
  if (!form) return;
  const picture = window.hccbookPicture;
  const estimands = window.hccbookEstimands;
  const { byId, svg, show, percent } = picture;
  const { papers, synthetic, absent } = window.hccbookRun;
  const hasBoth = ({ hcc }) => hcc.includes(0) && hcc.includes(1);
  const cohorts = Object.values(papers).flatMap((paper) => (
    paper.cohorts.filter(hasBoth).map((cohort) => ({ ...cohort, paper }))));
  if (!cohorts.length) {
    picture.unavailable(form, absent);
    return;
  }

  const RAREST = 0.001;
  const PEOPLE = 1000;
  let points = [];
  const controls = byId("roc-controls");
  const cohort = picture.select(controls, {
    id: "roc-cohort", label: "Cohort",
    options: cohorts.map(({ paper, name, hcc }, place) => (
      [place, `${paper.title}, ${name.replace("_", " ")} (${hcc.length})`])),
  });
  // In the cohort that it was fitted on every score looks its best.
  cohort.set(Math.max(0, cohorts.findIndex(({ role }) => role !== "development")));
  const score = picture.select(controls, { id: "roc-score", label: "Score", options: [] });
  const threshold = picture.slider(controls, {
    id: "roc-threshold", label: "Threshold", min: 0, max: 1, value: 0, text: (place) => cutoffText(place),
  });
  const prevalence = picture.slider(controls, {
    id: "roc-prevalence", label: "Share of people with HCC", min: Math.log(RAREST), max: Math.log(0.6), step: "any",
    value: Math.log(0.05), text: (value) => percent(Math.exp(value)),
  });
  picture.buttons(controls, {
    "Share in this cohort": () => choosePrevalence(chosen().hcc.reduce((a, b) => a + b) / chosen().hcc.length),
    "Share that the paper prints": () => choosePrevalence(chosen().printed_prevalence),
  });

  const shares = picture.ticks([0, 0.25, 0.5, 0.75, 1], (value) => `${100 * value}`);
  const roc = picture.chart(byId("roc-curve"), {
    label: "ROC curve with the chosen threshold", x: { from: 0, to: 1, ticks: shares, label: "1 − specificity, %" },
    y: { from: 0, to: 1, ticks: shares, label: "Sensitivity, %" },
  });
  const ppv = picture.chart(byId("roc-ppv"), {
    label: "Positive predictive value at this threshold, by the share of people with HCC",
    x: {
      from: RAREST, to: 0.6, log: true, label: "Share of people with HCC, %",
      ticks: picture.ticks([0.001, 0.01, 0.04, 0.1, 0.3, 0.6], (value) => `${100 * value}`),
    },
    y: { from: 0, to: 1, ticks: shares, label: "PPV, %" },
  });
  [roc, ppv].forEach((chart) => picture.stampOn(chart.root, synthetic));
  const speak = picture.speaker(form);
  const chosen = () => cohorts[Number(cohort.value())];

  function cutoffText(place) {
    const point = points[place];
    if (!point) return "";
    return Number.isFinite(point.cutoff) ? Number(point.cutoff.toPrecision(4)).toString() : "above every score";
  }

  function choosePrevalence(share) {
    prevalence.set(Math.log(share));
    update();
  }

  function offerScores() {
    const before = score.value();
    const names = Object.keys(chosen().scores);
    score.offer(names.map((name) => [name, picture.SCORE_NAMES[name] ?? name]));
    score.set(names.includes(before) ? before : names[0]);
  }

  /* The curve of the chosen score, with the threshold at Youden's index. */
  function takeScore() {
    points = estimands.rocPoints(chosen().hcc, chosen().scores[score.value()]);
    const gain = points.map(({ fpr, tpr }) => tpr - fpr);
    threshold.limit(0, points.length - 1);
    threshold.set(gain.indexOf(Math.max(...gain)));
  }

  const line = (chart, dots, name) => svg("polyline", {
    points: dots.map(([u, v]) => `${chart.at.x(u)},${chart.at.y(v)}`).join(" "), class: name,
  });
  const dot = (chart, u, v) => svg("circle", { cx: chart.at.x(u), cy: chart.at.y(v), r: 7, class: "picture-dot" });

  function drawRoc(point) {
    roc.draw(line(roc, [[0, 0], [1, 1]], "picture-guide"),
      line(roc, points.map(({ fpr, tpr }) => [fpr, tpr]), "picture-line"), dot(roc, point.fpr, point.tpr));
  }

  function drawPpv(se, sp, share, value) {
    const steps = Array.from({ length: 80 }, (_, step) => RAREST * (0.6 / RAREST) ** (step / 79));
    const curve = steps.map((one) => [one, estimands.predictiveValues(se, sp, one).ppv])
      .filter(([, v]) => !Number.isNaN(v));
    ppv.draw(line(ppv, curve, "picture-line"), ...(Number.isNaN(value) ? [] : [dot(ppv, share, value)]));
  }

  const PARTS = [
    ["found", "HCC found"], ["missed", "HCC missed"], ["alarmed", "false alarm"], ["spared", "rightly left alone"],
  ];

  /* A thousand people as a bar of four parts. */
  function drawPeople(se, sp, share) {
    const counts = {
      found: se * share, missed: (1 - se) * share, alarmed: (1 - sp) * (1 - share), spared: sp * (1 - share),
    };
    let start = 0;
    const parts = PARTS.map(([name]) => {
      const part = svg("rect", { x: 1000 * start, y: 0, width: 1000 * counts[name], height: 46, "data-part": name });
      start += counts[name];
      return part;
    });
    byId("roc-people").replaceChildren(...parts);
    PARTS.forEach(([name]) => show(byId(`roc-${name}`), String(Math.round(PEOPLE * counts[name]))));
  }

  function update(event) {
    if (!event || event.target === cohort.input) offerScores();
    if (!event || [cohort.input, score.input].includes(event.target)) takeScore();
    const { hcc, scores } = chosen();
    const point = points[threshold.value()];
    const table = estimands.twoByTwo(hcc, scores[score.value()], point.cutoff);
    const [se, sp] = [estimands.sensitivity(table), estimands.specificity(table)];
    const positive = table.tp + table.fp;
    const share = Math.exp(prevalence.value());
    const { ppv: value, npv } = estimands.predictiveValues(se, sp, share);
    drawRoc(point);
    drawPpv(se, sp, share, value);
    drawPeople(se, sp, share);
    picture.rowsOf(byId("roc-values"), [
      ["roc-auc", "AUC", estimands.areaUnder(points).toFixed(3), ""],
      ["roc-sensitivity", "Sensitivity", percent(se), `${table.tp} of ${table.tp + table.fn} with HCC`],
      ["roc-specificity", "Specificity", percent(sp), `${table.tn} of ${table.tn + table.fp} without`],
      ["roc-ppv-here", "PPV in this cohort", percent(table.tp / positive), `${table.tp} of ${positive} positive`],
      ["roc-ppv-there", `PPV where ${percent(share)} have HCC`, percent(value), ""],
      ["roc-npv-there", `NPV where ${percent(share)} have HCC`, percent(npv, 2), ""],
    ]);
    speak(`Threshold ${cutoffText(threshold.value())}: sensitivity ${percent(se)}, specificity ${percent(sp)}, `
      + `positive predictive value ${percent(value)} where ${percent(share)} have HCC`);
  }

  /* The point of the curve nearest to the pointer. */
  picture.onDrag(roc.root, (u, v) => {
    const [fpr, tpr] = roc.values(u, v);
    const distance = points.map((point) => Math.hypot(point.fpr - fpr, point.tpr - tpr));
    threshold.set(distance.indexOf(Math.min(...distance)));
    update({ target: threshold.input });
  });
  picture.onDrag(ppv.root, (u, v) => {
    prevalence.set(Math.log(ppv.values(u, v)[0]));
    update({ target: prevalence.input });
  });
  picture.begin(form, update);
})();
