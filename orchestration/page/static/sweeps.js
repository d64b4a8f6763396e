// Pages are complete without this script. It puts changes in place, shows times by the reader's
// clock, sorts and hides rows and columns, shows a trial in a dialog, and copies tables. A part
// that the pointer is on, or that has the focus, is left alone until it no longer is.
"use strict";

const page = document.body.dataset.page;

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    }
  }
}

function isBusy(element) {
  const selection = document.getSelection();
  return element.matches(":hover") || element.contains(document.activeElement) ||
    (selection && !selection.isCollapsed && selection.containsNode(element, true));
}

const waiting = new Map(); // inside of sections that somebody points at, by id

function putInside(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  if (isBusy(element) && element.innerHTML.trim() !== "" && id !== "status") {
    waiting.set(id, html);
    return;
  }
  waiting.delete(id);
  const open = new Map([...element.querySelectorAll("details")].map((one) => [one.id, one.open]));
  element.innerHTML = html; // the server's, which has escaped every text in it
  for (const details of element.querySelectorAll("details")) {
    if (open.has(details.id)) details.open = open.get(details.id);
  }
  localTimes(element);
  arrange(element);
  if (id === "status") showActs();
}

function showActs() { // what can be done to a sweep that runs, or to one that does not
  const runs = document.querySelector("#status .state.running:not(.abandoned)") !== null;
  for (const act of document.querySelectorAll("[data-when]")) {
    act.hidden = (act.dataset.when === "running") !== runs;
  }
}

function putWhole(id, html) {
  const old = document.getElementById(id);
  if (!old) return;
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = template.content.firstElementChild;
  const link = old.querySelector("a");
  const target = fresh.querySelector("a");
  old.className = fresh.className;
  old.title = fresh.title;
  if (link && target) { // the same element stays, for a click or the focus that is on it
    link.href = target.href;
    if (link.innerHTML !== target.innerHTML) link.innerHTML = target.innerHTML;
  } else {
    old.innerHTML = fresh.innerHTML;
  }
  if (fresh.id.startsWith("t")) {
    old.classList.add("news");
    setTimeout(() => old.classList.remove("news"), 1500);
  }
}

setInterval(() => {
  for (const [id, html] of [...waiting]) putInside(id, html);
}, 500);

async function fetched(url) { // another page, or null
  const reply = await fetch(url, { credentials: "same-origin" });
  return reply.ok ? new DOMParser().parseFromString(await reply.text(), "text/html") : null;
}

async function fetchLayers() { // many numbers, which are fetched once somebody opens them
  const details = document.getElementById("of-layers");
  if (!details || !details.open) return;
  const found = await fetched(details.dataset.from);
  if (found) putInside("layers", found.getElementById("layers").innerHTML);
}

async function fetchCurves() { // those of the metric and the axis that somebody has chosen
  const form = document.getElementById("choose-curves");
  const found = await fetched(`${form.action}?${new URLSearchParams(new FormData(form))}`);
  if (found) putInside("curves", found.getElementById("curves").innerHTML);
}

function chosenCurves() { // whether others than those that the server sends by itself
  return [...document.querySelectorAll("#choose-curves select")].some((one) => one.selectedIndex > 0);
}

async function fetchPage() {
  const found = await fetched(location.href);
  if (!found) return;
  for (const id of ["status", "scale", "grid", "verdicts", "curves", "rates", "failures", "events", "sweeps"]) {
    const fresh = found.getElementById(id);
    const old = document.getElementById(id);
    if (id === "curves" && chosenCurves()) fetchCurves();
    else if (fresh && old && fresh.innerHTML !== old.innerHTML) putInside(id, fresh.innerHTML);
  }
}

function follow() {
  const told = document.getElementById("connection");
  let source = null;
  let have = document.body.dataset.version;
  function open() {
    source = new EventSource(`${document.body.dataset.changes}?have=${encodeURIComponent(have)}`);
    source.onopen = () => { told.textContent = "live"; told.className = "live"; };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        told.textContent = "not connected: reload";
        told.className = "";
      }
    };
    source.onmessage = (event) => {
      const pieces = JSON.parse(event.data);
      have = event.lastEventId;
      if (pieces === null) {
        fetchPage();
        return;
      }
      for (const [id, html] of Object.entries(pieces.whole)) putWhole(id, html);
      for (const [id, html] of Object.entries(pieces.inside)) {
        if (id === "curves" && chosenCurves()) fetchCurves();
        else putInside(id, html);
      }
      const grid = document.getElementById("grid");
      if (!isBusy(grid)) arrange(grid);
      if ("rates" in pieces.inside || "verdicts" in pieces.inside) fetchLayers(); // one has finished
    };
  }
  function close() {
    if (source) source.close();
    source = null;
    told.textContent = "";
  }
  // A browser has few connections to a server: a page that nobody sees holds none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!source) open();
  });
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}

function copying() {
  for (const link of document.querySelectorAll("a[data-copy]")) {
    link.addEventListener("click", async (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || !navigator.clipboard) return;
      event.preventDefault();
      const told = document.getElementById("copied");
      try {
        const reply = await fetch(link.href, { credentials: "same-origin" });
        await navigator.clipboard.writeText(await reply.text());
        told.textContent = `Copied as ${link.textContent}.`;
      } catch {
        location.href = link.href;
      }
    });
  }
}

const sorted = new Map(); // by section: the heading of the column, and 1 or -1 as the direction
const hidden = new Set(); // names of columns, and "axis: value" of rows and curves

function sortKey(row, column) { // numbers before words, empty cells last
  const text = row.cells[column].textContent.trim().replace("\u2212", "-").replace(/^< /, "");
  if (text === "" || text === "–") return [2, 0, ""];
  const number = Number.parseFloat(text);
  return Number.isNaN(number) ? [1, 0, text] : [0, number, text];
}

function sortRows(table, column, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  for (const [place, row] of rows.entries()) row.dataset.place ??= place;
  const keys = new Map(rows.map((row) => [row, column < 0 ? [0, Number(row.dataset.place), ""] : sortKey(row, column)]));
  const compared = (one, other) => {
    const [a, b] = [keys.get(one), keys.get(other)];
    if (a[0] !== b[0] && (a[0] === 2 || b[0] === 2)) return a[0] - b[0];
    return direction * (a[0] - b[0] || a[1] - b[1] || (a[0] ? a[2].localeCompare(b[2]) : 0)) ||
      Number(one.dataset.place) - Number(other.dataset.place);
  };
  const wanted = rows.toSorted(compared);
  if (wanted.some((row, place) => row !== rows[place])) body.append(...wanted);
}

function arrange(root) { // headings that sort, in the order and with the columns that were chosen
  for (const table of root.querySelectorAll("#grid table, #verdicts table, #rates table")) {
    const section = table.closest("section").id;
    const [name, direction] = sorted.get(section) ?? ["", 1];
    const heads = [...table.tHead.rows[0].cells];
    for (const head of heads) {
      if (!head.querySelector("button")) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = head.textContent;
        head.replaceChildren(button);
      }
      head.removeAttribute("aria-sort");
      if (head.textContent === name) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    }
    sortRows(table, heads.findIndex((head) => head.textContent === name), direction);
    if (section === "grid") hide(table, heads);
  }
  for (const line of root.querySelectorAll("[data-series]")) {
    line.toggleAttribute("hidden", hidden.has(`${document.body.dataset.series}: ${line.dataset.series}`));
  }
  for (const box of root.querySelectorAll(".scroll")) watchEdge(box);
  if (root === document || root.id === "grid") offerColumns();
}

function hide(table, heads) {
  for (const row of table.rows) {
    for (const [place, head] of heads.entries()) row.cells[place].hidden = hidden.has(head.textContent);
  }
  for (const row of table.tBodies[0].rows) {
    row.hidden = heads.some((head, place) => "axis" in head.dataset &&
      hidden.has(`${head.textContent}: ${row.cells[place].textContent}`));
  }
}

function sortByHead(event) {
  const head = event.target.closest("thead button")?.closest("th");
  if (!head) return;
  const section = head.closest("section").id;
  const [name, direction] = sorted.get(section) ?? ["", 1];
  if (name !== head.textContent) sorted.set(section, [head.textContent, 1]);
  else if (direction > 0) sorted.set(section, [name, -1]);
  else sorted.delete(section);
  arrange(document.getElementById(section));
}

function offerColumns() { // what can be hidden: columns, and the values of each axis
  const place = document.getElementById("choose-grid");
  const groups = new Map([["Columns", new Set()]]);
  for (const table of document.querySelectorAll("table.grid")) {
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      groups.get("Columns").add(head.textContent);
      if (!("axis" in head.dataset)) continue;
      const values = groups.get(head.textContent) ?? new Set();
      for (const row of table.tBodies[0].rows) values.add(row.cells[column].textContent);
      groups.set(head.textContent, values);
    }
  }
  const known = JSON.stringify([...groups].map(([name, values]) => [name, [...values].sort()]));
  if (!place || place.dataset.known === known || groups.size === 1) return;
  place.dataset.known = known;
  const details = document.createElement("details");
  details.open = place.querySelector("details")?.open ?? false;
  const summary = document.createElement("summary");
  summary.textContent = "Rows and columns";
  details.append(summary);
  for (const [name, values] of groups) {
    const set = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = name;
    set.append(legend);
    for (const value of values) {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.value = name === "Columns" ? value : `${name}: ${value}`;
      box.checked = !hidden.has(box.value);
      label.append(box, ` ${value}`);
      set.append(label);
    }
    details.append(set);
  }
  place.replaceChildren(details);
}

function hideChosen(event) {
  if (event.target.checked) hidden.delete(event.target.value);
  else hidden.add(event.target.value);
  arrange(document);
}

const edges = new ResizeObserver((seen) => { for (const one of seen) markEdge(one.target); });

function markEdge(box) { // fades at the right where a table goes on
  box.classList.toggle("more", box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
}

function watchEdge(box) {
  edges.observe(box);
  box.addEventListener("scroll", () => markEdge(box), { passive: true });
}

async function showTrial(event) { // in a dialog; without it, the link leads to the same page
  const link = event.target.closest("#grid a, a[data-trial]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const found = await fetched(link.href);
  if (!found) {
    location.href = link.href;
    return;
  }
  const dialog = document.getElementById("trial-dialog");
  document.getElementById("trial-details").replaceChildren(found.getElementById("trial"));
  arrange(dialog);
  dialog.showModal();
  dialog.scrollTop = 0;
}

localTimes(document);
for (const box of document.querySelectorAll(".scroll")) watchEdge(box);
if (page === "sweep") {
  arrange(document);
  document.addEventListener("click", sortByHead);
  document.addEventListener("click", showTrial);
  document.getElementById("choose-grid").addEventListener("change", hideChosen);
  document.getElementById("choose-curves").addEventListener("change", fetchCurves);
  document.getElementById("choose-curves").querySelector("button").hidden = true;
  document.getElementById("of-layers")?.addEventListener("toggle", fetchLayers);
  follow();
  copying();
}
if (page === "list") {
  setInterval(() => { if (!document.hidden) fetchPage(); }, 3000);
}
