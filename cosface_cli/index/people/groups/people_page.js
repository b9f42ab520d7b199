"use strict";
// Draws the groups from the page's data. Names come from photos: they only ever become text, never markup.
(() => {
  const TILE = { width: 104, height: 122, first: 60 }; // pixels with the gap; tiles before "show all"
  const at = (id) => document.getElementById(id);
  const controls = { q: at("q"), show: at("show"), sort: at("sort") };

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function data(id, parse) {
    const holder = at(id);
    const found = parse(holder.textContent);
    holder.remove();
    return found;
  }

  // control characters, direction marks and lone bytes, made visible
  const printable = (text) =>
    text.replace(/\p{C}/gu, (c) => {
      const code = c.codePointAt(0);
      const isByte = code >= 0xdc80 && code <= 0xdcff; // Python's surrogateescape
      return isByte ? `\\x${(code - 0xdc00).toString(16)}` : `\\u{${code.toString(16)}}`;
    });

  // a word of a POSIX shell; what a person cannot see is written as $'...'
  function quoted(text) {
    if (/^[\w@%+=:,./-]+$/.test(text)) return text;
    if (!/[\p{C}]/u.test(text)) return `'${text.replaceAll("'", `'"'"'`)}'`;
    const bytes = (c) => {
      const code = c.codePointAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) return [code - 0xdc00];
      return new TextEncoder().encode(c);
    };
    const escape = (c) => Array.from(bytes(c), (b) => `\\x${b.toString(16).padStart(2, "0")}`).join("");
    return `$'${Array.from(text, (c) => (/[\p{C}'\\]/u.test(c) ? escape(c) : c)).join("")}'`;
  }

  const settings = data("settings", JSON.parse);
  const single = data("single", JSON.parse);
  const groups = data("groups", (text) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line)));
  const alone = { id: null, name: null, size: single.size, doubtful: 0, cos: null, near: [], faces: single.faces };
  for (const group of [...groups, alone]) {
    group.called = group.name === null ? (group.id === null ? "In no group" : `Group ${group.id}`) : printable(group.name);
    group.haystack = [group.called, String(group.id), ...group.faces.map((face) => printable(face.source))]
      .join("\n")
      .toLowerCase();
    for (const face of group.faces) face.group = group;
  }
  const byId = new Map(groups.map((group) => [group.id, group]));
  const number = (n) => n.toLocaleString("en");
  const collator = new Intl.Collator("en", { numeric: true });

  const picked = { faces: new Set(), groups: new Set() };

  function tile(face) {
    if (!face.node) {
      const name = printable(face.source) + (face.face > 1 ? `, face ${face.face}` : "");
      const picture = face.picture
        ? element("img", { alt: name, decoding: "async", width: settings.side, height: settings.side })
        : element("span", { className: "none", textContent: "no picture" });
      if (face.picture) picture.src = `data:image/webp;base64,${face.picture}`;
      const caption = face.group.id === null ? "" : face.cos.toFixed(3);
      const button = element("button", { type: "button", title: name }, picture, element("small", {}, caption));
      button.className = face.doubtful ? "doubtful" : "face";
      button.setAttribute("aria-label", face.doubtful ? `${name}, doubtful` : name);
      button.addEventListener("click", () => pick(picked.faces, face));
      face.node = element("li", {}, button);
    }
    face.node.firstChild.setAttribute("aria-pressed", String(picked.faces.has(face)));
    return face.node;
  }

  function section(group) {
    if (group.node) return group.node;
    const choose = element("button", { type: "button", textContent: group.called });
    choose.addEventListener("click", () => group.id !== null && pick(picked.groups, group));
    const parts = [element("h2", {}, choose)];
    const loose = group.cos === null ? "" : `, mean cosine ${group.cos.toFixed(3)}`;
    parts.push(element("span", { className: "soft", textContent: `${number(group.size)} faces${loose}` }));
    if (group.doubtful) parts.push(element("span", { className: "warn", textContent: `${number(group.doubtful)} doubtful` }));
    if (group.near.length) {
      const buttons = group.near.map(([id, cos]) => {
        const other = byId.get(id);
        const button = element("button", { type: "button", textContent: `${other.called} ${cos.toFixed(3)}` });
        button.addEventListener("click", () => beside(group, other));
        return button;
      });
      parts.push(element("span", { className: "near soft" }, "nearest", ...buttons));
    }
    group.tiles = element("ul", { className: "tiles" });
    group.node = element("section", { group, id: `g${group.id}` }, element("div", {}, ...parts), group.tiles);
    return group.node;
  }

  const visible = (group) => (group.all ? group.faces : group.faces.slice(0, TILE.first));

  function fill(group) {
    group.tiles.replaceChildren(...visible(group).map(tile));
    const more = group.faces.length - visible(group).length;
    if (more > 0 && !group.more) {
      group.more = element("button", { type: "button", textContent: `show ${number(more)} more` });
      group.more.addEventListener("click", () => {
        group.all = true;
        group.more.remove();
        fill(group);
        reserve();
      });
      group.node.append(group.more);
    }
  }

  // faces are drawn where the reader is, not where he might go
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        fill(target.group);
      }
    },
    { rootMargin: "800px" },
  );

  const orders = {
    "": (a, b) => b.size - a.size || a.id - b.id,
    doubtful: (a, b) => b.doubtful - a.doubtful || b.size - a.size || a.id - b.id,
    cos: (a, b) => a.cos - b.cos || a.id - b.id,
    near: (a, b) => (b.near[0]?.[1] ?? -1) - (a.near[0]?.[1] ?? -1) || a.id - b.id,
    name: (a, b) => (a.name === null) - (b.name === null) || collator.compare(a.called, b.called) || a.id - b.id,
  };
  const kinds = {
    "": () => true,
    doubtful: (group) => group.doubtful > 0,
    unnamed: (group) => group.name === null,
    named: (group) => group.name !== null,
    single: () => false,
  };

  // so that the scroll bar is right about what is not drawn yet
  function reserve() {
    const columns = Math.max(1, Math.floor((at("sheet").clientWidth - 75) / TILE.width));
    for (const node of at("sheet").querySelectorAll("section")) {
      const height = Math.ceil(visible(node.group).length / columns) * TILE.height - 4;
      node.group.tiles.style.minHeight = `${height}px`;
      node.style.containIntrinsicHeight = `auto ${height + 62}px`;
    }
  }

  function draw(first = []) {
    const words = controls.q.value.trim().toLowerCase();
    const show = controls.show.value;
    let found = groups.filter((group) => kinds[show](group) && (!words || group.haystack.includes(words)));
    found.sort(orders[controls.sort.value]);
    if (alone.size && (show === "" || show === "single") && (!words || alone.haystack.includes(words))) found.push(alone);
    found = [...first, ...found.filter((group) => !first.includes(group))];
    near.disconnect();
    const nodes = found.map(section);
    at("sheet").replaceChildren(
      ...(nodes.length ? nodes : [element("p", { className: "empty", textContent: "Nothing here matches." })]),
    );
    reserve();
    for (const node of nodes) near.observe(node);
    const shown = found.filter((group) => group.id !== null).length;
    at("count").textContent = `${number(shown)} of ${number(groups.length)} groups`;
  }

  function beside(group, other) {
    picked.faces.clear();
    picked.groups = new Set([group, other]);
    draw([group, other]);
    scrollTo(0, at("bar").offsetTop);
    chosen();
  }

  function pick(set, item) {
    const others = set === picked.faces ? picked.groups : picked.faces;
    others.clear();
    if (!set.delete(item)) set.add(item);
    chosen();
  }

  // what was clicked, as the command that says it
  function chosen() {
    for (const group of [...groups, alone]) {
      if (!group.node) continue;
      group.node.classList.toggle("chosen", picked.groups.has(group));
      for (const face of group.faces) {
        if (face.node) face.node.firstChild.setAttribute("aria-pressed", String(picked.faces.has(face)));
      }
    }
    const faces = [...picked.faces];
    const some = [...picked.groups];
    const name = at("name").value.trim();
    const of = new Set(faces.map((face) => face.group));
    let about = "";
    let words = [];
    if (faces.length) {
      const [group] = of;
      const last = faces.at(-1);
      const nearer = last.other === null ? "" : `, ${last.other.toFixed(3)} with another`;
      about = `${printable(last.source)}: ${last.group.id === null ? "in no group" : `${last.cos.toFixed(3)} with its group`}${nearer}. `;
      if (of.size > 1) about += "Click faces of one group only, to take them out of it.";
      else if (group.id === null) about += "Name it by a table: cosface index people import.";
      else {
        const sources = faces.map((face) => (face.face > 1 ? `${face.source}#${face.face}` : face.source));
        words = ["people", "split", group.id, ...sources.map(quoted), ...(name ? ["--name", quoted(name)] : [])];
        about += `${number(faces.length)} of ${group.called} become somebody else.`;
      }
    } else if (some.length === 1) {
      about = `${some[0].called} gets a name.`;
      if (name) words = ["label", some[0].id, quoted(name)];
    } else if (some.length > 1) {
      about = `${some.map((group) => group.called).join(", ")} are one person.`;
      words = ["people", "merge", ...some.map((group) => group.id)];
    }
    const place = words[0] === "people" ? 2 : 1;
    words.splice(place, 0, settings.index);
    at("about").textContent = about;
    at("command").value = words.length > 1 ? `cosface index ${words.join(" ")}` : "";
    at("name-label").hidden = some.length > 1 || of.size > 1;
    at("chosen").hidden = !faces.length && !some.length;
  }

  // the address keeps what is shown: #q=anna&show=doubtful&sort=cos&pick=3,5
  function remember() {
    const kept = new URLSearchParams();
    for (const name of ["q", "show", "sort"]) if (controls[name].value) kept.set(name, controls[name].value);
    history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname);
  }

  function recall() {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const name of ["q", "show", "sort"]) controls[name].value = kept.get(name) || "";
    for (const name of ["show", "sort"]) if (controls[name].selectedIndex < 0) controls[name].value = "";
    at("name").value = kept.get("name") || "";
    draw();
    const wanted = (kept.get("pick") || "").split(",").filter(Boolean);
    picked.groups = new Set(wanted.map((id) => byId.get(Number(id))).filter(Boolean));
    const sources = new Set(kept.getAll("face"));
    picked.faces = new Set(groups.flatMap((group) => group.faces.filter((face) => sources.has(face.source))));
    chosen();
  }

  let waiting = 0;
  at("bar").addEventListener("submit", (event) => event.preventDefault());
  at("chosen").addEventListener("submit", (event) => event.preventDefault());
  at("bar").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => (remember(), draw()), event.target === controls.q ? 150 : 0);
  });
  at("name").addEventListener("input", chosen);
  at("command").addEventListener("focus", () => at("command").select());
  at("copy").addEventListener("click", () => {
    at("command").select();
    document.execCommand("copy"); // the newer way is not there for pages that come from a disk
  });
  at("clear").addEventListener("click", () => {
    picked.faces.clear();
    picked.groups.clear();
    at("name").value = "";
    chosen();
  });
  addEventListener("resize", reserve);
  addEventListener("hashchange", recall);
  recall();
})();
