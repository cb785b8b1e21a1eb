"use strict";
// comfort only: the page says the same without it
const prepare = () => {
  for (const table of document.querySelectorAll("table.sorts")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        // figures from the largest down, words from A on; the other way round at the second click
        const isFigure = [...body.rows].some((row) => row.cells[column].dataset.n !== undefined);
        const now = head.getAttribute("aria-sort");
        const next = now ? (now === "ascending" ? "descending" : "ascending") : isFigure ? "descending" : "ascending";
        const sign = next === "ascending" ? 1 : -1;
        const value = (row) => (isFigure ? Number(row.cells[column].dataset.n ?? -1) : row.cells[column].textContent);
        const compare = (a, b) => (isFigure ? a - b : a.localeCompare(b, "en", { numeric: true }));
        const rows = [...body.rows].map((row) => [value(row), row]);
        rows.sort((one, other) => sign * compare(one[0], other[0]));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", next);
        body.append(...rows.map((pair) => pair[1]));
      });
    });
  }
};
prepare();

// what a link leads to is open, the second time, too
const open = (hash) => {
  const part = document.getElementById(hash.slice(1));
  if (part?.localName === "details") part.open = true;
};
for (const link of document.querySelectorAll('a[href^="#"]')) {
  link.addEventListener("click", () => open(link.getAttribute("href")));
}
open(location.hash);
