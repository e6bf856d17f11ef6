/* Sphinx's search passes over numbers: its page leads on to the index, which finds them. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const results = document.getElementById("search-results");
  const query = new URLSearchParams(window.location.search).get("q") ?? "";
  if (!results || !/\d/.test(query)) return;
  const line = document.createElement("p");
  const link = document.createElement("a");
  link.href = `results.html#find=${encodeURIComponent(query)}`;
  link.id = "search-numbers";
  link.textContent = `Look up ${query} among the printed numbers`;
  line.append(link);
  results.before(line);
});
