/* The stepwise strategy: two cut-offs, the CTs that they spare and the cancers that they miss. */
"use strict";

(() => {
  const form = document.getElementById("stepwise");
  if (!form) return;
  const picture = window.hccbookPicture;
  const estimands = window.hccbookEstimands;
  const { byId, svg, show, percent } = picture;
  const { papers, stepwise: cuts, synthetic, absent } = window.hccbookRun;
  if (!papers.amap_ct || !cuts) {
    picture.unavailable(form, absent);
    return;
  }

  /* Log odds, so that small and large probabilities both have room. */
  const logit = (p) => Math.log(p / (1 - p));
  const END = 7;
  const probability = (value) => 1 / (1 + Math.exp(-value));

  const { cohorts } = papers.amap_ct;
  const joined = (chosen) => ({
    hcc: chosen.flatMap(({ hcc }) => hcc), amap: chosen.flatMap(({ scores }) => scores.amap),
    ct: chosen.flatMap(({ scores }) => scores.amap_ct),
  });
  const sets = {
    unseen: ["Unseen by the model", joined(cohorts.filter(({ role }) => role !== "development"))],
    ...Object.fromEntries(cohorts.map((cohort) => [cohort.name, [`Cohort: ${cohort.name}`, joined([cohort])]])),
  };
  const controls = byId("stepwise-controls");
  const who = picture.select(controls, {
    id: "stepwise-who", label: "Patients", options: Object.entries(sets).map(([name, [text]]) => [name, text]),
  });
  const amapCut = picture.slider(controls, {
    id: "stepwise-amap", label: "No CT score below an aMAP of", min: 30, max: 80, step: 0.5, value: cuts.amap_low,
    text: (value) => value.toFixed(1),
  });
  const ctCut = picture.slider(controls, {
    id: "stepwise-ct", label: "High risk from an aMAP-CT probability of", min: -END, max: END, step: "any",
    value: logit(cuts.ct_cutoff), text: (value) => percent(probability(value)),
  });
  picture.buttons(controls, {
    "Cut-offs of this run": () => choose(cuts.amap_low, logit(cuts.ct_cutoff)),
    "A CT score for everybody": () => choose(30, ctCut.value()),
  });
  const chart = picture.chart(byId("stepwise-patients"), {
    label: "Patients by aMAP and aMAP-CT probability, with both cut-offs", width: 520, height: 400,
    x: { from: 30, to: 80, ticks: picture.ticks([30, 40, 50, 60, 70, 80]), label: "aMAP" },
    y: {
      from: -END, to: END, label: "aMAP-CT probability, %",
      ticks: [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999].map((p) => [logit(p), `${Number((100 * p).toPrecision(3))}`]),
    },
  });
  picture.stampOn(chart.root, synthetic);
  const speak = picture.speaker(form);

  function choose(amap, ct) {
    amapCut.set(amap);
    ctCut.set(ct);
    update();
  }

  function drawPatients(patients, amap, ct) {
    const x = (value) => chart.at.x(picture.within(value, 30, 80));
    const y = (value) => chart.at.y(picture.within(value, -END, END));
    const area = (name, left, right, bottom, top) => svg("rect", {
      x: x(left), y: y(top), class: name,
      width: Math.max(x(right) - x(left), 0), height: Math.max(y(bottom) - y(top), 0),
    });
    const order = patients.hcc.map((_, patient) => patient).sort((a, b) => patients.hcc[a] - patients.hcc[b]);
    const dots = order.map((patient) => svg("circle", {
      cx: x(patients.amap[patient]), cy: y(logit(patients.ct[patient])),
      r: patients.hcc[patient] ? 5 : 3, class: patients.hcc[patient] ? "picture-case" : "picture-other",
    }));
    chart.draw(area("picture-spared", 30, amap, -END, END), area("picture-high", amap, 80, ct, END), ...dots,
      svg("path", { d: `M${x(amap)} ${y(-END)}V${y(END)}M${x(amap)} ${y(ct)}H${x(80)}`, class: "picture-cut" }));
  }

  const of = (count, total) => `${count}\u00a0of\u00a0${total}`;
  const interval = (count, total) => {
    const [low, high] = estimands.wilson(count, total);
    return total ? `${percent(count / total)} (${percent(low)} to ${percent(high)})` : "none";
  };

  function update() {
    const patients = sets[who.value()][1];
    const counts = estimands.stepwise(patients, amapCut.value(), probability(ctCut.value()));
    drawPatients(patients, amapCut.value(), ctCut.value());
    const { n, events, spared, missed, byAmap, byCt, lost, high, ppv } = counts;
    picture.rowsOf(byId("stepwise-values"), [
      ["stepwise-spared", "CT scores spared", of(spared, n), interval(spared, n)],
      ["stepwise-missed", "HCC called low-risk", of(missed, events), interval(missed, events)],
      ["stepwise-by-amap", "– by aMAP, without a CT score", `${byAmap}`, ""],
      ["stepwise-by-ct", "– by aMAP-CT", `${byCt}`, ""],
      ["stepwise-lost", "HCC that a CT score for all would have called high", of(lost, events), interval(lost, events)],
      ["stepwise-high", "High-risk group", of(high, n), percent(high / n)],
      ["stepwise-ppv", "HCC in the high-risk group", of(counts.highEvents, high), percent(ppv)],
    ]);
    speak(`${spared} of ${n} CT scores spared, ${missed} of ${events} cancers called low-risk`);
  }

  picture.onDrag(chart.root, (u, v) => choose(...chart.values(u, v)));
  picture.begin(form, update);
})();
