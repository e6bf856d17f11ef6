/* Web nomogram of ALARM: aMAP, the radiomics score and the deep score give the probability, the risk group and what
 * the paper suggests for it. */
"use strict";

(() => {
  const form = document.getElementById("nomogram");
  if (!form) return;
  const models = window.hccbookModels;
  const model = models.alarm;
  const scores = window.hccbookScores;
  const { byId, element, show } = window.hccbookBase;
  const { buildAll, readAll, lacking, stamp, refusal } = window.hccbookFields;

  const LABELS = { amap: "aMAP", radiomics: "Radiomics score", deep: "Deep score" };
  const SPREAD = 4;

  // ALARM, Discussion, where the authors derive recommendations from the groups' incidence; in this book's words.
  const ADVICE = {
    low: "Screening at intervals of six months.",
    medium: "CT again after a short interval, about three to six months.",
    high: "MRI at once, or a biopsy, to find out what a lesion is.",
  };

  if (!model) {
    show(byId("nomogram-absent"), `There is no ALARM model to compute with. ${models.absent.alarm}`);
    byId("nomogram-tool").hidden = true;
    form.dataset.ready = "true";
    return;
  }

  const { combination, cuts } = model;
  const column = (name) => combination.names.indexOf(name);

  /* A round step of about a hundredth of the standard deviation. */
  function stepOf(scale) {
    return 10 ** Math.floor(Math.log10(scale / 20));
  }

  /* Mean and four standard deviations to either side in the cohort the model was fitted on; aMAP has its own range. */
  function rangeOf(name) {
    if (name === "amap") return { ...models.quantities.amap, step: 0.1 };
    const mean = combination.means[column(name)];
    const scale = combination.scales[column(name)];
    const step = stepOf(scale);
    const onGrid = (value) => Number((Math.round(value / step) * step).toFixed(12));
    return { least: onGrid(mean - SPREAD * scale), greatest: onGrid(mean + SPREAD * scale), step };
  }

  function startOf(name, { step }) {
    return Number((Math.round(combination.means[column(name)] / step) * step).toFixed(12));
  }

  /* Slider and number box of one score; the box holds the value, the slider follows and stops at its ends. */
  function sliderField(place) {
    const name = place.dataset.slider;
    const range = rangeOf(name);
    const bounds = { min: range.least, max: range.greatest, step: range.step };
    const hint = element("p", { id: `${name}-hint`, class: "web-hint" });
    const error = element("p", { id: `${name}-error`, class: "web-error", "aria-live": "polite" });
    const slider = element("input", {
      type: "range", id: `${name}-slider`, "aria-label": `${LABELS[name]}, slider`, ...bounds,
    });
    const box = element("input", {
      type: "number", id: `${name}-number`, step: "any", inputmode: "decimal",
      "aria-describedby": `${name}-hint ${name}-error`,
    });
    const pair = element("span", { class: "web-slider" }, slider, box);
    place.append(element("label", { for: box.id }, LABELS[name]), pair, hint, error);
    place.classList.add("web-field");

    function set(value) {
      box.value = value;
      slider.value = value;
    }

    slider.addEventListener("input", () => { box.value = slider.value; });
    box.addEventListener("input", () => { if (!Number.isNaN(box.valueAsNumber)) slider.value = box.value; });

    function read() {
      const value = box.valueAsNumber;
      const message = Number.isNaN(value) ? missingText(name) : impossible(name, box.value, value);
      const isFar = !message && (value < range.least || value > range.greatest);
      box.setAttribute("aria-invalid", String(message !== ""));
      show(error, message);
      show(hint, isFar ? farText(range) : hintText(name, range));
      return message ? undefined : value;
    }

    const reset = () => set(startOf(name, range));
    reset();
    return { read, reset };
  }

  /* aMAP has a range; the scores from the CT are weighted sums, standardised here as aMAP-CT's is. */
  function impossible(name, typed, value) {
    if (name === "amap") return refusal("amap", LABELS.amap, typed, value);
    const standardised = (value - combination.means[column(name)]) / combination.scales[column(name)];
    const message = refusal("ct_image", LABELS[name], standardised.toPrecision(3), standardised);
    return message && `${message} (${typed} lies so far from the cohort's mean.)`;
  }

  function hintText(name, { least, greatest }) {
    if (name === "amap") return `${least} to ${greatest}; the slider starts at the cohort's mean`;
    return `${least} to ${greatest}: four standard deviations about the cohort's mean`;
  }

  function farText({ least, greatest }) {
    return `Outside ${least} to ${greatest}: the model was fitted on nobody like this; the result is extrapolated.`;
  }

  function missingText(name) {
    return `${LABELS[name]}: must be a number, but found nothing or text. Type one or move the slider.`;
  }

  const isComputed = () => byId("amap-from-inputs").checked;

  /* aMAP as given or from its five inputs; undefined, with the reason shown, while something is missing. */
  function readAmap(sliders, fields) {
    byId("amap-direct").hidden = isComputed();
    byId("amap-inputs").hidden = !isComputed();
    if (!isComputed()) {
      show(byId("amap-computed"), "");
      return sliders.amap.read();
    }
    const { values, wrong } = readAll(fields);
    const amap = scores.amap(values);
    const reason = lacking(models.score_inputs.amap, values, wrong) || impossible("amap", amap.toFixed(2), amap);
    const bounds = scores.AMAP_BOUNDS.map((bound) => bound.value);
    const said = () => `aMAP ${scores.rounded(amap, 2, bounds)}, ${scores.amapGroup(amap)} risk by aMAP alone`;
    show(byId("amap-computed"), reason || said());
    return reason ? undefined : amap;
  }

  /* Share of the way along the scale: log odds, so that small and large probabilities both have room. */
  function place(probability) {
    const end = 7;
    const logit = Math.log(probability / (1 - probability));
    return (100 * (Math.min(Math.max(logit, -end), end) + end)) / (2 * end);
  }

  function drawScale() {
    const [low, high] = cuts.map(place);
    const widths = { low, medium: high - low, high: 100 - high };
    Object.entries(widths).forEach(([group, width]) => {
      byId("scale-bar").append(element("span", { "data-group": group, style: `width: ${width}%` }));
    });
    [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999].forEach((tick) => {
      const text = `${Number((100 * tick).toPrecision(3))}`;
      byId("scale-ticks").append(element("span", { style: `left: ${place(tick)}%` }, text));
    });
  }

  /* With its sign, but none at zero: "-0.00" would say something that is not so. */
  function signed(text) {
    if (Number(text) === 0) return "0.00";
    return Number(text) > 0 ? `+${text}` : text;
  }

  function showContributions(values) {
    const rows = scores.contributions(combination, values);
    const widest = Math.max(3, ...rows.map((row) => Math.abs(row.change)));
    byId("contributions").replaceChildren(...rows.map((row) => {
      const sign = row.change < 0 ? "down" : "up";
      const width = (50 * Math.abs(row.change)) / widest;
      const bar = element("span", { class: "web-bar", "data-sign": sign, style: `width: ${width}%` });
      const text = signed(row.change.toFixed(2));
      return element("tr", {},
        element("th", { scope: "row" }, LABELS[row.name]), element("td", { class: "web-number" }, text),
        element("td", { class: "web-bars", "aria-hidden": "true" }, bar));
    }));
  }

  function showNothing() {
    show(byId("nomogram-probability"), "");
    show(byId("nomogram-group"), "");
    show(byId("nomogram-advice"), "Give all three scores to see the risk.");
    byId("scale-marker").hidden = true;
    byId("contributions").replaceChildren();
  }

  function showRisk(values) {
    const probability = scores.probability(scores.logOdds(combination, values));
    const group = scores.groupByCuts(probability, cuts);
    show(byId("nomogram-probability"), scores.percent(probability, cuts));
    show(byId("nomogram-group"), `${group} risk`);
    byId("nomogram-group").dataset.group = group;
    show(byId("nomogram-advice"), ADVICE[group]);
    byId("scale-marker").hidden = false;
    byId("scale-marker").style.left = `${place(probability)}%`;
    showContributions(values);
  }

  const sliders = Object.fromEntries(
    [...form.querySelectorAll("[data-slider]")].map((node) => [node.dataset.slider, sliderField(node)]),
  );
  const fields = buildAll(form);

  function update() {
    const values = {
      amap: readAmap(sliders, fields), radiomics: sliders.radiomics.read(), deep: sliders.deep.read(),
    };
    if (Object.values(values).includes(undefined)) showNothing();
    else showRisk(values);
  }

  function startAgain() {
    Object.values(sliders).forEach((slider) => slider.reset());
    update();
  }

  stamp(byId("nomogram-stamp"), "this model was");
  if (model.cautions.length) show(byId("nomogram-caution"), model.cautions.join(" "));
  const [lowEnd, highStart] = cuts.map(scores.cutPercent);
  show(byId("nomogram-cuts"), `Low risk below ${lowEnd}, high risk from ${highStart}: the cut-offs of this run.`);
  byId("nomogram-oversampled").hidden = !model.oversampled;
  drawScale();
  form.addEventListener("input", update);
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(startAgain));
  update();
  form.dataset.ready = "true";
})();
