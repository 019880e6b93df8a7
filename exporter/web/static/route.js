// The address holds what the page shows: filters, page of the list and target, so that it can be shared.

const NAMES = ["namespace", "role", "state", "cause", "q", "page", "target"];

export function route() {
  const query = new URLSearchParams(location.search);
  const found = Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""]));
  found.page = Math.max(1, Number.parseInt(found.page, 10) || 1);
  return found;
}

// The address of the present view with these changes; another filter begins at the first page of the list.
export function linkTo(changes) {
  const wanted = { ...route(), ...("page" in changes || "target" in changes ? {} : { page: 1 }), ...changes };
  const query = new URLSearchParams();
  for (const name of NAMES) {
    const value = String(wanted[name] ?? "");
    if (value && !(name === "page" && value === "1")) query.set(name, value);
  }
  return `?${query}`;
}

export function go(href, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href);
  dispatchEvent(new Event("routed"));
}

export function followLinks() {
  addEventListener("popstate", () => dispatchEvent(new Event("routed")));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-go]");
    const plainClick = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!link || !plainClick) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
}
