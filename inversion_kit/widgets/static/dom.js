// What all widgets share. Text goes in as text: no markup in a label is ever read.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name in node && !name.includes("-") && node.namespaceURI !== SVG) node[name] = value;
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);
const picture = (one, alt) => h("img", { src: one.src, className: one.small ? "small" : "", alt, loading: "lazy" });

// Show what a trait holds now and whenever it changes; gives a function that ends all of it.
function follow(model, table) {
  const ends = Object.entries(table).map(([names, draw]) => {
    const on = names.split(" ").map((name) => `change:${name}`).join(" ");
    model.on(on, draw);
    draw();
    return () => model.off(on, draw);
  });
  return () => ends.forEach((end) => end());
}

function put(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}
