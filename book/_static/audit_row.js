/* One row of a table of diagnostic performance: the 2x2 tables that fit it, its intervals, and what cannot be. */
"use strict";

(() => {
  const form = document.getElementById("audit_row");
  if (!form) return;
  const picture = window.hccbookPicture;
  const audit = window.hccbookAudit;
  const { byId, element, svg, show } = picture;

  const MEASURES = {
    sensitivity: "Sensitivity", specificity: "Specificity", ppv: "PPV", npv: "NPV", accuracy: "Accuracy", f1: "F1",
    prevalence: "Prevalence", "youden index": "Youden index", "balanced accuracy": "Balanced accuracy",
    "positive likelihood ratio": "Likelihood ratio, positive",
    "negative likelihood ratio": "Likelihood ratio, negative",
    kappa: "Kappa", mcc: "MCC",
  };
  const WITH_LIMITS = ["sensitivity", "specificity", "ppv", "npv", "accuracy"];
  const NEVER_PERCENT = ["positive likelihood ratio", "negative likelihood ratio", "kappa", "mcc"];
  const MOST_PEOPLE = 20000;
  const MOST_TABLES = 4e6;
  const SHOWN = 12;
  const idOf = (measure) => `audit_row-${measure.replaceAll(" ", "-")}`;

  // Made up; the second row prints another PPV, the third limits of the whole cohort.
  const EXAMPLE = { tp: 63, fp: 102, fn: 27, tn: 408 };
  const EXAMPLES = {
    "A row that fits": [{}, "Wilson", audit.OWN],
    "A row behind which there is no table": [{ ppv: "0.402" }, "Wilson", audit.OWN],
    "Intervals on the wrong people": [{}, "Wald", "whole cohort"],
  };

  function textField(place, id, label, name = label) {
    const input = element("input", {
      id, type: "text", inputmode: "decimal", "aria-label": name, placeholder: label, size: 6,
    });
    place.append(input);
    return input;
  }

  function wholeField(place, id, label) {
    const input = element("input", { id, type: "text", inputmode: "numeric", "aria-describedby": "audit_row-wrong" });
    place.append(element("div", { class: "web-field" }, element("label", { for: id }, label),
      element("span", { class: "web-entry" }, input)));
    return input;
  }

  function measureField(place, measure) {
    const label = MEASURES[measure];
    const entry = element("span", { class: "web-entry" });
    const value = element("input", {
      id: idOf(measure), type: "text", inputmode: "decimal", size: 6, "aria-describedby": "audit_row-wrong",
    });
    entry.append(value);
    const limits = WITH_LIMITS.includes(measure)
      ? ["lower", "upper"].map((end) => textField(entry, `${idOf(measure)}-${end}`, end, `${label}, ${end} limit`))
      : [];
    place.append(element("div", { class: "web-field" }, element("label", { for: idOf(measure) }, label), entry));
    return [value, ...limits];
  }

  const people = byId("audit_row-people");
  const n = wholeField(people, "audit_row-n", "People");
  const events = wholeField(people, "audit_row-events", "With the outcome");
  const unit = picture.select(people, {
    id: "audit_row-unit", label: "Measures printed as", options: [["", "shares of 1"], ["%", "per cent"]],
  });
  const fields = Object.fromEntries(Object.keys(MEASURES).map((measure) => [
    measure, measureField(byId(measure in audit.SHARES ? "audit_row-main" : "audit_row-further"), measure),
  ]));
  const inputs = [n, events, ...Object.values(fields).flat()];
  picture.buttons(byId("audit_row-examples"), {
    ...Object.fromEntries(Object.entries(EXAMPLES).map(([text, given]) => [text, () => fillIn(...given)])),
    Clear: () => {
      inputs.forEach((input) => { input.value = ""; });
      update();
    },
  });
  const choices = byId("audit_row-choices");
  const chosenTable = picture.select(choices, { id: "audit_row-table", label: "2x2 table", options: [] });
  const chosenMeasure = picture.select(choices, {
    id: "audit_row-measure", label: "Interval of", options: WITH_LIMITS.map((measure) => [measure, MEASURES[measure]]),
  });
  const chosenPeople = picture.select(choices, { id: "audit_row-base", label: "Computed with", options: [] });
  const speak = picture.speaker(form);

  function fillIn(changed, method, base) {
    unit.set("");
    n.value = "600";
    events.value = "90";
    Object.entries(fields).forEach(([measure, [value, lower, upper]]) => {
      value.value = measure in audit.SHARES ? changed[measure] ?? audit.valueOf(EXAMPLE, measure).toFixed(3) : "";
      if (!lower) return;
      const number = audit.denominators(EXAMPLE, measure)[base];
      const limits = audit.METHODS[method](audit.valueOf(EXAMPLE, measure), number);
      [lower.value, upper.value] = limits.map((limit) => limit.toFixed(3));
    });
    update();
  }

  const wrong = [];

  function refuse(input, message) {
    input.setAttribute("aria-invalid", "true");
    wrong.push(message);
  }

  function wholeNumber(input, label) {
    const digits = input.value.trim().replaceAll(",", "");
    if (digits === "") return null;
    if (/^\d+$/.test(digits)) return Number(digits);
    refuse(input, `${label}: must be a whole number, but found ${input.value}.`);
    return null;
  }

  /* What one field prints: undefined where it is empty or wrong, null for n.a. */
  function printed(input, label, measure) {
    const text = input.value.trim();
    if (text === "") return undefined;
    if (/^(n\.?a\.?|–|-)$/i.test(text)) return null;
    const isPercent = unit.value() === "%" && !NEVER_PERCENT.includes(measure);
    const range = audit.printedRange(text.replace(/\s*%$/, ""), isPercent);
    if (!range) {
      refuse(input, `${label}: must be a number as printed or n.a., but found ${text}. Write 0.103 or <0.01.`);
    } else if (measure in audit.SHARES && range.low > 1) {
      const hint = isPercent ? "Check the number." : "Are the measures printed in per cent? Choose it above.";
      refuse(input, `${label}: must be at most ${isPercent ? "100 %" : "1"}, but found ${text}. ${hint}`);
    } else return range;
    return undefined;
  }

  /* The row as typed: people, measures and limits. */
  function read() {
    wrong.length = 0;
    inputs.forEach((input) => input.removeAttribute("aria-invalid"));
    const sizes = { n: wholeNumber(n, "People"), events: wholeNumber(events, "With the outcome") };
    const row = { ...sizes, measures: {}, limits: {} };
    if (row.n !== null && row.events !== null && row.events > row.n) {
      refuse(events, `With the outcome: must be at most ${row.n}, but found ${row.events}. Are the two exchanged?`);
    }
    if (row.n > MOST_PEOPLE) refuse(n, `People: must be at most ${MOST_PEOPLE} here, but found ${row.n}.`);
    Object.entries(fields).forEach(([measure, [value, ...ends]]) => {
      const range = printed(value, MEASURES[measure], measure);
      if (range !== undefined) row.measures[measure] = range;
      const [lower, upper] = ends.map((end) => printed(end, end.getAttribute("aria-label"), measure));
      if (lower && upper) row.limits[measure] = [lower, upper];
    });
    return row;
  }

  const tableText = ({ tp, fp, fn, tn }) => `TP ${tp}, FP ${fp}, FN ${fn}, TN ${tn}`;
  const counted = (tables) => (tables.length === 1 ? `one table, ${tableText(tables[0])}` : `${tables.length} tables`);

  /* A value to the digits, and in the unit, of a printed one. */
  function inDigits(value, measure, text = "") {
    if (!Number.isFinite(value)) return "n.a.";
    const isPercent = unit.value() === "%" && !NEVER_PERCENT.includes(measure);
    const places = text.includes(".") ? text.split(".")[1].replace(/\D/g, "").length : 0;
    return (value * (isPercent ? 100 : 1)).toFixed(text ? places : isPercent ? 1 : 3);
  }

  /* A share that no whole number of its people has. */
  function impossibleShares({ n: size, events: cases, measures }) {
    const own = { sensitivity: cases, specificity: size - cases, accuracy: size };
    return Object.entries(own).filter(([measure]) => measures[measure]).flatMap(([measure, number]) => {
      const [least, most] = audit.countsThatPrintAs(measures[measure], number);
      if (least <= most || number === 0) return [];
      const near = [most, least].filter((count) => count >= 0 && count <= number)
        .map((count) => `${count} of ${number} is ${inDigits(count / number, measure, measures[measure].text)}`);
      const { text } = measures[measure];
      return `${MEASURES[measure]} ${text} is a share of no whole number of ${number}: ${near.join(", ")}.`;
    });
  }

  /* What one measure would have to be, were it the only one at fault. */
  function aloneAtFault({ n: size, events: cases, measures }) {
    return Object.keys(measures).flatMap((measure) => {
      const { [measure]: left, ...others } = measures;
      const tables = Object.keys(others).length ? audit.compatibleTables(others, cases, size - cases) : [];
      if (!tables.length) return [];
      const valueIn = (table) => inDigits(audit.valueOf(table, measure), measure, left?.text);
      const values = [...new Set(tables.map(valueIn))];
      const would = values.length > 6 ? `${values[0]} … ${values.at(-1)}` : values.join(", ");
      const without = `Without the ${inSentence(measure)} of ${left?.text ?? "n.a."}`;
      return `${without} there is ${counted(tables)}: it would be ${would}.`;
    });
  }

  const isShort = (measure) => /^(ppv|npv|f1|mcc)$/.test(measure);
  const inSentence = (measure) => (isShort(measure) ? MEASURES[measure] : MEASURES[measure].toLowerCase());

  function reasons(row) {
    const { n: size, events: cases, measures } = row;
    const found = impossibleShares(row);
    const digitsCut = audit.compatibleTables(audit.cut(measures), cases, size - cases);
    if (digitsCut.length) found.push(`Were last digits cut instead of rounded, there is ${counted(digitsCut)}.`);
    if ((cases + 1) * (size - cases + 1) > MOST_TABLES) return found;
    found.push(...aloneAtFault(row));
    audit.nearbySizes(measures, size, cases).forEach(({ n: people_, events: events_, tables }) => {
      found.push(`With ${events_} of ${people_} people there is ${counted(tables)}.`);
    });
    const several = "No single measure, and no size within one, explains it: more than one number is wrong.";
    return found.length ? found : [several];
  }

  const interval = ([low, high], measure, text) => (
    `${inDigits(low, measure, text)} to ${inDigits(high, measure, text)}`
  );

  function ways(table, measure, [lower, upper]) {
    const found = audit.waysToReproduce(table, measure, lower, upper);
    if (!found.length) return "as by no method and no number of people tried";
    const own = found.filter(({ name }) => name === audit.OWN);
    const named = {};
    (own.length ? own : found).forEach(({ method, name, number }) => {
      (named[`${name} (${number})`] ??= []).push(method);
    });
    return `as by ${Object.entries(named).map(([on, methods]) => `${methods.join(", ")} on ${on}`).join("; ")}`;
  }

  /* Of a table that fits: limits that are not of the people that the measure is of, or of no method. */
  function wrongLimits(table, { limits }) {
    const waysOf = ([measure, ends]) => [measure, audit.waysToReproduce(table, measure, ...ends)];
    const found = Object.entries(limits).map(waysOf);
    const listed = (isSo) => found.filter(([, by]) => isSo(by)).map(([measure]) => inSentence(measure)).join(", ");
    const onOthers = listed((by) => by.length && by.every(({ name }) => name !== audit.OWN));
    const byNone = listed((by) => !by.length);
    const others = "Limits that no method gives with the people that they are of, but with others";
    return [...(onOthers ? [`${others}: ${onOthers}.`] : []), ...(byNone ? [`Limits of no method: ${byNone}.`] : [])];
  }

  function showMeasures(table, { measures, limits }) {
    const rows = Object.keys(MEASURES).map((measure) => {
      const text = measures[measure]?.text ?? (measure in measures ? "n.a." : "");
      const shown = limits[measure] ? `${text} (${limits[measure].map((one) => one.text).join(" to ")})` : text;
      const said = limits[measure] ? ways(table, measure, limits[measure]) : "";
      return [`audit_row-of-${measure.replaceAll(" ", "-")}`, MEASURES[measure],
        inDigits(audit.valueOf(table, measure), measure, measures[measure]?.text), shown, said];
    });
    picture.rowsOf(byId("audit_row-measures"), rows);
  }

  function drawIntervals(measure, value, shown, printedLimits) {
    const middles = (printedLimits ?? []).map(({ low, high }) => (low + high) / 2);
    const ends = [...shown.flatMap(([, limits]) => limits), ...middles];
    const spread = Math.max(...ends) - Math.min(...ends);
    const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((size) => spread < 6 * size) ?? 0.5;
    const from = Math.floor(Math.min(...ends) / step) * step;
    const to = Math.ceil(Math.max(...ends) / step) * step;
    const marks = Array.from({ length: Math.round((to - from) / step) + 1 }, (_, place) => from + place * step);
    const scale = unit.value() ? 100 : 1;
    byId("audit_row-drawing").replaceChildren();
    const label = `${MEASURES[measure]}${unit.value() ? ", %" : ""}`;
    const chart = picture.chart(byId("audit_row-drawing"), {
      label: `Intervals of ${inSentence(measure)} by method; the values are in the table`, height: 250,
      margin: [14, 14, 52, 40],
      x: { from, to, label, ticks: marks.map((mark) => [mark, `${Number((scale * mark).toFixed(2))}`]) },
      y: { from: shown.length + 0.5, to: 0.5, label: "", ticks: shown.map((_, place) => [place + 1, `${place + 1}`]) },
    });
    const [top, bottom] = [0.5, shown.length + 0.5].map(chart.at.y);
    const lines = middles.map((limit) => svg("path", {
      d: `M${chart.at.x(limit)} ${top}V${bottom}`, class: "picture-guide",
    }));
    const drawn = shown.flatMap(([, [low, high]], place) => [
      svg("path", { d: `M${chart.at.x(low)} ${chart.at.y(place + 1)}H${chart.at.x(high)}`, class: "picture-line" }),
      svg("circle", { cx: chart.at.x(value), cy: chart.at.y(place + 1), r: 4, class: "picture-dot" }),
    ]);
    chart.draw(...lines, ...drawn);
  }

  function showIntervals(table, { measures, limits }) {
    const measure = chosenMeasure.value();
    const bases = audit.denominators(table, measure);
    const before = chosenPeople.value();
    chosenPeople.offer(Object.entries(bases).map(([name, number]) => [name, `${name} (${number})`]));
    chosenPeople.set(before in bases ? before : Object.keys(bases)[0]);
    const value = audit.valueOf(table, measure);
    const text = limits[measure]?.[0].text ?? measures[measure]?.text ?? "";
    const shown = Number.isNaN(value) ? [] : Object.entries(audit.METHODS)
      .map(([method, of]) => [method, of(value, bases[chosenPeople.value()])]);
    picture.rowsOf(byId("audit_row-intervals"), shown.map(([method, ends], place) => [
      `audit_row-by-${place + 1}`, `${place + 1}. ${method}`, interval(ends, measure, text),
      limits[measure] && audit.reproduces(ends, ...limits[measure]) ? "as printed" : "",
    ]));
    if (shown.length) drawIntervals(measure, value, shown, limits[measure]);
    else byId("audit_row-drawing").replaceChildren();
  }

  function showTables(tables) {
    picture.rowsOf(byId("audit_row-tables"), tables.slice(0, SHOWN).map(({ tp, fp, fn, tn }, place) => (
      [`audit_row-table-${place + 1}`, `${place + 1}`, `${tp}`, `${fp}`, `${fn}`, `${tn}`, `${tp + fp}`]
    )));
    const before = chosenTable.value();
    chosenTable.offer(tables.slice(0, SHOWN).map((table, place) => (
      [tableText(table), `${place + 1}: ${tableText(table)}`]
    )));
    if ([...chosenTable.input.options].some((option) => option.value === before)) chosenTable.set(before);
    show(byId("audit_row-more"), tables.length > SHOWN ? `${tables.length - SHOWN} more are not shown.` : "");
  }

  function reading(row, tables) {
    const { n: size, events: cases, measures } = row;
    if (wrong.length) return "Correct what is marked.";
    if (size === null || cases === null) return "Type how many people, and how many of them have the outcome.";
    if (!Object.keys(measures).length) return "Type a measure as the paper prints it, with all its digits.";
    const every = ((cases + 1) * (size - cases + 1)).toLocaleString("en");
    const of = `${every} tables of ${cases} with and ${size - cases} without the outcome`;
    if (!tables.length) return `None of the ${of} prints so.`;
    if (tables.length === 1) return `One of ${of} prints so: ${tableText(tables[0])}.`;
    return `${tables.length.toLocaleString("en")} of ${of} print so.`;
  }

  function update() {
    const row = read();
    const isReady = !wrong.length && row.n !== null && row.events !== null && Object.keys(row.measures).length > 0;
    const tables = isReady ? audit.compatibleTables(row.measures, row.events, row.n - row.events) : [];
    const said = reading(row, tables);
    show(byId("audit_row-wrong"), wrong.join(" "));
    show(byId("audit_row-reading"), said);
    if (tables.length) showTables(tables);
    const table = tables[Math.max(chosenTable.input.selectedIndex, 0)];
    const why = table ? wrongLimits(table, row) : isReady ? reasons(row) : [];
    byId("audit_row-reasons").replaceChildren(...why.map((text) => element("li", {}, text)));
    byId("audit_row-fits").hidden = !tables.length;
    if (table) {
      showMeasures(table, row);
      showIntervals(table, row);
    }
    speak([said, ...why].join(" "));
  }

  fillIn(...Object.values(EXAMPLES)[0]);
  picture.begin(form, update);
})();
