// Targets by ports: one short row each, a hundred at most.

import { h, hidden, mark } from "./dom.js";
import { linkTo } from "./route.js";
import { ago, breakable, inWords, kindOf, number, plain, isConnectDifferent, upBut } from "./words.js";

// More columns than this do not fit; one cell then holds the rarest ports.
const COLUMNS = 16;

export function matrixTable(at, { total, ports, targets }, now) {
  if (!total) return noTargets(at);
  const columns = [...ports].sort((a, b) => targetsWith(b) - targetsWith(a)).slice(0, COLUMNS).map(({ port }) => port).sort((a, b) => a - b);
  const hasOthers = ports.length > columns.length;
  return [
    legend(),
    h("div", { class: "scroller", role: "group", "aria-labelledby": "targets", tabindex: "0" },
      h("table", { class: "matrix" },
        h("caption", { class: "visually-hidden" }, `${number(total)} targets by ports, the worst first`),
        h("thead", null, h("tr", null,
          h("th", { scope: "col", class: "who" }, "Target"),
          h("th", { scope: "col", class: "why" }, "Cause"),
          columns.map((port) => h("th", { scope: "col", class: "port" }, String(port))),
          hasOthers && h("th", { scope: "col", class: "port" }, "other"),
          h("th", { scope: "col", class: "when" }, "Last poll"))),
        h("tbody", null, targets.map((target) => row(target, columns, hasOthers, now))))),
  ];
}

const targetsWith = ({ up, down, unjudged }) => up + down + unjudged;

function noTargets(at) {
  const isFiltered = at.namespace || at.role || at.state || at.cause || at.q;
  return h("p", { class: "nothing" }, isFiltered
    ? "No target matches these filters."
    : "There are no targets yet. They come from Kubernetes, or from discovery.static in the configuration.");
}

function legend() {
  return h("ul", { class: "legend", "aria-label": "Legend" },
    h("li", null, mark("up"), "proved up"),
    h("li", null, mark("down"), "proved down"),
    h("li", null, mark("unjudged"), "cannot be judged"),
    h("li", null, h("span", { class: "naive" }, "tcp ✓"), h("span", { class: "naive" }, "tcp ✗"), "a plain connect, where it differs"),
    h("li", null, h("span", { class: "naive" }, "unready"), "responds, and reports that it is not ready"));
}

function row({ namespace, pod, role, state, cause, class: kind, last_poll: lastPoll, ports }, columns, hasOthers, now) {
  const name = `${namespace}/${pod}`;
  const byPort = new Map(ports.map((port) => [port.port, port]));
  const others = ports.filter(({ port }) => !columns.includes(port));
  return h("tr", { "data-key": name, class: state },
    h("th", { scope: "row", class: "who" },
      h("a", { href: linkTo({ target: name }), "data-go": true }, pod),
      h("span", null, namespace, " · ", role)),
    h("td", { class: "why" }, cause
      ? h("span", { class: `class ${kind}` }, breakable(cause).map((part) => [part, h("wbr")]))
      : h("span", { class: "no-cause" }, lastPoll === null ? "waiting" : state === "healthy" ? "healthy" : plain(state === "unjudged" ? "not judged" : state))),
    columns.map((port) => cell(byPort.get(port))),
    hasOthers && h("td", { class: "port" }, others.map((port) => verdict(port, String(port.port)))),
    h("td", { class: "when" }, lastPoll === null ? "–" : ago(now - lastPoll)));
}

function cell(port) {
  return h("td", { class: port ? "port" : "port none" }, port && verdict(port, String(port.port)));
}

function verdict(port, label) {
  return h("span", { class: `verdict-of ${kindOf(port.up)}`, title: inWords(port) },
    h("i", { class: "label", "aria-hidden": "true" }, label),
    mark(kindOf(port.up)),
    hidden(inWords(port)),
    port.up && port.outcome !== "ok" && h("i", { class: "naive", "aria-hidden": "true" }, upBut(port.outcome)),
    isConnectDifferent(port) && h("i", { class: "naive", "aria-hidden": "true" }, port.naive ? "tcp ✓" : "tcp ✗"),
    port.exposed && h("i", { class: "exposed", "aria-hidden": "true" }, "exposed"));
}
