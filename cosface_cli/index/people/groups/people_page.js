"use strict";
// Draws the groups from the page's data. Names come from photos, so they are inserted as text, never as markup.
(() => {
  const TILE = { width: 104, height: 122, first: 60 }; // width and height in pixels, with the gap; first: tiles that are shown before "show more"
  const at = (id) => document.getElementById(id);
  const controls = { q: at("q"), show: at("show"), sort: at("sort") };

  function element(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }

  function pageData(id, parse) {
    const script = at(id);
    const value = parse(script.textContent);
    script.remove();
    return value;
  }

  // shows control characters, direction marks and undecodable bytes as escapes
  const printable = (text) =>
    text.replace(/\p{C}/gu, (c) => {
      const code = c.codePointAt(0);
      const isByte = code >= 0xdc80 && code <= 0xdcff; // Python's surrogateescape
      return isByte ? `\\x${(code - 0xdc00).toString(16)}` : `\\u{${code.toString(16)}}`;
    });

  // quotes a word for a POSIX shell; a word with invisible characters is written as $'...'
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

  const settings = pageData("settings", JSON.parse);
  const ungroupedData = pageData("single", JSON.parse);
  const groups = pageData("groups", (text) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line)));
  const ungrouped = { id: null, name: null, size: ungroupedData.size, doubtful: 0, cos: null, near: [], faces: ungroupedData.faces };
  for (const group of [...groups, ungrouped]) {
    group.title = group.name === null ? (group.id === null ? "In no group" : `Group ${group.id}`) : printable(group.name);
    group.searchText = [group.title, String(group.id), ...group.faces.map((face) => printable(face.source))]
      .join("\n")
      .toLowerCase();
    for (const face of group.faces) face.group = group;
  }
  const byId = new Map(groups.map((group) => [group.id, group]));
  const number = (n) => n.toLocaleString("en");
  const collator = new Intl.Collator("en", { numeric: true });

  const selected = { faces: new Set(), groups: new Set() };

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
      button.addEventListener("click", () => select(selected.faces, face));
      face.node = element("li", {}, button);
    }
    face.node.firstChild.setAttribute("aria-pressed", String(selected.faces.has(face)));
    return face.node;
  }

  function section(group) {
    if (group.node) return group.node;
    const choose = element("button", { type: "button", textContent: group.title });
    choose.addEventListener("click", () => group.id !== null && select(selected.groups, group));
    const parts = [element("h2", {}, choose)];
    const meanCosine = group.cos === null ? "" : `, mean cosine ${group.cos.toFixed(3)}`;
    parts.push(element("span", { className: "soft", textContent: `${number(group.size)} faces${meanCosine}` }));
    if (group.doubtful) parts.push(element("span", { className: "warn", textContent: `${number(group.doubtful)} doubtful` }));
    if (group.near.length) {
      const buttons = group.near.map(([id, cos]) => {
        const other = byId.get(id);
        const button = element("button", { type: "button", textContent: `${other.title} ${cos.toFixed(3)}` });
        button.addEventListener("click", () => showBeside(group, other));
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
        reserveHeights();
      });
      group.node.append(group.more);
    }
  }

  // draws the faces of a group when it comes near the visible part of the page
  const visibilityObserver = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        visibilityObserver.unobserve(target);
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
    name: (a, b) => (a.name === null) - (b.name === null) || collator.compare(a.title, b.title) || a.id - b.id,
  };
  const filters = {
    "": () => true,
    doubtful: (group) => group.doubtful > 0,
    unnamed: (group) => group.name === null,
    named: (group) => group.name !== null,
    single: () => false,
  };

  // reserves the height of groups that are not drawn yet, so that the scroll bar is correct
  function reserveHeights() {
    const columns = Math.max(1, Math.floor((at("sheet").clientWidth - 75) / TILE.width));
    for (const node of at("sheet").querySelectorAll("section")) {
      const height = Math.ceil(visible(node.group).length / columns) * TILE.height - 4;
      node.group.tiles.style.minHeight = `${height}px`;
      node.style.containIntrinsicHeight = `auto ${height + 62}px`;
    }
  }

  function draw(first = []) {
    const query = controls.q.value.trim().toLowerCase();
    const show = controls.show.value;
    let matches = groups.filter((group) => filters[show](group) && (!query || group.searchText.includes(query)));
    matches.sort(orders[controls.sort.value]);
    if (ungrouped.size && (show === "" || show === "single") && (!query || ungrouped.searchText.includes(query))) matches.push(ungrouped);
    matches = [...first, ...matches.filter((group) => !first.includes(group))];
    visibilityObserver.disconnect();
    const nodes = matches.map(section);
    at("sheet").replaceChildren(
      ...(nodes.length ? nodes : [element("p", { className: "empty", textContent: "No group matches." })]),
    );
    reserveHeights();
    for (const node of nodes) visibilityObserver.observe(node);
    const shown = matches.filter((group) => group.id !== null).length;
    at("count").textContent = `${number(shown)} of ${number(groups.length)} groups`;
  }

  function showBeside(group, other) {
    selected.faces.clear();
    selected.groups = new Set([group, other]);
    draw([group, other]);
    scrollTo(0, at("bar").offsetTop);
    showCommand();
  }

  function select(set, item) {
    const others = set === selected.faces ? selected.groups : selected.faces;
    others.clear();
    if (!set.delete(item)) set.add(item);
    showCommand();
  }

  // shows the command for the selected faces or groups
  function showCommand() {
    for (const group of [...groups, ungrouped]) {
      if (!group.node) continue;
      group.node.classList.toggle("chosen", selected.groups.has(group));
      for (const face of group.faces) {
        if (face.node) face.node.firstChild.setAttribute("aria-pressed", String(selected.faces.has(face)));
      }
    }
    const faces = [...selected.faces];
    const selectedGroups = [...selected.groups];
    const name = at("name").value.trim();
    const groupsOfFaces = new Set(faces.map((face) => face.group));
    let about = "";
    let words = [];
    if (faces.length) {
      const [group] = groupsOfFaces;
      const last = faces.at(-1);
      const nearer = last.other === null ? "" : `, ${last.other.toFixed(3)} with another`;
      about = `${printable(last.source)}: ${last.group.id === null ? "in no group" : `${last.cos.toFixed(3)} with its group`}${nearer}. `;
      if (groupsOfFaces.size > 1) about += "To take faces out of a group, click faces of one group only.";
      else if (group.id === null) about += "To name it, use a table: cosface index people import.";
      else {
        const sources = faces.map((face) => (face.face > 1 ? `${face.source}#${face.face}` : face.source));
        words = ["people", "split", group.id, ...sources.map(quoted), ...(name ? ["--name", quoted(name)] : [])];
        about += `${number(faces.length)} of ${group.title} become another person.`;
      }
    } else if (selectedGroups.length === 1) {
      about = `${selectedGroups[0].title} gets a name.`;
      if (name) words = ["label", selectedGroups[0].id, quoted(name)];
    } else if (selectedGroups.length > 1) {
      about = `${selectedGroups.map((group) => group.title).join(", ")} are one person.`;
      words = ["people", "merge", ...selectedGroups.map((group) => group.id)];
    }
    const place = words[0] === "people" ? 2 : 1;
    words.splice(place, 0, settings.index);
    at("about").textContent = about;
    at("command").value = words.length > 1 ? `cosface index ${words.join(" ")}` : "";
    at("name-label").hidden = selectedGroups.length > 1 || groupsOfFaces.size > 1;
    at("chosen").hidden = !faces.length && !selectedGroups.length;
  }

  // writes the search, filter and order to the page's address: #q=anna&show=doubtful&sort=cos&pick=3,5
  function writeAddress() {
    const parameters = new URLSearchParams();
    for (const name of ["q", "show", "sort"]) if (controls[name].value) parameters.set(name, controls[name].value);
    history.replaceState(null, "", parameters.size ? `#${parameters}` : location.pathname);
  }

  function readAddress() {
    const parameters = new URLSearchParams(location.hash.slice(1));
    for (const name of ["q", "show", "sort"]) controls[name].value = parameters.get(name) || "";
    for (const name of ["show", "sort"]) if (controls[name].selectedIndex < 0) controls[name].value = "";
    at("name").value = parameters.get("name") || "";
    draw();
    const ids = (parameters.get("pick") || "").split(",").filter(Boolean);
    selected.groups = new Set(ids.map((id) => byId.get(Number(id))).filter(Boolean));
    const sources = new Set(parameters.getAll("face"));
    selected.faces = new Set(groups.flatMap((group) => group.faces.filter((face) => sources.has(face.source))));
    showCommand();
  }

  let redrawTimer = 0;
  at("bar").addEventListener("submit", (event) => event.preventDefault());
  at("chosen").addEventListener("submit", (event) => event.preventDefault());
  at("bar").addEventListener("input", (event) => {
    clearTimeout(redrawTimer);
    redrawTimer = setTimeout(() => (writeAddress(), draw()), event.target === controls.q ? 150 : 0);
  });
  at("name").addEventListener("input", showCommand);
  at("command").addEventListener("focus", () => at("command").select());
  at("copy").addEventListener("click", () => {
    at("command").select();
    document.execCommand("copy"); // navigator.clipboard does not exist in pages opened from a file
  });
  at("clear").addEventListener("click", () => {
    selected.faces.clear();
    selected.groups.clear();
    at("name").value = "";
    showCommand();
  });
  addEventListener("resize", reserveHeights);
  addEventListener("hashchange", readAddress);
  readAddress();
})();
