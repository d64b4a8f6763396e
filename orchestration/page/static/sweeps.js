// Pages are complete without this script. It puts changes in place, shows times by the reader's
// clock, shows a trial in a dialog, and copies tables. A part that the pointer is on, or that has
// the focus, is left alone until it no longer is.
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
  for (const id of ["status", "scale", "grid", "search", "verdicts", "curves", "rates", "failures", "events", "sweeps"]) {
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
