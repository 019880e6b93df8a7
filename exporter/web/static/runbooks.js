// The link from a cause to its runbook.

import { h, hidden } from "./dom.js";
import { plain } from "./words.js";

export function runbookLink(runbooks, cause) {
  const isSafe = /^(https?:|runbooks\/)/.test(runbooks);
  return isSafe && h("a", { href: `${runbooks}#${cause}`, rel: "noreferrer" }, "Runbook", hidden(` for ${plain(cause)}`));
}
