"use strict";
// of a run under way: the page is asked once a second whether there is a newer one
const bar = document.getElementById("live");
const [said, stop] = [bar.querySelector("output"), bar.querySelector("button")];
const WORDS = {
  running: "The run is under way; these are its figures so far.",
  stopping: "The run stops: nothing new is sent.",
  ended: "The run has ended. This page is its report, and can be saved.",
  lost: "loadkit has ended without a report. These were its last figures.",
};
let shown = Number(bar.dataset.version);
let missed = 0;

const sorting = () => [...document.querySelectorAll("table.sorts")].map((table) => {
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
  return [column, column < 0 ? "" : heads[column].getAttribute("aria-sort")];
});

// what was opened and sorted stays so
const replace = (page) => {
  const opened = [...document.querySelectorAll("main details")].map((part) => part.open);
  const sorted = sorting();
  document.querySelector("header.top")?.remove();
  document.querySelector("main").replaceWith(...page.querySelectorAll("body > header.top, main"));
  document.title = page.title;
  document.querySelectorAll("main details").forEach((part, k) => { part.open = opened[k] ?? part.open; });
  prepare();
  document.querySelectorAll("table.sorts").forEach((table, k) => {
    const [column, way] = sorted[k] ?? [-1, ""];
    const head = table.tHead.rows[0].cells[column];
    for (let tries = 0; head && tries < 2 && head.getAttribute("aria-sort") !== way; tries += 1) {
      head.querySelector("button")?.click();
    }
  });
};

const look = async () => {
  let state = "running";
  try {
    const now = await (await fetch("state")).json();
    if (now.version !== shown) {
      const text = await (await fetch("")).text();
      replace(new DOMParser().parseFromString(text, "text/html"));
      shown = now.version;
    }
    [missed, state] = [0, now.state];
    said.textContent = WORDS[state];
    stop.hidden = state !== "running";
    bar.dataset.state = state;
  } catch {
    missed += 1;
    if (missed > 4) [said.textContent, stop.hidden] = ["loadkit does not answer any more. These were its last figures.", true];
  }
  if (!["ended", "lost"].includes(state) && missed < 30) setTimeout(look, 1000);
};

stop.addEventListener("click", async () => {
  stop.disabled = true;
  await fetch("stop", { method: "POST" });
});
look();
