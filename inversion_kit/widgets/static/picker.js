// Choices beside each other; those of two or three short options are buttons.
function render({ model, el }) {
  el.classList.add("ik");
  const row = h("div", { className: "ik-tools" });
  el.append(row);
  const set = (key, value) => put(model, { chosen: { ...model.get("chosen"), [key]: value } });
  return follow(model, {
    "choices chosen": () => row.replaceChildren(...model.get("choices").map(([key, label, options]) =>
      label ? choice(label, options, model.get("chosen")[key], (value) => set(key, value))
        : h("div", { className: "ik-group", role: "tablist" }, ...options.map(([value, says]) =>
          h("button", { role: "tab", "aria-selected": String(model.get("chosen")[key] === value), onclick: () => set(key, value) }, says))))),
  });
}
export default { render };
