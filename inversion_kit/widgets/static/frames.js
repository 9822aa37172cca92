// The frames of a search: a strip of all, the current one large, bars of its classes.
function render({ model, el }) {
  el.classList.add("ik");
  const frames = () => model.get("frames");
  const at = () => Math.min(model.get("position"), frames().length - 1);
  const says = h("p", { className: "says", "aria-live": "polite" });
  const strip = h("div", { className: "strip", role: "listbox", "aria-label": "Steps" });
  const now = h("img", { alt: "" }), under = h("p", { className: "under" }), bars = h("div", { className: "bars" });
  const body = h("div", { className: "body" }, strip, says,
    h("div", { className: "both" }, h("div", { className: "one" }, now, under), bars));
  const empty = h("div", { className: "empty" }, "This run is not there: it failed or was not made.");
  el.append(h("div", { className: "ik-frames" }, body, empty));

  // Where the strip has a width only later, as when its place is just being made.
  const centre = () => {
    const chosen = strip.children[at()];
    if (chosen) strip.scrollLeft = chosen.offsetLeft - strip.clientWidth / 2 + chosen.offsetWidth / 2;
  };
  const watch = new ResizeObserver(centre);
  watch.observe(strip);
  const end = follow(model, {
    frames: () => {
      body.hidden = !frames().length;
      empty.hidden = !body.hidden;
      strip.replaceChildren(...frames().map((frame, i) => h("button", {
        className: "frame", role: "option", title: frame.title, onclick: () => put(model, { position: i }) },
        picture(frame, ""),
        h("span", { className: frame.hit ? "hit" : "" }, `${frame.hit ? "✓ " : ""}${frame.said[0]}`),
        h("span", { className: "when" }, `${frame.updates}${frame.kept ? " ★" : ""}`))));
    },
    "frames position classes": () => {
      const frame = frames()[at()];
      if (!frame) return;
      for (const [k, child] of [...strip.children].entries()) child.setAttribute("aria-selected", k === at());
      centre();
      says.textContent = frame.title;
      now.src = frame.src;
      now.className = frame.small ? "now small" : "now";
      now.alt = `${frame.title}: ${frame.said[0]}`;
      under.textContent = frame.under;
      const best = Math.max(...frame.bars);
      bars.replaceChildren(h("h4", {}, "Classes in this image"),
        h("p", { className: "quiet" }, "the label first, in blue; ✓ what it is read as"),
        ...model.get("classes").map((name, c) => h("div", { className: `row${c ? "" : " target"}` },
          h("span", { className: "name", title: name }, `${frame.bars[c] === best ? "✓ " : ""}${name}`),
          h("span", { className: "track" }, h("span", { className: "bar", style: { width: `${100 * frame.bars[c]}%` } })),
          h("span", { className: "value" }, frame.said[c]))));
    },
  });
  return () => { watch.disconnect(); end(); };
}
export default { render };
