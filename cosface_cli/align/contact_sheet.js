"use strict";
// Draws the sheet from the page's data. Names come from photos: they are only used as text, never as markup.
(() => {
  const TILE = { width: 104, height: 122, most: 200 }; // pixels with the gap; tiles of one section
  const at = (id) => document.getElementById(id);
  const controls = { q: at("q"), show: at("show"), sort: at("sort"), reverse: at("reverse"), group: at("group") };
  const groupedFirst = controls.group.checked;

  function element(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }

  function data(id) {
    const holder = at(id);
    const lines = holder.textContent.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    holder.remove();
    return lines;
  }

  // control characters, direction marks and lone bytes, made visible
  const printable = (text) =>
    text.replace(/\p{C}/gu, (c) => {
      const code = c.codePointAt(0);
      const isByte = code >= 0xdc80 && code <= 0xdcff; // Python's surrogateescape
      return isByte ? `\\x${(code - 0xdc00).toString(16)}` : `\\u{${code.toString(16)}}`;
    });

  const address = (name) =>
    "./" +
    Array.from(name, (c) => {
      const code = c.codePointAt(0);
      if (c === "/") return c;
      if (code >= 0xdc80 && code <= 0xdcff) return `%${(code - 0xdc00).toString(16)}`;
      return code >= 0xd800 && code <= 0xdfff ? "%EF%BF%BD" : encodeURIComponent(c);
    }).join("");

  const templates = JSON.parse(at("templates").textContent);
  const crops = data("faces");
  const rejects = data("rejects");
  const items = [...crops, ...rejects];
  for (const item of items) {
    item.isReject = item.reason !== undefined;
    item.name = printable(item.isReject ? item.source : item.crop);
    item.who = item.identity === null ? "" : printable(item.identity);
    item.words = item.words && printable(item.words);
    item.turned = item.yaw == null ? null : Math.abs(item.yaw);
    item.haystack = `${item.name}\n${printable(item.source)}`.toLowerCase();
  }
  items.sort((a, b) => a.order - b.order);

  const collator = new Intl.Collator("en", { numeric: true });
  const format = { score: (v) => v.toFixed(4), sharpness: (v) => v.toFixed(0), face_px: (v) => `${v.toFixed(0)} px`,
    misfit: (v) => `${v.toFixed(1)} px`, turned: (v) => `${v.toFixed(0)}°` };
  const source = (item) => (item.picture ? `data:image/webp;base64,${item.picture}` : "");
  const short = (item) => item.name.slice(item.name.lastIndexOf("/") + 1);

  function tile(item) {
    if (!item.node) {
      const label = item.isReject ? `${item.name}, rejected: ${item.reason}` : item.name;
      const picture = item.picture
        ? element("img", { alt: label, decoding: "async", width: 96, height: 96 })
        : element("span", { className: "none", textContent: item.isReject ? short(item) : "no image" });
      const button = element("button", { type: "button", title: item.words || item.name }, picture);
      button.setAttribute("aria-label", label);
      button.append(element("small"));
      button.className = item.isReject ? "reject" : "crop";
      button.addEventListener("click", () => enlarge(item));
      item.node = element("li", {}, button);
    }
    const key = controls.sort.value;
    const value = item[key];
    const caption = item.isReject ? item.reason : value == null ? short(item) : format[key](value);
    item.node.querySelector("small").textContent = caption;
    return item.node;
  }

  // images are decoded only near the visible part of the page
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        for (const item of target.items) {
          const image = item.node.querySelector("img");
          if (image && !image.src) image.src = source(item);
        }
      }
    },
    { rootMargin: "800px" },
  );

  let shown = [];

  function selected() {
    const words = controls.q.value.trim().toLowerCase();
    const show = controls.show.value;
    const key = controls.sort.value;
    const matches = items.filter(
      (item) =>
        (!show || (item.isReject ? show === "rejects" || show === `reason:${item.reason}` : show === "crops")) &&
        (!words || item.haystack.includes(words)),
    );
    if (key) {
      const sign = controls.reverse.checked === ["misfit", "turned"].includes(key) ? 1 : -1; // worst first
      const has = (item) => item[key] != null;
      matches.sort((a, b) => has(b) - has(a) || (has(a) ? sign * (a[key] - b[key]) : 0) || a.order - b.order);
    } else if (controls.reverse.checked) {
      matches.reverse();
    }
    return matches;
  }

  function sections(matches) {
    const groups = new Map();
    for (const item of matches) {
      const who = controls.group.checked ? item.who : "";
      if (!groups.has(who)) groups.set(who, []);
      groups.get(who).push(item);
    }
    const named = [...groups.keys()];
    // sorted by a measure, the identity with the worst item comes first
    if (!controls.sort.value) named.sort((a, b) => collator.compare(a, b) * (controls.reverse.checked ? -1 : 1));
    const drawn = [];
    for (const who of named) {
      const members = groups.get(who);
      for (let start = 0; start < members.length; start += TILE.most) {
        const part = members.slice(start, start + TILE.most);
        const section = element("section", { items: part });
        section.style.setProperty("--n", part.length);
        if (controls.group.checked && start === 0) {
          const count = element("span", { className: "soft", textContent: ` ${members.length}` });
          section.append(element("h2", { title: who }, who || "no identity", count));
        }
        section.append(element("ul", { className: "tiles" }, ...part.map(tile)));
        drawn.push(section);
      }
    }
    return drawn;
  }

  // the scroll bar needs the heights of sections that are not drawn yet
  function reserve() {
    const width = at("sheet").clientWidth - 45;
    const columns = Math.max(1, Math.floor((width + 4) / TILE.width));
    for (const section of at("sheet").querySelectorAll("section")) {
      const rows = Math.ceil(section.items.length / columns);
      const height = rows * TILE.height - 4 + (section.firstChild.tagName === "H2" ? 26 : 0);
      section.style.containIntrinsicHeight = `auto ${height}px`;
    }
  }

  function draw() {
    shown = selected();
    near.disconnect();
    const drawn = sections(shown);
    at("sheet").replaceChildren(
      ...(drawn.length ? drawn : [element("p", { className: "empty", textContent: "No crop or reject matches." })]),
    );
    reserve();
    for (const section of drawn) near.observe(section);
    const rejected = shown.filter((item) => item.isReject).length;
    const number = (n) => n.toLocaleString("en");
    at("count").textContent =
      `${number(shown.length - rejected)} of ${number(crops.length)} crops, ` +
      `${number(rejected)} of ${number(rejects.length)} rejects`;
    for (const bar of document.querySelectorAll(".bars button")) {
      bar.setAttribute("aria-pressed", String(bar.dataset.show === controls.show.value));
    }
  }

  // the address stores what is shown: #q=anna&show=rejects&sort=score&reverse=1&group=0
  function saveToAddress() {
    const stored = new URLSearchParams();
    for (const name of ["q", "show", "sort"]) if (controls[name].value) stored.set(name, controls[name].value);
    if (controls.reverse.checked) stored.set("reverse", "1");
    if (controls.group.checked !== groupedFirst) stored.set("group", controls.group.checked ? "1" : "0");
    history.replaceState(null, "", stored.size ? `#${stored}` : location.pathname);
  }

  function restoreFromAddress() {
    const stored = new URLSearchParams(location.hash.slice(1));
    for (const name of ["q", "show", "sort"]) controls[name].value = stored.get(name) || "";
    for (const name of ["show", "sort"]) if (controls[name].selectedIndex < 0) controls[name].value = "";
    controls.reverse.checked = stored.get("reverse") === "1";
    controls.group.checked = stored.has("group") ? stored.get("group") === "1" : groupedFirst;
    draw();
  }

  const box = (values) => values.map((v) => v.toFixed(1)).join(", ");

  function facts(item) {
    const rows = [["source", printable(item.source)]];
    if (item.isReject) return [...rows, ["rejected", item.reason], ["", item.words]];
    if (item.who) rows.push(["identity", item.who]);
    rows.push(["face", `${item.face} of ${item.faces} kept, ${item.found} detected`]);
    for (const [key, label] of [["score", "score"], ["face_px", "face size"], ["sharpness", "sharpness"]]) {
      if (item[key] != null) rows.push([label, format[key](item[key])]);
    }
    if (item.yaw != null) {
      const pose = ["yaw", "roll"].filter((angle) => item[angle] != null);
      rows.push(["pose", pose.map((angle) => `${angle} ${item[angle].toFixed(0)}°`).join(", ")]);
    }
    if (item.rotation) rows.push(["photo rotated by", `${item.rotation}°`]);
    rows.push(["box", box(item.box)], ["landmark fit", `${format.misfit(item.misfit)} off`]);
    return [...rows, ["template", item.template]];
  }

  let current = null;

  function enlarge(item) {
    current = item;
    const image = element("img", { alt: item.name });
    const frame = [image];
    if (item.isReject) {
      if (item.picture) image.src = source(item);
      else frame.pop();
    } else {
      // the crop file if it exists beside the page, else its thumbnail
      image.onerror = () => Object.assign(image, { onerror: null, src: source(item) });
      image.src = address(item.crop);
      frame.push(landmarks(item));
    }
    at("frame").replaceChildren(...frame);
    at("frame").hidden = frame.length === 0;
    at("marks-label").hidden = item.isReject;
    at("name").textContent = item.name;
    at("facts").replaceChildren(
      ...facts(item).flatMap(([name, value]) => [
        element("dt", { textContent: name }),
        element("dd", { textContent: value }),
      ]),
    );
    const place = shown.indexOf(item);
    at("before").disabled = place <= 0;
    at("after").disabled = place < 0 || place === shown.length - 1;
    if (!at("large").open) at("large").showModal();
  }

  function landmarks(item) {
    const space = "http://www.w3.org/2000/svg";
    const drawing = document.createElementNS(space, "svg");
    const [width, height] = templates[item.template];
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const [x, y] of item.landmarks) {
      const dot = document.createElementNS(space, "circle");
      for (const [name, value] of [["cx", x + 0.5], ["cy", y + 0.5], ["r", width / 70]]) dot.setAttribute(name, value);
      drawing.append(dot);
    }
    drawing.style.display = at("marks").checked ? "" : "none";
    return drawing;
  }

  function step(by) {
    const next = shown[shown.indexOf(current) + by];
    if (next) enlarge(next);
  }

  const folder = decodeURIComponent(location.pathname.split("/").at(-2) || "");
  if (folder) {
    at("title").textContent = printable(folder);
    document.title = `${printable(folder)}: contact sheet`;
  }
  let waiting = 0;
  at("bar").addEventListener("submit", (event) => event.preventDefault());
  at("bar").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => (saveToAddress(), draw()), event.target === controls.q ? 150 : 0);
  });
  for (const bar of document.querySelectorAll(".bars button")) {
    bar.addEventListener("click", () => {
      controls.show.value = controls.show.value === bar.dataset.show ? "" : bar.dataset.show;
      saveToAddress();
      draw();
    });
  }
  at("before").addEventListener("click", () => step(-1));
  at("after").addEventListener("click", () => step(1));
  at("close").addEventListener("click", () => at("large").close());
  at("large").addEventListener("click", (event) => event.target === at("large") && at("large").close());
  at("large").addEventListener("close", () => current && current.node.querySelector("button").focus());
  at("large").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  at("marks").addEventListener("change", () => enlarge(current));
  addEventListener("resize", reserve);
  addEventListener("hashchange", restoreFromAddress);
  restoreFromAddress();
})();
