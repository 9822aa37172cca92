// The table of labels: sorting, search and filter happen here; only the choice goes to Python.
function interval(share, from, to) {
  const x = (v) => 2 + (76 * (Math.max(from, Math.min(to, v)) - from)) / (to - from);
  return s("svg", { viewBox: "0 0 80 12", class: "interval", "aria-hidden": "true" },
    s("line", { x1: 2, x2: 78, y1: 6, y2: 6, class: "axis" }),
    from < 0 ? s("line", { x1: x(0), x2: x(0), y1: 1, y2: 11, class: "axis" }) : null,
    s("line", { x1: x(share.low ?? share.value), x2: x(share.high ?? share.value), y1: 6, y2: 6, class: "reach" }),
    s("circle", { cx: x(share.value), cy: 6, r: 3.5, class: "at" }));
}

const whole = (n) => String(n).replace("-", "\u2212");
const bracket = (v) => (v.low === null || v.low === undefined ? "" :
  `[${whole(Math.floor(v.low * 100 + 1e-9))},\u00a0${whole(Math.ceil(v.high * 100 - 1e-9))}]`);

function cell(column, row) {
  const value = row[column.key];
  if (column.kind === "text") return h("td", { className: "text", title: value.says }, value.says || "–");
  if (!value) return h("td", { className: "share none", title: "no image to count" }, "–");
  const signed = column.kind === "points";
  const says = signed ? `${value.value > 0 ? "+" : ""}${whole(Math.round(value.value * 100))}` : percent(value.value);
  return h("td", { className: "share" }, h("span", {}, h("b", {}, says), " ", h("small", {}, bracket(value))),
    interval(value, signed ? -1 : 0, 1));
}

const number = (column, row) => {
  const value = row[column.key];
  if (column.kind === "text") return value.n;
  return value ? value.value : null;
};

function render({ model, el }) {
  el.classList.add("ik");
  const words = Object.fromEntries(model.get("verdicts"));
  const signs = Object.fromEntries(model.get("verdicts").map(([key, , sign]) => [key, sign]));
  let order = { key: "", down: false };
  const search = h("input", { type: "search", placeholder: "Search labels", "aria-label": "Search labels", oninput: filter });
  const verdict = h("select", { "aria-label": "Verdict", onchange: filter });
  const count = h("output", { className: "quiet" });
  const head = h("tr"), body = h("tbody");
  const nothing = h("div", { className: "empty", hidden: true }, "No label fits. ",
    h("button", { onclick: () => { search.value = ""; verdict.value = ""; filter(); } }, "Show all labels"));
  const table = h("table", {}, h("thead", {}, head), body);
  const scroll = h("div", { className: "scroll", tabIndex: 0 }, table, nothing);
  el.append(h("div", { className: "ik-table" },
    h("div", { className: "ik-tools" }, search, verdict, count), scroll));
  let lines = [];

  function filter() {
    const asked = search.value.trim().toLowerCase();
    let seen = 0;
    for (const { row, line } of lines) {
      const fits = row.name.toLowerCase().includes(asked) && (!verdict.value || row.verdict === verdict.value);
      line.hidden = !fits;
      seen += fits;
    }
    count.textContent = seen === lines.length ? `${seen} labels` : `${seen} of ${lines.length} labels`;
    nothing.hidden = seen > 0 || !lines.length;
    table.hidden = seen === 0;
  }
  function sort() {
    const column = model.get("columns").find((c) => c.key === order.key);
    const sign = order.down ? -1 : 1;
    const sorted = [...lines];
    if (order.key === "label") sorted.sort((a, b) => sign * a.row.name.localeCompare(b.row.name, "en", { numeric: true }));
    else if (order.key === "verdict") sorted.sort((a, b) => sign * (ranks[a.row.verdict] - ranks[b.row.verdict]));
    else if (column) {
      sorted.sort((a, b) => {
        const [x, y] = [number(column, a.row), number(column, b.row)];
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * (x - y);
      });
    }
    body.append(...sorted.map(({ line }) => line));
    for (const th of head.children) {
      th.setAttribute("aria-sort", th.dataset.key !== order.key ? "none" : order.down ? "descending" : "ascending");
    }
  }
  const ranks = Object.fromEntries(model.get("verdicts").map(([key], i) => [key, i]));
  const header = (key, title, hint) => h("th", { scope: "col", "data-key": key, title: hint ?? "" }, h("button", { onclick: () => {
    order = { key, down: order.key === key ? !order.down : key !== "label" && key !== "verdict" };
    sort();
  } }, title));
  function mark() {
    const chosen = model.get("selected");
    for (const { row, line } of lines) {
      const own = row.label === chosen;
      line.setAttribute("aria-selected", own);
      line.tabIndex = own || (!chosen && line === lines[0]?.line) ? 0 : -1;
    }
  }
  function choose(line) {
    const one = lines.find((entry) => entry.line === line);
    if (one) put(model, { selected: one.row.label });
    line.focus({ preventScroll: true });
    line.scrollIntoView({ block: "nearest" });
  }
  body.addEventListener("click", (event) => { const line = event.target.closest("tr"); if (line) choose(line); });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    let line = event.target.closest("tr");
    if (!line) return;
    if (event.key === "Enter" || event.key === " ") { choose(line); event.preventDefault(); event.stopPropagation(); }
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    do line = line[step]; while (line && line.hidden);
    if (line) choose(line);
  });
  const end = follow(model, {
    "rows columns": () => {
      const columns = model.get("columns");
      head.replaceChildren(header("label", "Label"), header("verdict", "Verdict"), ...columns.map((c) => header(c.key, c.title, c.hint)));
      lines = model.get("rows").map((row) => ({ row, line: h("tr", {},
        h("th", { scope: "row" }, row.name),
        h("td", { className: `verdict ${row.verdict}` }, h("span", { className: "sign", "aria-hidden": "true" }, signs[row.verdict]), words[row.verdict]),
        ...columns.map((column) => cell(column, row))) }));
      body.replaceChildren(...lines.map(({ line }) => line));
      const used = new Set(lines.map(({ row }) => row.verdict));
      verdict.replaceChildren(h("option", { value: "" }, "every verdict"),
        ...model.get("verdicts").filter(([key]) => used.has(key)).map(([key, says]) => h("option", { value: key }, says)));
      filter();
      sort();
      mark();
    },
    selected: mark,
  });
  return end;
}
export default { render };
