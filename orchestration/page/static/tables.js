// Sorts tables by their headings, hides rows and columns of the grid, and fades tables that go on
// beyond the edge.
"use strict";

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
