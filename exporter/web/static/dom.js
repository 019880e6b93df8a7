// Makes elements, and updates the page to them without replacing what stays the same.
// Text from a target becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = {
  up: "M3 8.5 6.5 12 13 4.5",
  down: "M4 4l8 8M12 4l-8 8",
  beside: "M3 8h10",
  unjudged: "M5.6 6.1a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.2.8-1.2 1.6M8 12.4v.1",
};

export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (typeof value === "function") element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

export function mark(kind) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { class: `mark ${kind}`, viewBox: "0 0 16 16", "aria-hidden": "true" };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[kind]);
  svg.append(path);
  return svg;
}

export const hidden = (text) => h("span", { class: "visually-hidden" }, text);

// Makes the children of `place` like `wanted`. Elements that stay keep focus, selection and
// scroll position; data-key identifies rows.
export function show(place, ...wanted) {
  align(place, [...h("div", null, wanted).childNodes]);
}

function align(place, wanted) {
  const keyed = new Map();
  for (const child of place.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = place.firstChild;
  for (const want of wanted) {
    const have = (want.dataset?.key && keyed.get(want.dataset.key)) ?? at;
    if (have && isSame(have, want)) {
      if (have === at) at = at.nextSibling;
      else place.insertBefore(have, at);
      update(have, want);
    } else {
      place.insertBefore(want, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function isSame(have, want) {
  return have.nodeName === want.nodeName && have.dataset?.key === want.dataset?.key;
}

function update(have, want) {
  if (have.nodeType === Node.TEXT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  // What the reader has typed stays until the wanted value changes.
  const hasNewValue = have.nodeName === "INPUT" && have.getAttribute("value") !== want.getAttribute("value");
  for (const { name } of [...have.attributes]) {
    // An open disclosure is the reader's doing.
    if (!want.hasAttribute(name) && name !== "open") have.removeAttribute(name);
  }
  for (const { name, value } of want.attributes) {
    if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  for (const name of ["onclick", "onchange", "oninput", "onsubmit"]) have[name] = want[name];
  align(have, [...want.childNodes]);
  if ((have.nodeName === "SELECT" || hasNewValue) && have.value !== want.value) have.value = want.value;
}
