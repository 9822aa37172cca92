"use strict";
(() => {
  const data = JSON.parse(document.getElementById("inversion-kit-data").textContent);
  const rows = data.labels;
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const one = (selector, root = document) => root.querySelector(selector);
  const at = (element) => Number(element.dataset.at);
  const lists = all("[data-list]");
  const tools = one(".tools");
  tools.hidden = false;

  // One order and one filter for the table, the pictures and the details.
  const value = (row, key) => {
    const found = key === "verdict" ? data.verdicts.indexOf(row.verdict) : row[key];
    return found !== null && typeof found === "object" ? found.value : found;
  };
  const compare = (key, down) => (a, b) => {
    const [x, y] = [value(rows[a], key), value(rows[b], key)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return (down ? -order : order) || a - b;
  };
  const sort = (key, down) => {
    const order = rows.map((_, i) => i).sort(compare(key, down));
    const place = new Map(order.map((i, n) => [i, n]));
    for (const list of lists) {
      const items = all(":scope > [data-at]", list).sort((a, b) => place.get(at(a)) - place.get(at(b)));
      list.append(...items);
    }
    for (const head of all(".board th[data-key]")) {
      if (head.dataset.key === key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  };
  for (const head of all(".board th[data-key]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.dataset.first === "down";
      const now = head.getAttribute("aria-sort");
      sort(head.dataset.key, now === null ? first : now === "ascending");
    });
  }

  let atlas = () => {}; // draws the maps again, once they are there
  const search = one("#search"), verdict = one("#verdict"), kind = one("#kind"), status = one("#shown");
  const fits = (row) =>
    row.label.toLocaleLowerCase().includes(search.value.trim().toLocaleLowerCase()) &&
    (!verdict.value || row.verdict === verdict.value) &&
    (!kind.value || (kind.value === "any" ? row.kinds.length > 0 : row.kinds.includes(kind.value)));
  const filter = () => {
    const kept = rows.map(fits);
    for (const list of lists) for (const item of all(":scope > [data-at]", list)) item.hidden = !kept[at(item)];
    const n = kept.filter(Boolean).length;
    status.textContent = `${n} of ${rows.length} labels`;
    one("#nothing").hidden = n > 0;
    atlas();
  };
  for (const control of [search, verdict, kind]) control.addEventListener("input", filter);
  const clear = () => { search.value = verdict.value = kind.value = ""; filter(); };
  one("#clear").addEventListener("click", clear);
  for (const link of all("[data-verdict]")) link.addEventListener("click", () => {
    clear();
    verdict.value = link.dataset.verdict;
    filter();
  });

  // Table or pictures.
  const parts = { table: one("#as-table"), pictures: one("#as-pictures") };
  const show = (name) => {
    for (const [key, part] of Object.entries(parts)) part.hidden = key !== name;
    for (const button of all("[data-show]")) button.setAttribute("aria-pressed", String(button.dataset.show === name));
    one("#arm-tool").hidden = false;
  };
  for (const button of all("[data-show]")) button.addEventListener("click", () => show(button.dataset.show));
  show("table");

  // Pictures of another arm, in the table and among the pictures.
  const arm = one("#arm");
  arm.addEventListener("input", () => {
    for (const picture of all("[data-picture]")) {
      const [label, column] = picture.dataset.picture.split(" ").map(Number);
      const { run, says } = data.columns[column];
      const there = data.there[label][arm.selectedIndex][run];
      picture.className = there ? `p s${label} r${arm.selectedIndex} c${column}` : "gap grey";
      picture.setAttribute("aria-label", `${rows[label].label}, ${arm.value}, ${says}${there ? "" : ": none"}`);
    }
  });

  // Links open the details they lead to.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    const holder = target && target.closest("details.label");
    if (!holder) return;
    if (holder.hidden) clear();
    holder.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  for (const link of all('a[href^="#label-"]')) link.addEventListener("click", () => {
    if (link.hash === location.hash || (link.getAttribute("href") === location.hash)) reveal();
  });
  one("#open-all").addEventListener("click", () => all("details.label:not([hidden])").forEach((d) => { d.open = true; }));
  one("#close-all").addEventListener("click", () => all("details.label").forEach((d) => { d.open = false; }));

  // A cell of a matrix says what it is and leads to its label.
  for (const part of all(".readout, .folds")) part.hidden = false;
  const cells = one(".matrices");
  if (cells) {
    const says = one("#cell"); // none above a picture of pixels
    cells.addEventListener("pointerover", (event) => {
      const title = event.target.closest("rect[data-at]")?.querySelector("title");
      if (title) says.textContent = title.textContent;
    });
    cells.addEventListener("click", (event) => {
      const cell = event.target.closest("rect[data-at]");
      if (cell) { location.hash = `#label-${cell.dataset.at}`; reveal(); }
    });
  }

  // The maps: the nearest mark under the pointer, or the next one by the keyboard, shows its picture.
  const maps = one(".maps");
  const placed = maps ? data.map : null;
  if (placed) {
    const card = one("#map-card"), shown = one("#map-shown"), says = one("#map-says"), ofArm = one("#map-arm");
    card.hidden = false;
    one(".tools", card).hidden = false;
    const drawings = all(".map", maps);
    const made = (tag, name, text) => {
      const element = document.createElement(tag);
      if (name) element.className = name;
      if (text) element.textContent = text;
      return element;
    };
    const at = new Map(); // of label, arm and column, the image's place in the map's list
    if (placed.image) placed.image.label.forEach((label, n) => at.set(`${label} ${placed.image.arm[n]} ${placed.image.column[n]}`, n));
    const picture = (label, arm, column, words) => {
      const there = at.has(`${label} ${arm} ${column}`);
      const cell = made("span", there ? `p s${label} r${arm} c${column}` : "p");
      cell.setAttribute("role", "img");
      cell.setAttribute("aria-label", words);
      return cell;
    };
    const visible = (points, n) =>
      (ofArm.value === "" || points.arm[n] === Number(ofArm.value)) && fits(rows[points.label[n]]);
    const cross = { image: 0, token: 2 };
    const mark = (points, n, space) => points.kind[n] === cross[space]
      ? `M${points.x[n] - 5} ${points.y[n] - 5}l10 10m0-10l-10 10` : `M${points.x[n]} ${points.y[n]}h0`;
    const order = {}; // by label, then arm and column
    for (const drawing of drawings) {
      const points = placed[drawing.dataset.space];
      order[drawing.dataset.space] = points.x.map((_, n) => n).sort((a, b) =>
        points.label[a] - points.label[b] || points.arm[a] - points.arm[b] || points.column[a] - points.column[b]);
    }
    let now = null;
    const focus = (space, n) => {
      now = { space, n };
      const points = placed[space];
      const label = points.label[n], arm = points.arm[n];
      const column = space === "image" ? points.column[n] : 0;
      for (const drawing of drawings) {
        const own = placed[drawing.dataset.space];
        one(".same", drawing).setAttribute("d", own.x.map((x, k) => own.label[k] === label && visible(own, k) ? `M${x} ${own.y[k]}h0` : "").join(""));
        const here = one(".here", drawing);
        here.setAttribute("cx", drawing.dataset.space === space ? points.x[n] : -50);
        here.setAttribute("cy", drawing.dataset.space === space ? points.y[n] : -50);
      }
      const name = rows[label].label;
      const words = space === "image"
        ? `“${name}”, ${placed.arms[arm]}, ${data.columns[column].says}: read as “${placed.classes[points.read[n]]}”` +
          (points.kind[n] === 0 ? "" : `; ${placed.kinds[points.kind[n]]}`)
        : `Token of “${name}”, ${placed.arms[arm]}, run ${points.column[n] + 1}`;
      const main = made("div", "main");
      const text = made("p", "", words + ". ");
      const link = made("a", "", "Open its label");
      link.href = `#label-${label}`;
      link.addEventListener("click", () => { if (location.hash === link.hash) reveal(); });
      text.append(document.createElement("br"), link);
      main.append(picture(label, arm, column, words), text);
      const others = made("div", "others");
      placed.arms.forEach((title, a) => {
        if (!at.has(`${label} ${a} ${column}`)) return;
        const figure = made("figure", a === arm ? "now" : "");
        figure.append(picture(label, a, column, `The same noise, ${title}`), made("figcaption", "", title));
        others.append(figure);
      });
      shown.replaceChildren(main, others);
      says.className = "unseen";
      says.textContent = words;
    };
    const open = (label) => { location.hash = `#label-${label}`; reveal(); };
    atlas = () => {
      for (const drawing of drawings) {
        const space = drawing.dataset.space, points = placed[space];
        for (const path of all(".mark", drawing)) {
          const kind = Number(path.dataset.kind), arm = Number(path.dataset.arm);
          path.setAttribute("d", points.x.map((_, n) =>
            points.kind[n] === kind && points.arm[n] === arm && visible(points, n) ? mark(points, n, space) : "").join(""));
        }
        const left = new Set(points.label.filter((_, n) => visible(points, n)));
        for (const link of all("a", drawing)) link.toggleAttribute("hidden", !left.has(Number(link.getAttribute("href").slice(7))));
        one(".same", drawing).setAttribute("d", "");
      }
    };
    ofArm.addEventListener("input", atlas);
    for (const drawing of drawings) {
      const space = drawing.dataset.space, points = placed[space];
      drawing.setAttribute("tabindex", "0");
      drawing.setAttribute("role", "application");
      drawing.setAttribute("aria-describedby", "map-how");
      for (const link of all("a", drawing)) link.setAttribute("tabindex", "-1");
      const nearest = (event) => {
        const box = drawing.getBoundingClientRect();
        const x = (event.clientX - box.left) / box.width * 1000, y = (event.clientY - box.top) / box.height * 1000;
        let best = -1, least = 45 * 45;
        for (let n = 0; n < points.x.length; n++) {
          const apart = (points.x[n] - x) ** 2 + (points.y[n] - y) ** 2;
          if (apart < least && visible(points, n)) { best = n; least = apart; }
        }
        return best;
      };
      drawing.addEventListener("pointermove", (event) => {
        const n = nearest(event);
        if (n >= 0 && !(now && now.space === space && now.n === n)) focus(space, n);
      });
      drawing.addEventListener("click", (event) => {
        if (event.target.closest("a")) return;
        const n = nearest(event);
        if (n < 0) return;
        focus(space, n);
        if (event.pointerType !== "touch") open(points.label[n]);
      });
      drawing.addEventListener("keydown", (event) => {
        const steps = { ArrowRight: [1, false], ArrowLeft: [-1, false], ArrowDown: [1, true], ArrowUp: [-1, true] };
        if (event.key === "Enter" && now) { event.preventDefault(); open(placed[now.space].label[now.n]); return; }
        if (!(event.key in steps)) return;
        event.preventDefault();
        const list = order[space].filter((n) => visible(points, n));
        if (!list.length) return;
        const [step, label] = steps[event.key];
        let place = now && now.space === space ? list.indexOf(now.n) : -1;
        if (place < 0) { focus(space, list[0]); return; }
        const before = points.label[list[place]];
        do place = (place + step + list.length) % list.length;
        while (label && points.label[list[place]] === before && list.some((n) => points.label[n] !== before));
        focus(space, list[place]);
      });
    }
  }
  filter();
  reveal();
})();
