/* Search and filters of the index of items and claims. What is chosen stands in the fragment of the address. */
"use strict";

(() => {
  const { byId, show } = window.hccbookBase;
  const AT_FIRST = 40;
  const FIELDS = ["find", "paper", "kind", "status", "certainty"];
  const fields = Object.fromEntries(FIELDS.map((name) => [name, byId(`index-${name}`)]));
  const rows = [...byId("index-table").querySelectorAll("tbody > tr")];
  const texts = new Map(rows.map((row) => [row, plain(row.textContent)]));
  let everything = false;

  function plain(text) {
    return text.toLowerCase().replace(/[\s\u00a0]+/g, " ").replace(/[–−]/g, "-");
  }

  /* What must be in a row: a number as a whole, so that 0.92 does not find 0.929. */
  function terms(query) {
    const parts = plain(query).match(/"[^"]+"|[^\s"]+/g) ?? [];
    return parts.map((part) => {
      const words = part.replace(/"/g, "");
      const before = /^\d/.test(words) ? "(?<![\\d.,])" : "";
      const after = /\d$/.test(words) ? "(?!\\d|[.,]\\d)" : "";
      const escaped = words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      return { pattern: new RegExp(before + escaped + after), isNumber: /^[<\d.,%-]+$/.test(words) };
    });
  }

  function ofKind(row, kind) {
    const isClaim = row.id.startsWith("claim-");
    return kind === "" || (kind === "claim" ? isClaim : kind === "item" ? !isClaim : row.dataset.kind === kind);
  }

  function fits(row, chosen, searched) {
    return (
      ["paper", "status", "certainty"].every((name) => chosen[name] === "" || row.dataset[name] === chosen[name]) &&
      ofKind(row, chosen.kind) &&
      searched.every(({ pattern }) => pattern.test(texts.get(row)))
    );
  }

  /* Opens the list of printed numbers where what was searched for stands in it, and marks its lines. */
  function point(row, searched) {
    const details = row.querySelector("details");
    if (!details) return;
    const numbers = searched.filter((term) => term.isNumber);
    const here = (line) => numbers.some(({ pattern }) => pattern.test(plain(line.textContent)));
    const lines = [...details.querySelectorAll("li")];
    lines.forEach((line) => line.classList.toggle("index-found", here(line)));
    details.open = lines.some(here);
  }

  function chosen() {
    return Object.fromEntries(FIELDS.map((name) => [name, fields[name].value.trim()]));
  }

  function update() {
    const now = chosen();
    const searched = terms(now.find);
    const found = rows.filter((row) => fits(row, now, searched));
    const shown = new Set(everything ? found : found.slice(0, AT_FIRST));
    rows.forEach((row) => {
      row.hidden = !shown.has(row);
      if (!row.hidden) point(row, searched);
    });
    const claims = found.filter((row) => row.id.startsWith("claim-")).length;
    show(byId("index-count"), `Claims: ${claims}, figures and tables: ${found.length - claims}`);
    const rest = found.length - shown.size;
    show(byId("index-more"), rest ? `Show the other ${rest}` : "");
  }

  function keep() {
    const set = Object.entries(chosen()).filter(([, value]) => value !== "");
    const fragment = set.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
    window.history.replaceState(null, "", `#${fragment}`);
  }

  function changed() {
    everything = false;
    keep();
    update();
  }

  /* A fragment without "=" is a row or a heading of this page. */
  function read() {
    const fragment = window.location.hash.slice(1);
    const given = new URLSearchParams(fragment.includes("=") ? fragment : fragment ? "" : window.location.search);
    FIELDS.forEach((name) => {
      fields[name].value = given.get(name) ?? "";
      if (fields[name].value === "" && fields[name].tagName === "SELECT") fields[name].selectedIndex = 0;
    });
    const row = fragment.includes("=") ? null : rows.find((one) => one.id === decodeURIComponent(fragment));
    everything = Boolean(row);
    update();
    if (row) {
      if (row.querySelector("details")) row.querySelector("details").open = true;
      row.scrollIntoView();
    }
  }

  byId("index-filters").addEventListener("submit", (event) => event.preventDefault());
  FIELDS.forEach((name) => fields[name].addEventListener("input", changed));
  byId("index-clear").addEventListener("click", () => {
    FIELDS.forEach((name) => (fields[name].value = ""));
    changed();
  });
  byId("index-more").addEventListener("click", () => {
    everything = true;
    const first = rows.filter((row) => !row.hidden).length;
    update();
    rows.filter((row) => !row.hidden)[first]?.querySelector("a, summary")?.focus();
  });
  window.addEventListener("hashchange", read);
  byId("index-filters").hidden = false;
  read();
  byId("index-filters").dataset.ready = "true";
})();
