// One target: its cause, the first readiness step that fails, every port, and commands to examine it by hand.

import { h, hidden, mark } from "./dom.js";
import { linkTo } from "./route.js";
import { runbookLink } from "./runbooks.js";
import { STATES, ago, connectResult, count, date, kindOf, number, plain, isConnectDifferent, span, took } from "./words.js";

const CADENCES = { fast: "ports", detail: "pages", identity: "certificates" };
const COPIED_MS = 1500;

export function targetPage(at, target, runbooks, now) {
  const back = h("p", { class: "back", "data-key": "back" }, h("a", { href: linkTo({ target: "", page: at.page }), "data-go": true }, "← All targets"));
  if (!target) {
    return [back, h("h1", { tabindex: "-1", "data-key": "gone" }, at.target), h("p", { "data-key": "reason" }, "This exporter does not watch this target: it was deleted, or belongs to another shard.")];
  }
  return [
    back,
    heading(target),
    target.diagnosis && diagnosis(target.diagnosis, runbooks),
    readinessSteps(target.readiness_steps),
    ports(target.ports, now),
    h("div", { class: "pair", "data-key": "facts" },
      facts("Proxy", proxyFacts(target.proxy)),
      facts("Last polls", Object.entries(CADENCES).filter(([cadence]) => cadence in target.polled).map(([cadence, what]) => [what, ago(now - target.polled[cadence])]))),
    certificates(target, now),
    listening(target.listening),
    byHand(target.ports),
    undetectedCauses(target.undetected_causes),
  ];
}

function heading(target) {
  const { label, mark: kind } = STATES[target.state];
  const rows = [
    ["namespace", target.namespace],
    ["role", target.role],
    ["address", target.addresses.join(", ")],
    ["node", target.node],
    ["workload", target.workload],
    ["revision", target.revision],
    ["Istio", target.istio_version],
    ["identity", target.spiffe_id],
  ];
  return h("section", { class: "about", "data-key": "about" },
    h("h1", { tabindex: "-1" }, target.pod),
    h("p", { class: `state ${target.state}` }, mark(kind), label),
    h("dl", null, rows.filter(([, value]) => value).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))));
}

function diagnosis({ cause, class: kind, sentence, advice, evidence }, runbooks) {
  return h("section", { class: `cause-of ${kind}`, "aria-labelledby": "cause", "data-key": "cause" },
    h("h2", { id: "cause" }, h("code", null, cause), h("span", { class: `class ${kind}` }, kind)),
    h("p", { class: "sentence" }, sentence),
    h("p", null, advice, " ", runbookLink(runbooks, cause)),
    evidence.length > 0 && [h("h3", null, "Evidence"), h("ul", null, evidence.map((one) => h("li", null, one)))]);
}

function readinessSteps(steps) {
  if (!steps.length) return null;
  const first = steps.findIndex(({ holds }) => holds === false);
  return h("section", { class: "steps", "aria-labelledby": "steps", "data-key": "steps" },
    h("h2", { id: "steps" }, "Readiness, step by step"),
    h("ol", null, steps.map(({ name, about, holds, detail }, index) =>
      h("li", { class: kindOf(holds) },
        h("b", null, mark(kindOf(holds)), name),
        h("span", { class: "detail" }, detail, hidden(holds === null ? "" : holds ? ", holds" : ", fails")),
        h("span", { class: "about-step" }, about),
        index === first && h("em", null, "fails here first")))));
}

function ports(all, now) {
  return h("section", { "aria-labelledby": "ports", "data-key": "ports" },
    h("h2", { id: "ports" }, "Ports"),
    !all.length
      ? h("p", null, "Its ports were not polled yet.")
      : h("div", { class: "scroller", role: "group", "aria-labelledby": "ports", tabindex: "0" },
        listTable("ports", ["Port", "Owner", "Outcome", "Seen from", "Plain connect", "Took", "Last success", "Detail"], all.map((port) => portRow(port, now)))));
}

// A table whose rows become blocks on a narrow screen: each cell then shows its heading.
function listTable(name, headings, rows) {
  for (const row of rows) [...row.children].forEach((cell, index) => cell.setAttribute("data-label", headings[index]));
  return h("table", { class: `list ${name}` },
    h("thead", null, h("tr", null, headings.map((heading) => h("th", { scope: "col" }, heading)))),
    h("tbody", null, rows));
}

function portRow(port, now) {
  const kind = kindOf(port.up);
  return h("tr", { "data-key": String(port.port), class: kind },
    h("th", { scope: "row" }, String(port.port), h("span", null, port.name)),
    h("td", null, port.component),
    h("td", { class: `outcome ${kind}` }, mark(kind), port.up && port.outcome !== "ok" ? "up, " : hidden(`${kind}: `), plain(port.outcome), port.exposed && h("i", { class: "exposed" }, "exposed")),
    h("td", null, port.view === "pod" ? "inside the pod" : port.view),
    h("td", { class: isConnectDifferent(port) ? "otherwise" : null }, port.naive === null ? "–" : connectResult(port.naive), isConnectDifferent(port) && h("i", { class: "naive" }, "differs")),
    h("td", { class: "figure" }, port.seconds ? took(port.seconds) : "–"),
    h("td", null, port.last_ok === null ? (port.up ? "–" : "never") : ago(now - port.last_ok)),
    h("td", { class: "detail" }, port.detail || "–"));
}

function proxyFacts({ captured, envoy_live: live, xds_connected: xds, listeners, bound, rejected, rejected_reasons: reasons, workloads }) {
  const yesNo = (value, yes, no) => (value === null ? null : value ? yes : no);
  return [
    ["redirection", yesNo(captured, "works", "missing")],
    ["Envoy", yesNo(live, "live", "not live")],
    ["istiod", yesNo(xds, "connected", "not connected")],
    ["listeners", Object.entries(listeners).map(([state, n]) => `${number(n)} ${state}`).join(", ")],
    ["workloads", Object.entries(workloads).map(([state, n]) => `${number(n)} ${state}`).join(", ")],
    ["bound", Object.entries(bound).map(([name, is]) => `${name}: ${is ? "yes" : "no"}`).join(", ")],
    ["rejected", Object.entries(rejected).filter(([, is]) => is).map(([name]) => name).join(", ") || (Object.keys(rejected).length ? "nothing" : "")],
    ...Object.entries(reasons).map(([name, reason]) => [`${name} rejected`, reason]),
  ].filter(([, value]) => value);
}

function facts(title, rows) {
  if (!rows.length) return null;
  return h("section", { class: "facts", "data-key": title },
    h("h2", null, title),
    h("dl", null, rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))));
}

function certificates({ certificates: all }, now) {
  if (!all.length) return null;
  return h("section", { "aria-labelledby": "certificates", "data-key": "certificates" },
    h("h2", { id: "certificates" }, "Certificates"),
    h("div", { class: "scroller", role: "group", "aria-labelledby": "certificates", tabindex: "0" },
      listTable("certificates", ["Certificate", "Source", "Valid from", "Until", "Left"],
        all.map((one) => h("tr", { "data-key": `${one.certificate} ${one.source}` },
          h("th", { scope: "row" }, one.certificate),
          h("td", null, one.source),
          h("td", null, one.not_before === null ? "–" : date(one.not_before)),
          h("td", null, date(one.not_after)),
          h("td", { class: one.not_after < now ? "otherwise" : null }, one.not_after < now ? `expired ${ago(now - one.not_after)}` : span(one.not_after - now)))))));
}

function listening(sockets) {
  if (!sockets.length) return null;
  return h("section", { "aria-labelledby": "listening", "data-key": "listening" },
    h("h2", { id: "listening" }, "Listening sockets", h("small", null, ` ${count(sockets.length, "socket")} in the pod`)),
    h("div", { class: "scroller", role: "group", "aria-labelledby": "listening", tabindex: "0" },
      listTable("listening", ["Port", "Address", "Process", "Protocol"],
        sockets.map((one) => h("tr", null,
          h("th", { scope: "row" }, String(one.port)), h("td", null, h("code", null, one.address)), h("td", null, one.process || "–"), h("td", null, one.protocol))))));
}

function byHand(all) {
  const commands = all.filter(({ by_hand: command }) => command);
  if (!commands.length) return null;
  return h("section", { class: "by-hand", "aria-labelledby": "by-hand", "data-key": "by-hand" },
    h("h2", { id: "by-hand" }, "Examine by hand"),
    h("dl", null, commands.map(({ port, by_hand: command }) => h("div", { "data-key": String(port) },
      h("dt", null, String(port)),
      h("dd", null, h("code", { tabindex: "0" }, command), copyButton(port, command))))));
}

// Browsers let pages copy over TLS and from localhost only.
function copyButton(port, command) {
  if (!navigator.clipboard) return null;
  return h("button", { type: "button", "aria-label": `Copy the command for ${port}`, onclick: async ({ currentTarget }) => {
    await navigator.clipboard.writeText(command);
    currentTarget.textContent = "Copied";
    setTimeout(() => (currentTarget.textContent = "Copy"), COPIED_MS);
  } }, "Copy");
}

function undetectedCauses(causes) {
  if (!causes.length) return null;
  return h("section", { class: "not-judged", "data-key": "undetected" },
    h("h2", null, "Causes that the polls so far could not show"),
    h("p", null, causes.map(plain).join(", ")));
}
