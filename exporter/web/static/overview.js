// The mesh: what is wrong first, then targets by ports.

import { h, hidden, mark } from "./dom.js";
import { matrixTable } from "./matrix.js";
import { runbookLink } from "./runbooks.js";
import { go, linkTo, route } from "./route.js";
import { STATES, count, number, plain } from "./words.js";

export const PAGE_SIZE = 100;
const CAUSES_SHOWN = 5;
const TYPED_MS = 250;

let areAllCausesShown = false;
let typing = 0;

export function overview(at, summary, matrix, now) {
  return [
    verdict(at, summary),
    causes(at, summary),
    h("section", { class: "targets", "aria-labelledby": "targets", "data-key": "targets" },
      h("h2", { id: "targets" }, "Targets by ports"),
      summary.namespaces.length > 0 && filters(route(), summary),
      matrixTable(at, matrix, now),
      pages(at, matrix)),
    notJudged(summary.not_judged),
  ];
}

function verdict(at, { states, targets }) {
  const scope = [at.namespace && `in ${at.namespace}`, at.role && `of role ${at.role}`].filter(Boolean).join(", ");
  return h("section", { class: "verdict", "data-key": "verdict" },
    h("h1", { tabindex: "-1" }, verdictLine(states, targets), scope && h("small", null, ` ${scope}`)),
    targets > 0 && h("ul", { class: "states" }, Object.entries(STATES).filter(([state, { isBeside }]) => !isBeside || states[state] || at.state === state).map(([state, { label, mark: kind }]) =>
      h("li", null,
        h("a", { href: linkTo({ state: at.state === state ? "" : state }), "data-go": true, class: states[state] ? state : `${state} none`, "aria-current": at.state === state && "true" },
          mark(kind), h("b", null, number(states[state])), ` ${label}`)))));
}

function verdictLine(states, targets) {
  if (!targets) return "No targets";
  if (states.unhealthy) return [h("span", { class: "bad" }, number(states.unhealthy)), ` of ${count(targets, "target")} unhealthy`];
  if (states.healthy === targets) return targets === 1 ? "The only target is healthy" : `All ${count(targets, "target")} are healthy`;
  return "No target is unhealthy";
}

function causes(at, { causes: found, runbooks }) {
  if (!found.length) return null;
  const shown = areAllCausesShown ? found : found.slice(0, CAUSES_SHOWN);
  const more = found.length - CAUSES_SHOWN;
  return h("section", { class: "causes", "aria-labelledby": "causes", "data-key": "causes" },
    h("h2", { id: "causes" }, "Causes"),
    h("ol", null, shown.map((one) => cause(at, one, runbooks))),
    more > 0 && h("button", { type: "button", "aria-expanded": String(areAllCausesShown), onclick: toggleCauses },
      areAllCausesShown ? "Show fewer causes" : `Show ${count(more, "more cause")}`));
}

function toggleCauses() {
  areAllCausesShown = !areAllCausesShown;
  dispatchEvent(new Event("routed"));
}

function cause(at, { cause: id, class: kind, sentence, advice, targets }, runbooks) {
  const isChosen = at.cause === id;
  return h("li", { "data-key": id, class: isChosen ? "chosen" : null },
    h("a", { class: "figure", href: linkTo({ cause: isChosen ? "" : id }), "data-go": true, "aria-current": isChosen && "true" },
      number(targets), hidden(` ${targets === 1 ? "target" : "targets"} with ${plain(id)}: ${isChosen ? "show all targets" : "show these"}`)),
    h("div", { class: "name" }, h("code", null, id), h("span", { class: `class ${kind}` }, kind)),
    h("p", null, h("strong", null, sentence), " ", advice, " ", runbookLink(runbooks, id)));
}

// The form shows the filters of the address, also before their documents have arrived.
function filters(at, summary) {
  const isFiltered = at.namespace || at.role || at.state || at.cause || at.q;
  return h("form", { class: "filters", role: "search", "aria-label": "Targets", onsubmit: (event) => event.preventDefault() },
    h("label", null, "Search",
      h("input", { type: "search", name: "q", maxlength: "200", autocomplete: "off", spellcheck: "false", value: at.q, placeholder: "pod, address, node, version", oninput: typed })),
    choice("Namespace", "namespace", at, groups(summary.namespaces)),
    choice("Role", "role", at, groups(summary.roles)),
    choice("State", "state", at, Object.entries(STATES).map(([state, { label }]) => [state, label])),
    choice("Cause", "cause", at, summary.causes.map(({ cause: id, targets }) => [id, `${id} (${number(targets)})`])),
    isFiltered && h("a", { href: "?", "data-go": true, class: "clear" }, "Clear filters"));
}

function groups(all) {
  return all.map(({ name, targets, unhealthy }) => [name, unhealthy ? `${name} (${number(unhealthy)} of ${number(targets)})` : `${name} (${number(targets)})`]);
}

function choice(label, name, at, options) {
  const all = options.some(([value]) => value === at[name]) || !at[name] ? options : [...options, [at[name], at[name]]];
  const select = h("select", { name, onchange: ({ currentTarget }) => go(linkTo({ [name]: currentTarget.value })) },
    h("option", { value: "" }, "all"), all.map(([value, text]) => h("option", { value }, text)));
  select.value = at[name];
  return h("label", null, label, select);
}

function typed({ currentTarget }) {
  clearTimeout(typing);
  typing = setTimeout(() => {
    if (currentTarget.value !== route().q) go(linkTo({ q: currentTarget.value }), { replace: true });
  }, TYPED_MS);
}

function pages(at, { total, offset, limit }) {
  const last = Math.max(1, Math.ceil(total / limit));
  if (last === 1) return null;
  const to = Math.min(total, offset + limit);
  return h("nav", { class: "pages", "aria-label": "Pages of the list" },
    step(at.page > 1 && at.page - 1, "Previous"),
    h("span", null, to > offset ? `${number(offset + 1)} to ${number(to)} of ${number(total)}` : `no targets on this page: ${number(total)} in all`),
    step(at.page < last && at.page + 1, "Next"));
}

function step(page, label) {
  return page ? h("a", { href: linkTo({ page }), "data-go": true }, label) : h("span", { class: "off" }, label);
}

function notJudged(sentences) {
  return h("section", { class: "not-judged", "aria-labelledby": "not-judged", "data-key": "not-judged" },
    h("h2", { id: "not-judged" }, "What is not watched"),
    sentences.length
      ? h("ul", null, sentences.map((sentence) => h("li", null, sentence)))
      : h("p", null, "This exporter watches every port that it knows."));
}
