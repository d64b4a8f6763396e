// Pages are whole without this: it brings what changes, shows times as the reader's clock has them,
// and copies tables. What is under the pointer or has the focus is left alone until it no longer is.
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

async function fetchLayers() { // many numbers, for who asks for them
  const details = document.getElementById("of-layers");
  if (!details || !details.open) return;
  const reply = await fetch(details.dataset.from, { credentials: "same-origin" });
  if (!reply.ok) return;
  const found = new DOMParser().parseFromString(await reply.text(), "text/html");
  putInside("layers", found.getElementById("layers").innerHTML);
}

async function fetchPage() {
  const reply = await fetch(location.href, { credentials: "same-origin" });
  if (!reply.ok) return;
  const found = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const id of ["status", "scale", "grid", "verdicts", "curves", "rates", "failures", "events", "sweeps"]) {
    const fresh = found.getElementById(id);
    const old = document.getElementById(id);
    if (fresh && old && fresh.innerHTML !== old.innerHTML) putInside(id, fresh.innerHTML);
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
      for (const [id, html] of Object.entries(pieces.inside)) putInside(id, html);
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

localTimes(document);
if (page === "sweep") {
  document.getElementById("of-layers")?.addEventListener("toggle", fetchLayers);
  follow();
  copying();
}
if (page === "list") {
  setInterval(() => { if (!document.hidden) fetchPage(); }, 3000);
}
