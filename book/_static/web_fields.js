/* Fields of both pages: labels, units that can be switched, and range checks whose message names the rule, the value
 * and the hint. What a reader typed is never altered; another unit only changes how it is read. */
"use strict";

window.hccbookFields = (() => {
  const { element, show } = window.hccbookBase;
  const { quantities, units } = window.hccbookModels;

  const FIELDS = {
    age: { label: "Age" },
    male: { label: "Sex", options: [["0", "Female"], ["1", "Male"]] },
    bilirubin: { label: "Total bilirubin" },
    albumin: { label: "Albumin" },
    platelets: { label: "Platelets" },
    hbv_dna: { label: "HBV DNA", note: "not its logarithm" },
    stiffness_kpa: { label: "Liver stiffness" },
    cirrhosis: { label: "Cirrhosis", options: [["0", "No"], ["1", "Yes"]] },
    etiology: {
      label: "Cause of liver disease",
      choices: [
        ["HBV", "Hepatitis B"],
        ["HCV", "Hepatitis C"],
        ["HCV after SVR", "Hepatitis C, cured (sustained virological response)"],
        ["NASH", "Steatohepatitis, metabolic"],
        ["alcohol", "Steatohepatitis, alcoholic"],
        ["autoimmune", "Autoimmune or cholestatic"],
        ["other", "Other"],
      ],
    },
    ct_image: {
      label: "CT image score",
      note: "from the aMAP-CT model; 0 is the mean of its training cohort",
    },
  };

  /* Typographic units, as the rest of the book prints them. */
  function typeset(text) {
    return text.replaceAll("umol", "µmol").replaceAll("10^9", "10⁹").replaceAll("10^3/mm^3", "10³/mm³");
  }

  function significant(value) {
    return String(Number(value.toPrecision(4)));
  }

  /* Ends of a range in another unit, rounded inwards: what the hint allows, the check accepts. */
  function endIn(unit, value, roundInwards) {
    if (unit.factor === 1) return value >= 1e6 ? value.toExponential().replace("e+", "e") : String(value);
    const exact = value / unit.factor;
    const scale = 10 ** (2 - Math.floor(Math.log10(exact)));
    return String(Number((roundInwards(exact * scale) / scale).toPrecision(3)));
  }

  function rangeIn(unit) {
    const { least, greatest, zero } = quantities[unit.quantity];
    const ends = `${endIn(unit, least, Math.ceil)} to ${endIn(unit, greatest, Math.floor)}`;
    return zero ? `${ends}, or 0 if undetectable` : ends;
  }

  function isBelow(number, unit) {
    const { least, zero } = quantities[unit.quantity];
    return number * unit.factor < least && !(zero && number === 0);
  }

  function isAbove(number, unit) {
    return number * unit.factor > quantities[unit.quantity].greatest;
  }

  function fits(number, unit) {
    return !isBelow(number, unit) && !isAbove(number, unit);
  }

  /* The rule, the value and the hint; the hint ends with the unit in which the number would be possible. */
  function rangeMessage(label, typed, number, unit, choices) {
    const { rule, if_less: ifLess, if_greater: ifGreater } = quantities[unit.quantity];
    const isOwn = unit.factor === 1;
    const saidRule = isOwn ? rule : `must be in ${unit.unit}, ${rangeIn(unit)}`;
    const hints = [];
    if (isOwn) hints.push(isBelow(number, unit) ? ifLess : ifGreater);
    const better = choices.find((other) => other !== unit && fits(number, other));
    if (better && isOwn) hints.push(`Or choose ${better.unit} beside it.`);
    if (better && !isOwn) hints.push(`Is it in ${better.unit}? Choose that unit.`);
    if (!hints.length) hints.push("Check the number and its unit.");
    return typeset(`${label}: ${saidRule}, but found ${typed}. ${hints.join(" ")}`);
  }

  function unitSelect(id, label, choices) {
    const select = element("select", { id: `${id}-unit`, "aria-label": `Unit of ${label}` });
    choices.forEach((unit) => select.append(element("option", { value: unit.unit }, typeset(unit.unit))));
    return select;
  }

  /* Number with its unit. read() gives {state: "missing"}, {state: "wrong", message} or {state: "given", values}. */
  function numberField(place, name, { label, note = "" }) {
    const choices = units[name] ?? [{ unit: "", quantity: name, factor: 1 }];
    const hint = element("p", { id: `${name}-hint`, class: "web-hint" });
    const error = element("p", { id: `${name}-error`, class: "web-error", "aria-live": "polite" });
    const input = element("input", {
      id: name, type: "number", step: "any", inputmode: "decimal", "aria-describedby": `${name}-hint ${name}-error`,
    });
    const select = choices.length > 1 ? unitSelect(name, label.toLowerCase(), choices) : null;
    const unitText = element("span", { class: "web-unit" }, typeset(choices[0].unit));
    const entry = element("span", { class: "web-entry" }, input, select ?? unitText);
    place.append(element("label", { for: name }, label), entry, hint, error);
    place.classList.add("web-field");

    const chosen = () => choices.find((unit) => unit.unit === (select?.value ?? choices[0].unit));

    function check() {
      const unit = chosen();
      const number = input.valueAsNumber;
      if (input.validity.badInput) {
        const message = `${label}: must be a number, but found something else. Use digits and one decimal point.`;
        return { state: "wrong", message };
      }
      if (Number.isNaN(number)) return { state: "missing" };
      if (units[name] && !fits(number, unit)) {
        return { state: "wrong", message: rangeMessage(label, input.value, number, unit, choices) };
      }
      return { state: "given", values: { [unit.quantity]: number * unit.factor } };
    }

    function hintText(answer) {
      const unit = chosen();
      const parts = units[name] ? [rangeIn(unit)] : [];
      if (note) parts.push(note);
      if (answer.state !== "given") return parts.join("; ");
      const value = answer.values[unit.quantity];
      if (unit.factor !== 1) parts.push(typeset(`this is ${significant(value)} ${choices[0].unit}`));
      if (name === "bilirubin" && value < quantities.bilirubin.min_median) {
        parts.push("unusually low with cirrhosis: is the unit right?");
      }
      return parts.join("; ");
    }

    function read() {
      const answer = check();
      input.setAttribute("aria-invalid", String(answer.state === "wrong"));
      show(error, answer.message ?? "");
      show(hint, hintText(answer));
      return answer;
    }

    function set(value, unit = choices[0].unit) {
      input.value = value;
      if (select) select.value = unit;
    }

    read();
    return { name, label, read, set };
  }

  /* A choice of two, as radio buttons; nothing is chosen at first, because a default would be a guess. */
  function radioField(place, name, { label, options }) {
    const group = element("fieldset", { class: "web-choice" }, element("legend", {}, label));
    const buttons = options.map(([value, text]) => {
      const button = element("input", { type: "radio", name, value, id: `${name}-${value}` });
      group.append(element("label", { for: button.id }, button, ` ${text}`));
      return button;
    });
    place.append(group);
    place.classList.add("web-field");

    function read() {
      const chosen = buttons.find((button) => button.checked);
      return chosen ? { state: "given", values: { [name]: Number(chosen.value) } } : { state: "missing" };
    }

    function set(value) {
      buttons.forEach((button) => { button.checked = button.value === String(value); });
    }

    return { name, label, read, set };
  }

  function selectField(place, name, { label, choices }) {
    const select = element("select", { id: name }, element("option", { value: "" }, "not given"));
    choices.forEach(([value, text]) => select.append(element("option", { value }, text)));
    place.append(element("label", { for: name }, label), element("span", { class: "web-entry" }, select));
    place.classList.add("web-field");

    function read() {
      return select.value ? { state: "given", values: { [name]: select.value } } : { state: "missing" };
    }

    function set(value) {
      select.value = value;
    }

    return { name, label, read, set };
  }

  function build(place) {
    const name = place.dataset.field;
    const field = FIELDS[name];
    if (field.options) return radioField(place, name, field);
    if (field.choices) return selectField(place, name, field);
    return numberField(place, name, field);
  }

  /* Fields in the placeholders of a part of the page, by name. */
  function buildAll(root) {
    const fields = [...root.querySelectorAll("[data-field]")].map(build);
    return Object.fromEntries(fields.map((field) => [field.name, field]));
  }

  /* Values of all fields, by argument of the scores, and the labels of those that must be corrected. */
  function readAll(fields) {
    const values = {};
    const wrong = {};
    Object.values(fields).forEach((field) => {
      const answer = field.read();
      if (answer.state === "given") Object.assign(values, answer.values);
      if (answer.state === "wrong") wrong[field.name] = field.label;
    });
    return { values, wrong };
  }

  /* Field that holds an argument of a score: HBV DNA is one field for two units. */
  function fieldOf(argument) {
    return argument.startsWith("hbv_dna") ? "hbv_dna" : argument;
  }

  /* Why a score has no value, in words; empty where everything is there. */
  function lacking(inputs, values, wrong) {
    const names = [...new Set(inputs.filter((input) => values[input] === undefined).map(fieldOf))];
    const labels = (list) => list.map((name) => inSentence(FIELDS[name].label)).join(", ");
    const missing = names.filter((name) => !wrong[name]);
    const corrected = names.filter((name) => wrong[name]);
    const parts = [];
    if (corrected.length) parts.push(`Correct ${labels(corrected)}.`);
    if (missing.length) parts.push(`Needs ${labels(missing)}.`);
    return parts.join(" ");
  }

  /* A label within a sentence: small first letter, unless it is an abbreviation. */
  function inSentence(label) {
    return /^[A-Z]{2}/.test(label) ? label : label[0].toLowerCase() + label.slice(1);
  }

  /* Says at the top of a tool what it is not; the models' patients are simulated unless the run was on own data. */
  function stamp(node, what) {
    const { synthetic } = window.hccbookModels;
    const origin = synthetic ? "SYNTHETIC" : "From this run";
    const patients = synthetic ? "simulated patients" : "its patients";
    show(node, `${origin}: ${what} fitted on ${patients}. For research and teaching, not for clinical use.`);
  }

  /* Why a quantity that has one unit cannot have a value; empty where it can. */
  function refusal(name, label, typed, number) {
    const [unit] = units[name];
    return fits(number, unit) ? "" : rangeMessage(label, typed, number, unit, [unit]);
  }

  return { FIELDS, buildAll, readAll, lacking, inSentence, stamp, refusal };
})();
