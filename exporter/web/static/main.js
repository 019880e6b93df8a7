// Keeps the page current: requests documents, shows them and their age, and requests them again.

import { Missing, fetchDocument, targetPath } from "./api.js";
import { h, show } from "./dom.js";
import { PAGE_SIZE, overview } from "./overview.js";
import { followLinks, route } from "./route.js";
import { targetPage } from "./target.js";
import { ago, clock, count, span } from "./words.js";

const REFRESH_MS = 5000;
const OLD_AFTER_INTERVALS = 3;

const element = (id) => document.getElementById(id);
const main = element("main");

// The last documents, when they arrived by this machine's clock, and since when requests fail.
let loaded = null;
let loadedAt = 0;
let failingSince = null;
let failure = "";
let isPaused = false;
let timer = 0;
let latest = 0;

const seconds = () => performance.now() / 1000;

// The exporter's clock, so that ages do not depend on this machine's.
const now = () => loaded.summary.now + (seconds() - loadedAt);

async function load(at) {
  const { namespace, role, state, cause, q, page, target } = at;
  const scope = { namespace, role };
  if (target) {
    const [summary, shown] = await Promise.all([
      fetchDocument("summary"),
      fetchDocument(targetPath(target)).catch((error) => {
        if (error instanceof Missing) return null;
        throw error;
      }),
    ]);
    return { summary, target: shown };
  }
  const part = { offset: (page - 1) * PAGE_SIZE, limit: PAGE_SIZE };
  const [summary, matrix] = await Promise.all([
    fetchDocument("summary", scope),
    fetchDocument("matrix", { ...scope, state, cause, q, ...part }),
  ]);
  return { summary, matrix };
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++latest;
  const at = route();
  try {
    const documents = await load(at);
    if (mine !== latest) return;
    loaded = { ...documents, at };
    loadedAt = seconds();
    failingSince = null;
  } catch (error) {
    if (mine !== latest) return;
    failingSince ??= Date.now() / 1000;
    failure = error instanceof TypeError || error.name === "TimeoutError" ? "" : error.message;
  }
  draw();
  showFreshness();
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!isPaused && !document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

function draw() {
  if (!loaded) {
    show(main, h("p", { class: "wait" }, "No data yet."));
    return;
  }
  const { at, summary } = loaded;
  const title = at.target || headline(summary);
  document.title = `${title} · Istio ports`;
  show(main, at.target ? targetPage(at, loaded.target, summary.runbooks, now()) : overview(at, summary, loaded.matrix, now()));
}

function headline({ states, targets }) {
  if (!targets) return "No targets";
  return states.unhealthy ? `${states.unhealthy} of ${targets} unhealthy` : "No target is unhealthy";
}

// Shows how fresh the page is; as an alarm when it is old or requests fail, before the mesh's own.
function showFreshness() {
  const alarms = [];
  if (failingSince !== null) {
    alarms.push(
      h("p", { class: "alarm", "data-key": "failing" },
        h("strong", null, failure ? "The exporter reports an error: " : "The exporter does not respond "),
        failure || `since ${clock(failingSince)}.`,
        loaded ? " The data below are from before." : " Trying again every 5 seconds."),
    );
  }
  if (loaded && isOld(loaded.summary.polls)) alarms.push(oldData(loaded.summary.polls));
  show(element("alarm"), [...alarms, ...notices()]);
  show(element("fresh"), freshness());
  document.body.classList.toggle("old", alarms.length > 0);
}

// What concerns the whole mesh, on every page and whatever its filters.
function notices() {
  return (loaded?.summary.notices ?? []).map((sentence) => h("p", { class: "alarm", "data-key": sentence }, sentence));
}

const isOld = ({ newest, interval }) => newest !== null && now() - newest > OLD_AFTER_INTERVALS * interval;

function oldData({ newest, interval }) {
  return h("p", { class: "alarm", "data-key": "old" },
    h("strong", null, `These data are old: the last poll was at ${clock(newest)}. `),
    isPaused
      ? "This page is paused."
      : `The exporter should poll each target every ${span(interval)}: it is late, or has stopped.`);
}

function freshness() {
  if (!loaded) return [];
  const { newest, waiting, overdue } = loaded.summary.polls;
  const parts = [newest === null ? "no poll yet" : `last poll ${ago(now() - newest)}`];
  if (waiting) parts.push(`${count(waiting, "target")} waiting for the first poll`);
  if (overdue) parts.push(h("span", { class: "late" }, `${count(overdue, "target")} overdue`));
  if (isPaused) parts.push(`paused at ${clock(loaded.summary.now)}`);
  return parts.flatMap((part, index) => (index ? [" · ", part] : [part]));
}

let announced = "";
function announce() {
  const text = failingSince !== null ? "" : headline(loaded?.summary ?? { states: {}, targets: 0 });
  if (loaded && text !== announced) element("live").textContent = announced = text;
}

element("pause").onclick = ({ currentTarget }) => {
  isPaused = !isPaused;
  currentTarget.setAttribute("aria-pressed", isPaused);
  if (isPaused) clearTimeout(timer);
  else refresh();
  showFreshness();
};

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));

let shownTarget = route().target;
addEventListener("routed", async () => {
  const { target } = route();
  const isElsewhere = target !== shownTarget;
  shownTarget = target;
  if (loaded) draw();
  await refresh();
  if (!isElsewhere) return;
  scrollTo(0, 0);
  (main.querySelector("h1") ?? main).focus({ preventScroll: true });
});

followLinks();
setInterval(() => {
  showFreshness();
  announce();
}, 1000);
refresh();
