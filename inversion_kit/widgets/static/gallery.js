// Images in groups, each with what it is read as; one opened shows all that is known of it.
function render({ model, el }) {
  el.classList.add("ik");
  const title = h("h3"), note = h("p", { className: "quiet" });
  const detail = h("div", { className: "detail", hidden: true }), groups = h("div", { className: "groups" });
  const more = h("button", { className: "more", onclick: () => put(model, { more: model.get("more") + 1 }) });
  el.append(h("div", { className: "ik-gallery" }, h("header", {}, title, note), detail, groups, more));

  return follow(model, {
    "title note": () => { title.textContent = model.get("title"); note.textContent = model.get("note"); },
    groups: () => {
      const all = model.get("groups");
      const none = h("div", { className: "empty" }, "No image to show. Choose a label, a cell, or points of the map.");
      groups.replaceChildren(...all.map((group) => h("section", {},
        group.title ? h("h4", {}, group.title, h("span", { className: "quiet" }, ` ${group.note}`)) : null,
        group.items.length ? h("div", { className: "tiles" }, ...group.items.map((item) =>
          h("button", { className: `tile${item.hit ? " own" : ""}`, title: item.title, onclick: () => put(model, { opened: item.key }) },
            item.src ? picture(item, item.title) : h("span", { className: "gap" }, "not there"),
            item.above ? h("span", { className: "above" }, item.above) : null,
            h("span", { className: "read" }, item.read), h("span", { className: "judged" }, item.judged))))
          : h("div", { className: "empty" }, "Failed or not run."))));
      if (!all.length) groups.append(none);
    },
    "groups total": () => {
      const seen = model.get("groups").reduce((n, group) => n + group.items.length, 0);
      more.hidden = seen >= model.get("total");
      more.textContent = `Show more (${seen} of ${model.get("total")} images)`;
    },
    detail: () => {
      const one = model.get("detail");
      detail.hidden = !one.src;
      if (!one.src) return;
      detail.replaceChildren(picture(one, one.title), h("div", {}, h("h4", {}, one.title),
        h("table", {}, h("tbody", {}, ...one.rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))))),
        h("button", { className: "close", "aria-label": "Close", onclick: () => put(model, { opened: [] }) }, "✕"));
    },
  });
}
export default { render };
