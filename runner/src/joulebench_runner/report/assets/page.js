// Everything that comes from models and data sets is set as text (textContent), never as HTML.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const PAGE = 100;

  function make(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "class") made.className = value;
      else if (name.includes("-") || name === "colspan" || name === "scope") made.setAttribute(name, value);
      else made[name] = value;
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  // Figures ---------------------------------------------------------------------------------------------------------

  const CONFIG = { responsive: true, displayModeBar: false };
  const plots = [...document.querySelectorAll(".plot")];

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { text: of("--text"), grid: of("--grid"), card: of("--card"), line: of("--line") };
  }

  function themed(layout) {
    const colour = colours();
    const change = {
      "font.color": colour.text, "font.family": getComputedStyle(document.body).fontFamily,
      "hoverlabel.bgcolor": colour.card, "hoverlabel.bordercolor": colour.line, "hoverlabel.font.color": colour.text,
    };
    for (const axis of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
      change[axis + ".gridcolor"] = colour.grid;
      change[axis + ".linecolor"] = colour.line;
      change[axis + ".zeroline"] = false;
      change[axis + ".automargin"] = true;
    }
    return change;
  }

  async function draw(plot) {
    const figure = data.figures[plot.dataset.figure];
    await Plotly.newPlot(plot, figure.data, figure.layout, CONFIG);
    await Plotly.relayout(plot, themed(figure.layout));
    plot.on("plotly_click", (event) => event.points[0].customdata && reveal(event.points[0].customdata));
  }

  const drawn = Promise.all(plots.map(draw)).then(() => document.documentElement.setAttribute("data-ready", "yes"));
  const retheme = () => plots.forEach((plot) => Plotly.relayout(plot, themed(plot.layout)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.then(retheme));
  // On paper the colours are those of the light page, and the width is the paper's.
  matchMedia("print").addEventListener("change", () => drawn.then(() => {
    retheme();
    plots.forEach((plot) => Plotly.Plots.resize(plot));
  }));

  // Questions -------------------------------------------------------------------------------------------------------

  const MARKS = { right: "\u2713 right", wrong: "\u2717 wrong", unscored: "\u2013 unscored", error: "! error" };
  const ORDER = ["wrong", "error", "unscored", "right"];
  const rows = data.questions;
  const missing = "";

  const number = (value, digits = 3) => value === undefined ? missing : Number(value.toPrecision(digits)).toLocaleString("en");
  function scaled(value, unit) {
    if (value === undefined) return missing;
    const size = Math.abs(value);
    if (size < 1 && size > 0) return (value * 1000).toPrecision(3) + " m" + unit;
    if (size >= 1000 && unit === "J") return (value / 1000).toPrecision(3) + " kJ";
    return size >= 100 ? Math.round(value).toLocaleString("en") + " " + unit : value.toPrecision(3) + " " + unit;
  }
  const joules = (value) => scaled(value, "J");
  const seconds = (value) => scaled(value, "s");

  const prompt = (row) => {
    const messages = row.texts.messages || [];
    const asked = [...messages].reverse().find(([role]) => role === "user") || messages[messages.length - 1];
    return asked ? asked[1] : row.record_id;
  };
  const answer = (row) => row.texts.response ?? row.texts.error ?? "";

  rows.forEach((row, place) => {
    row.place = place;
    const texts = Object.values(row.texts).flatMap((text) => Array.isArray(text) ? text.map(([, one]) => one) : [text]);
    row.hay = [row.query_id, row.record_id, row.subject || "", ...texts].join("\n").toLowerCase();
  });

  const COLUMNS = [
    { key: "verdict", label: "verdict", order: (row) => ORDER.indexOf(row.verdict) },
    { key: "question", label: "question", order: (row) => prompt(row) },
    { key: "subject", label: "subject", hide: "w900", order: (row) => row.subject },
    { key: "answer", label: "answer", hide: "w640", order: (row) => answer(row) },
    { key: "joules", label: "energy", number: true, order: (row) => row.energy_joules },
    { key: "tokens", label: "tokens", number: true, hide: "w900", order: (row) => row.output_tokens },
    { key: "ttft", label: "TTFT", number: true, hide: "w900", order: (row) => row.ttft_seconds },
    { key: "e2e", label: "E2E", number: true, hide: "w640", order: (row) => row.e2e_seconds },
  ].filter((column) => rows.some((row) => row.subject) || column.key !== "subject")
    .filter((column) => !data.withheld || column.key !== "answer");
  const cellClass = (column) => ["c-" + column.key, column.number ? "number" : "", column.hide || ""].join(" ").trim();

  const state = { text: "", verdict: "", subject: "", sort: null, down: false, limit: PAGE };
  let found = [];

  function head() {
    byId("head").replaceChildren(...COLUMNS.map((column) => {
      const sorted = state.sort === column.key ? (state.down ? "descending" : "ascending") : "none";
      const button = make("button", { type: "button", textContent: column.label });
      button.addEventListener("click", () => {
        // A first click on a number shows the largest first: that is what one looks for.
        state.down = state.sort === column.key ? !state.down : Boolean(column.number);
        state.sort = column.key;
        update();
        byId("head").children[COLUMNS.indexOf(column)].firstChild.focus();
      });
      return make("th", { class: cellClass(column), scope: "col", "aria-sort": sorted }, button);
    }));
  }

  function compare(one, other) {
    const order = COLUMNS.find((column) => column.key === state.sort).order;
    const [left, right] = [order(one), order(other)];
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined) || one.place - other.place;
    const result = typeof left === "string" ? left.localeCompare(right) : left - right;
    return (state.down ? -result : result) || one.place - other.place;
  }

  function update() {
    const wanted = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    found = rows.filter((row) => (!state.verdict || row.verdict === state.verdict)
      && (!state.subject || row.subject === state.subject) && wanted.every((word) => row.hay.includes(word)));
    if (state.sort) found.sort(compare);
    head();
    show();
  }

  function show() {
    const shown = found.slice(0, state.limit);
    byId("rows").replaceChildren(...shown.map(rowOf));
    const all = rows.length === found.length ? "" : ` of ${rows.length.toLocaleString("en")} on this page`;
    byId("count").textContent = rows.length
      ? `${found.length.toLocaleString("en")} ${found.length === 1 ? "question" : "questions"}${all}` + (shown.length < found.length ? `, the first ${shown.length} shown` : "")
      : "No question was asked.";
    byId("more").hidden = byId("all").hidden = shown.length >= found.length;
  }

  function rowOf(row) {
    const button = make("button", { type: "button", class: "open-button v-" + row.verdict, "aria-expanded": "false", textContent: " " + MARKS[row.verdict] });
    const cells = {
      verdict: button,
      question: make("div", { class: "clip", textContent: prompt(row) }),
      subject: make("div", { class: "clip", textContent: row.subject || "" }),
      answer: make("div", { class: "clip", textContent: answer(row) }),
      joules: joules(row.energy_joules), tokens: number(row.output_tokens, 9), ttft: seconds(row.ttft_seconds), e2e: seconds(row.e2e_seconds),
    };
    const made = make("tr", { class: "row" }, ...COLUMNS.map((column) => make("td", { class: cellClass(column) }, cells[column.key])));
    made.dataset.query = row.query_id;
    made.addEventListener("click", (event) => {
      if (String(getSelection()) && event.target !== button) return;
      toggle(made, button, row);
    });
    return made;
  }

  function toggle(tr, button, row) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    tr.classList.toggle("open", !isOpen);
    if (isOpen) tr.nextElementSibling.remove();
    else tr.after(make("tr", { class: "detail" }, make("td", { colspan: visibleColumns() }, detail(row))));
  }

  // A narrow screen hides columns; a cell over more columns than are to be seen would make room for the rest.
  const visibleColumns = () => [...byId("head").children].filter((cell) => cell.offsetParent !== null).length;
  addEventListener("resize", () => {
    for (const cell of document.querySelectorAll(".detail > td")) cell.setAttribute("colspan", visibleColumns());
  });

  function detail(row) {
    const texts = row.texts;
    const block = (title, text) => text === undefined || text === "" ? [] : [make("h4", { textContent: title }), make("pre", { textContent: text, tabIndex: 0 })];
    const left = make("div", {},
      ...(texts.messages || []).flatMap(([role, text]) => block(role === "user" ? "prompt" : role || "message", text)),
      ...block("answer", texts.response), ...block("reference", texts.reference),
      ...block("verdict" + (row.scorer ? " by " + row.scorer : ""), texts.explanation),
      ...block("why there is no score", texts.unscored_reason), ...block("error", texts.error),
      data.withheld ? make("p", { class: "quiet", textContent: "Texts are withheld: " + data.withheld + "." }) : null);
    const right = make("div", {}, make("h4", { textContent: "figures" }), facts([
      ["query", row.query_id], ["record", row.record_id], ["epoch", row.epoch > 1 ? row.epoch : undefined], ["attempt", row.attempt || undefined],
      ["subject", row.subject], ["score", number(row.score)], ["energy", joules(row.energy_joules)], ["bounds", bounds(row)],
      ["prefill", joules(row.prefill_joules)], ["decode", joules(row.decode_joules)], ["split by", row.energy_method],
      ["TTFT", seconds(row.ttft_seconds)], ["TPOT", seconds(row.tpot_seconds)], ["E2E", seconds(row.e2e_seconds)],
      ["prompt tokens", row.prompt_tokens], ["from cache", row.cached_prompt_tokens], ["output tokens", row.output_tokens],
      ["finish reason", row.finish_reason], ["began", (row.started_at || "").replace("T", " ").replace("+00:00", " UTC")],
      ["turns", row.turns], ["calls", row.calls],
    ]));
    return make("div", {}, make("div", { class: "detail-grid" }, left, right), calls(row));
  }

  function bounds(row) {
    if (row.energy_low_joules === undefined) return undefined;
    return row.energy_high_joules === undefined ? "at least " + joules(row.energy_low_joules)
      : joules(row.energy_low_joules) + " to " + joules(row.energy_high_joules);
  }

  function facts(pairs) {
    const known = pairs.filter(([, value]) => value !== undefined && value !== "");
    return make("dl", { class: "facts-list" }, ...known.map(([name, value]) =>
      make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
  }

  function calls(row) {
    if (!row.calls_shown.length) return null;
    const names = ["call", "after", "energy", "bounds", "TTFT", "TPOT", "E2E", "prompt", "output", "end"];
    const begin = Date.parse(row.started_at);
    const body = row.calls_shown.map((call) => make("tr", {}, ...[
      (call.role === "submodel" ? `submodel ${call.alias}` : call.role) + (call.retry ? `, retry ${call.retry}` : ""),
      call.started_at && begin ? seconds((Date.parse(call.started_at) - begin) / 1000) || "0 s" : "",
      joules(call.energy_joules), bounds(call) || "", seconds(call.ttft_seconds), seconds(call.tpot_seconds), seconds(call.e2e_seconds),
      number(call.prompt_tokens, 9), number(call.output_tokens, 9),
      call.error_kind ? `failed: ${call.error_kind} ${call.status ?? ""}` : call.finish_reason || "",
    ].map((text) => make("td", { textContent: text }))));
    const table = make("table", { class: "plain calls" }, make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col", textContent: name })))), make("tbody", {}, ...body));
    const rest = row.calls_left_out ? make("p", { class: "quiet", textContent: `${row.calls_left_out} more calls are in turns.parquet.` }) : null;
    return make("div", {}, make("h4", { textContent: "calls" }), make("div", { class: "scroll", tabIndex: 0 }, table), rest);
  }

  // Opens a question wherever it is in the list, such as one that was clicked in a figure.
  function reveal(query) {
    const row = rows.find((one) => one.query_id === query);
    if (!row) return;
    if (!found.includes(row)) {
      Object.assign(state, { text: "", verdict: "", subject: "" });
      byId("controls").reset();
      update();
    }
    state.limit = Math.max(state.limit, found.indexOf(row) + 1);
    show();
    const tr = byId("rows").children[found.indexOf(row)];
    toggle(tr, tr.querySelector("button"), row);
    tr.scrollIntoView({ block: "start" });
    tr.querySelector("button").focus({ preventScroll: true });
  }

  function controls() {
    const count = (verdict) => rows.filter((row) => row.verdict === verdict).length;
    const choices = [["", `all ${rows.length.toLocaleString("en")}`], ...ORDER.filter(count).map((verdict) => [verdict, `${MARKS[verdict]} ${count(verdict).toLocaleString("en")}`])];
    byId("verdicts").append(...choices.map(([value, label]) => make("label", {},
      make("input", { type: "radio", name: "verdict", value, checked: value === "" }), make("span", { textContent: label }))));
    const subjects = [...new Set(rows.map((row) => row.subject).filter(Boolean))].sort();
    byId("subject-label").hidden = subjects.length < 2;
    byId("subject").append(make("option", { value: "", textContent: "all" }), ...subjects.map((subject) => make("option", { value: subject, textContent: subject })));
    const again = (change) => { Object.assign(state, change, { limit: PAGE }); update(); };
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    byId("search").addEventListener("input", (event) => again({ text: event.target.value }));
    byId("verdicts").addEventListener("change", (event) => again({ verdict: event.target.value }));
    byId("subject").addEventListener("change", (event) => again({ subject: event.target.value }));
    byId("more").addEventListener("click", () => { state.limit += PAGE; show(); });
    byId("all").addEventListener("click", () => { state.limit = Infinity; show(); });
  }

  controls();
  update();
  if (location.hash.startsWith("#q=")) reveal(decodeURIComponent(location.hash.slice(3)));
})();
