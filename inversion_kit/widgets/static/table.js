// The table of labels: sorting, search and filter happen here; only the choice goes to Python.
// Bars come drawn from Python (figures.intervals.interval_svg: numbers alone); many labels share one.
const bars = new Map();
function drawn(bar) {
  if (!bars.has(bar)) bars.set(bar, new DOMParser().parseFromString(bar, "text/html").body.firstChild);
  return bars.get(bar).cloneNode(true);
}

function cell(column, row) {
  const value = row[column.key];
  if (column.kind === "text") return h("td", { className: "text", title: value.why ?? value.says }, value.says || "–");
  if (!value) return h("td", { className: "share none", title: "no image to count" }, "–");
  return h("td", { className: "share" }, h("span", {}, h("b", {}, value.says), " ", h("small", {}, value.bracket)), drawn(value.bar));
}

function render({ model, el }) {
  el.classList.add("ik");
  const known = model.get("verdicts"), ranks = Object.fromEntries(known.map(([key], i) => [key, i]));
  let order = { key: "", down: false }, lines = [];
  const search = h("input", { type: "search", placeholder: "Search labels", "aria-label": "Search labels", oninput: filter });
  const verdict = h("select", { "aria-label": "Verdict", onchange: filter }), finding = h("select", { "aria-label": "Finding", hidden: true, onchange: filter }), count = h("output", { className: "quiet" });
  const head = h("tr"), body = h("tbody"), table = h("table", {}, h("thead", {}, head), body);
  const nothing = h("div", { className: "empty", hidden: true }, "No label fits. ",
    h("button", { onclick: () => { search.value = verdict.value = finding.value = ""; filter(); } }, "Show all labels"));
  el.append(h("div", { className: "ik-table" }, h("div", { className: "ik-tools" }, search, verdict, finding, count),
    h("div", { className: "scroll", tabIndex: 0 }, table, nothing)));

  function filter() {
    const asked = search.value.trim().toLowerCase();
    for (const { row, line } of lines) {
      line.hidden = !row.name.toLowerCase().includes(asked) || (verdict.value && row.verdict !== verdict.value)
        || (finding.value && row.finding.says !== finding.value);
    }
    const seen = lines.filter(({ line }) => !line.hidden).length;
    count.textContent = seen === lines.length ? `${seen} labels` : `${seen} of ${lines.length} labels`;
    nothing.hidden = seen > 0 || !lines.length;
    table.hidden = seen === 0;
  }
  // What has no value comes last, whichever way.
  function sort() {
    const column = model.get("columns").find((c) => c.key === order.key), sign = order.down ? -1 : 1;
    const value = ({ row }) => (order.key === "verdict" ? ranks[row.verdict] : row[order.key]?.[column?.kind === "text" ? "n" : "value"] ?? null);
    const by = order.key === "label" ? (a, b) => sign * a.row.name.localeCompare(b.row.name, "en", { numeric: true }) : (a, b) => {
      const [x, y] = [value(a), value(b)];
      return x === null || y === null ? (x === null) - (y === null) : sign * (x - y);
    };
    body.append(...(order.key ? [...lines].sort(by) : lines).map(({ line }) => line));
    for (const th of head.children) th.setAttribute("aria-sort", th.dataset.key !== order.key ? "none" : order.down ? "descending" : "ascending");
  }
  const header = (key, title, hint) => h("th", { scope: "col", "data-key": key, title: hint ?? "" }, h("button", { onclick: () => {
    order = { key, down: order.key === key ? !order.down : key !== "label" && key !== "verdict" };
    sort();
  } }, title));
  function mark() {
    const chosen = model.get("selected");
    lines.forEach(({ row, line }, i) => {
      line.setAttribute("aria-selected", row.label === chosen);
      line.tabIndex = row.label === chosen || (!chosen && !i) ? 0 : -1;
    });
  }
  function choose(line) {
    put(model, { selected: lines.find((one) => one.line === line).row.label });
    line.focus({ preventScroll: true });
    line.scrollIntoView({ block: "nearest" });
  }
  body.addEventListener("click", (event) => { const line = event.target.closest("tr"); if (line) choose(line); });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling", Enter: "", " ": "" }[event.key];
    let line = event.target.closest("tr");
    if (!line || step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    while (step && (line = line[step])?.hidden);
    if (line) choose(line);
  });
  return follow(model, {
    "rows columns": () => {
      const columns = model.get("columns");
      head.replaceChildren(header("label", "Label"), header("verdict", "Verdict"), ...columns.map((c) => header(c.key, c.title, c.hint)));
      lines = model.get("rows").map((row) => {
        const [, words, sign] = known[ranks[row.verdict]];
        return { row, line: h("tr", {}, h("th", { scope: "row" }, row.name),
          h("td", { className: `verdict ${row.verdict}` }, h("span", { className: "sign", "aria-hidden": "true" }, sign), words),
          ...columns.map((column) => cell(column, row))) };
      });
      body.replaceChildren(...lines.map(({ line }) => line));
      verdict.replaceChildren(h("option", { value: "" }, "every verdict"), ...known.filter(([key]) => lines.some(({ row }) => row.verdict === key))
        .map(([key, says]) => h("option", { value: key }, says)));
      const kinds = lines.map(({ row }) => row.finding).filter(Boolean).sort((a, b) => b.n - a.n);
      finding.hidden = !kinds.length; // nobody looked for any
      finding.replaceChildren(h("option", { value: "" }, "every finding"), ...[...new Set(kinds.map((one) => one.says))].map((says) => h("option", {}, says)));
      filter();
      sort();
      mark();
    },
    selected: mark,
  });
}
export default { render };
