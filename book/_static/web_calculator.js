/* Score calculator: aMAP, ALBI and the scores that aMAP-CT is compared with, and the step from aMAP to aMAP-CT. */
"use strict";

(() => {
  const form = document.getElementById("calculator");
  if (!form) return;
  const models = window.hccbookModels;
  const scores = window.hccbookScores;
  const { byId, element, show, afterPause } = window.hccbookBase;
  const { FIELDS, buildAll, readAll, lacking, inSentence, stamp } = window.hccbookFields;

  const EXAMPLE = {
    age: 55, male: 1, bilirubin: 20, albumin: 38, platelets: 110, hbv_dna: 3000,
    stiffness_kpa: 13.5, cirrhosis: 1, etiology: "HBV", ct_image: 0.4,
  };

  const ADVICE = {
    low: "Ultrasound and AFP every six months, as before; the risk may rise later, so it is worked out again "
      + "over time.",
    high: "Closer surveillance; its interval (three months, for example), whether MRI and CT should alternate, "
      + "and which blood markers to add, remain to be shown in trials.",
  };

  const boundText = (bound) => `${bound.belongs ? "from" : "above"} ${bound.value}`;

  function groupsText(table) {
    const risen = table.group_bounds.map((bound, position) => `${table.groups[position + 1]} ${boundText(bound)}`);
    return `0 to ${table.greatest}; ${risen.join(", ")}`;
  }

  function pointsText(rows) {
    const names = { hbv_dna_iu_ml: "HBV DNA", hbv_dna_copies_ml: "HBV DNA" };
    return rows.map((row) => `${names[row.name] ?? inSentence(FIELDS[row.name].label)} ${row.points}`).join(" + ");
  }

  /* A score's function takes the values and gives {value, group, how}; `about` says range and groups. */
  function amapResult(values) {
    const score = scores.amap(values);
    const bounds = scores.AMAP_BOUNDS.map((bound) => bound.value);
    return { value: scores.rounded(score, 2, bounds), group: scores.amapGroup(score), how: "" };
  }

  function albiResult(values) {
    const score = scores.albi(values);
    const bounds = scores.ALBI_BOUNDS.map((bound) => bound.value);
    return { value: scores.rounded(score, 2, bounds), group: `grade ${scores.albiGrade(score)}`, how: "" };
  }

  function pointResult(table, values) {
    const tooLow = table.items.find((item) => item.least !== null && values[item.name] < item.least);
    if (tooLow) {
      const label = inSentence(FIELDS[tooLow.name].label);
      const how = `Its table begins at ${label} ${tooLow.least}; found ${values[tooLow.name]}.`;
      return { value: "", group: "", how };
    }
    const { rows, total, group } = scores.pointScore(table, values);
    return { value: String(total), group, how: pointsText(rows) };
  }

  const ROWS = [
    { name: "amap", label: "aMAP", about: "low below 50, medium 50 to 60, high above 60", compute: amapResult },
    { name: "albi", label: "ALBI", about: "grade 1 to -2.60, 2 to -1.39, 3 above", compute: albiResult },
    ...Object.entries(models.point_scores).map(([name, table]) => ({
      name, label: table.label, about: groupsText(table), compute: (values) => pointResult(table, values),
    })),
  ];

  function buildRow(row) {
    const how = element("span", { class: "web-how", id: `${row.name}-how` });
    const head = element("th", { scope: "row" }, row.label, element("span", { class: "web-about" }, row.about), how);
    const value = element("td", { id: `${row.name}-value`, class: "web-number" });
    const group = element("td", { id: `${row.name}-group` });
    byId("score-rows").append(element("tr", {}, head, value, group));
  }

  function showRow(row, values, wrong) {
    const reason = lacking(models.score_inputs[row.name], values, wrong);
    const result = reason ? { value: "", group: "", how: reason } : row.compute(values);
    byId(`${row.name}-value`).textContent = result.value;
    const group = element("span", result.group ? { class: "web-group", "data-group": result.group } : {}, result.group);
    byId(`${row.name}-group`).replaceChildren(group);
    show(byId(`${row.name}-how`), result.how);
    return result.value ? `${row.label} ${result.value}, ${result.group}` : "";
  }

  /* CU-HCC counts copies and LSM-HCC international units; the reader gives one of them. */
  function withBothHbvUnits(values) {
    const { hbv_dna_iu_ml: units, hbv_dna_copies_ml: copies } = values;
    if (units !== undefined) return { ...values, hbv_dna_copies_ml: units * models.copies_per_iu };
    if (copies !== undefined) return { ...values, hbv_dna_iu_ml: copies / models.copies_per_iu };
    return values;
  }

  /* The stepwise decision: {text, final, advice}; final is empty while something is missing. */
  function stepwise(values, wrong) {
    const open = (text) => ({ text, final: "", advice: "" });
    const decided = (text, final) => ({ text, final, advice: ADVICE[final] });
    const reason = lacking(models.score_inputs.amap, values, wrong);
    if (reason) return open(`First aMAP. ${reason}`);
    const low = models.amap_ct?.amap_low ?? scores.AMAP_BOUNDS[0].value;
    const amap = scores.amap(values);
    const shown = scores.rounded(amap, 2, [low]);
    if (amap < low) return decided(`aMAP ${shown} is below ${low}: no CT score is needed.`, "low");
    const next = `aMAP ${shown} is not below ${low}: the next step is aMAP-CT.`;
    if (!models.amap_ct) return open(`${next} There is no model here to go on with. ${models.absent.amap_ct}`);
    if (wrong.ct_image) return open(`${next} Correct the CT image score.`);
    if (values.ct_image === undefined) return open(`${next} It needs a CT image score.`);
    const { combination, cutoff } = models.amap_ct;
    const probability = scores.probability(scores.logOdds(combination, { amap, ct_image: values.ct_image }));
    const final = scores.groupByCuts(probability, [cutoff]);
    const where = final === "high" ? "reaches" : "stays below";
    const text = `${next} Its probability of HCC within three years, ${scores.percent(probability, [cutoff])}, `
      + `${where} the cut-off of ${scores.cutPercent(cutoff)}.`;
    return decided(text, final);
  }

  function showStepwise(values, wrong) {
    const { text, final, advice } = stepwise(values, wrong);
    show(byId("stepwise-text"), text);
    const group = byId("stepwise-group");
    show(group, final ? `${final} risk` : "");
    group.dataset.group = final;
    show(byId("stepwise-advice"), advice);
  }

  const fields = buildAll(form);
  ROWS.forEach(buildRow);
  const speak = afterPause((text) => show(byId("calculator-status"), text));

  function update() {
    const read = readAll(fields);
    const values = withBothHbvUnits(read.values);
    const computed = ROWS.map((row) => showRow(row, values, read.wrong)).filter(Boolean);
    showStepwise(values, read.wrong);
    speak(computed.length ? computed.join("; ") : "No score yet.");
  }

  function fillIn() {
    Object.entries(EXAMPLE).forEach(([name, value]) => fields[name].set(value));
    update();
  }

  if (models.amap_ct) stamp(byId("calculator-stamp"), "the aMAP-CT model of the last step was");
  else show(byId("calculator-stamp"), "For research and teaching, not for clinical use.");
  if (models.amap_ct?.cautions.length) show(byId("calculator-caution"), models.amap_ct.cautions.join(" "));
  form.addEventListener("input", update);
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The form empties its fields only after this event.
  form.addEventListener("reset", () => setTimeout(update));
  byId("calculator-example").addEventListener("click", fillIn);
  update();
  form.dataset.ready = "true";
})();
