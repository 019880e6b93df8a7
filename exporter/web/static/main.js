// Keeps the page current: asks, shows, says how old that is, and asks again.

import { Missing, ask, targetPath } from "./api.js";
import { h, show } from "./dom.js";
import { PART, overview } from "./overview.js";
import { followLinks, route } from "./route.js";
import { targetPage } from "./target.js";
import { ago, clock, count, span } from "./words.js";

const AGAIN_MS = 5000;
const OLD_AFTER_INTERVALS = 3;

const element = (id) => document.getElementById(id);
const main = element("main");

// What was last heard, when by this machine's clock, and since when nothing is.
let heard = null;
let heardAt = 0;
let silentSince = null;
let trouble = "";
let isPaused = false;
let timer = 0;
let turn = 0;

const seconds = () => performance.now() / 1000;

// The exporter's clock, so that ages do not depend on this machine's.
const now = () => heard.summary.now + (seconds() - heardAt);

async function hear(at) {
  const { namespace, role, state, cause, q, page, target } = at;
  const scope = { namespace, role };
  if (target) {
    const [summary, shown] = await Promise.all([
      ask("summary"),
      ask(targetPath(target)).catch((error) => {
        if (error instanceof Missing) return null;
        throw error;
      }),
    ]);
    return { summary, target: shown };
  }
  const part = { offset: (page - 1) * PART, limit: PART };
  const [summary, matrix] = await Promise.all([
    ask("summary", scope),
    ask("matrix", { ...scope, state, cause, q, ...part }),
  ]);
  return { summary, matrix };
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++turn;
  const at = route();
  try {
    const told = await hear(at);
    if (mine !== turn) return;
    heard = { ...told, at };
    heardAt = seconds();
    silentSince = null;
  } catch (error) {
    if (mine !== turn) return;
    silentSince ??= Date.now() / 1000;
    trouble = error instanceof TypeError || error.name === "TimeoutError" ? "" : error.message;
  }
  draw();
  tell();
  plan();
}

function plan() {
  clearTimeout(timer);
  if (!isPaused && !document.hidden) timer = setTimeout(refresh, AGAIN_MS);
}

function draw() {
  if (!heard) {
    show(main, h("p", { class: "wait" }, "Nothing is known yet."));
    return;
  }
  const { at, summary } = heard;
  const title = at.target || headline(summary);
  document.title = `${title} · Istio ports`;
  show(main, at.target ? targetPage(at, heard.target, summary.runbooks, now()) : overview(at, summary, heard.matrix, now()));
}

function headline({ states, targets }) {
  if (!targets) return "No targets";
  return states.unhealthy ? `${states.unhealthy} of ${targets} unhealthy` : "No target is unhealthy";
}

// Says how fresh the page is; loudly when it is old or nobody answers.
function tell() {
  const alarms = [];
  if (silentSince !== null) {
    alarms.push(
      h("p", { class: "alarm", "data-key": "silent" },
        h("strong", null, trouble ? "The exporter cannot say: " : "The exporter does not answer "),
        trouble || `since ${clock(silentSince)}.`,
        heard ? " What you see below is from before." : " Trying again every 5 seconds."),
    );
  }
  if (heard && isOld(heard.summary.looks)) alarms.push(oldData(heard.summary.looks));
  show(element("alarm"), alarms);
  show(element("fresh"), freshness());
  document.body.classList.toggle("old", alarms.length > 0);
}

const isOld = ({ newest, interval }) => newest !== null && now() - newest > OLD_AFTER_INTERVALS * interval;

function oldData({ newest, interval }) {
  return h("p", { class: "alarm", "data-key": "old" },
    h("strong", null, `These data are old: the last look was at ${clock(newest)}. `),
    isPaused
      ? "This page is paused."
      : `Every target should be looked at each ${span(interval)}; the exporter has stopped looking.`);
}

function freshness() {
  if (!heard) return [];
  const { newest, waiting, overdue } = heard.summary.looks;
  const parts = [newest === null ? "no look yet" : `last look ${ago(now() - newest)}`];
  if (waiting) parts.push(`${count(waiting, "target")} waiting for the first`);
  if (overdue) parts.push(h("span", { class: "late" }, `${count(overdue, "target")} not seen in time`));
  if (isPaused) parts.push(`paused at ${clock(heard.summary.now)}`);
  return parts.flatMap((part, index) => (index ? [" · ", part] : [part]));
}

let said = "";
function announce() {
  const text = silentSince !== null ? "" : headline(heard?.summary ?? { states: {}, targets: 0 });
  if (heard && text !== said) element("live").textContent = said = text;
}

element("pause").onclick = ({ currentTarget }) => {
  isPaused = !isPaused;
  currentTarget.setAttribute("aria-pressed", isPaused);
  if (isPaused) clearTimeout(timer);
  else refresh();
  tell();
};

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));

let shownTarget = route().target;
addEventListener("routed", async () => {
  const { target } = route();
  const isElsewhere = target !== shownTarget;
  shownTarget = target;
  if (heard) draw();
  await refresh();
  if (!isElsewhere) return;
  scrollTo(0, 0);
  (main.querySelector("h1") ?? main).focus({ preventScroll: true });
});

followLinks();
setInterval(() => {
  tell();
  announce();
}, 1000);
refresh();
