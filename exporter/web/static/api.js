// Asks /api/v1. Every question ends: with an answer, or with an Error that says why not.

const WITHIN_MS = 10_000;

export class Missing extends Error {}

export async function ask(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const search = new URLSearchParams(given).toString();
  const answer = await fetch(`api/v1/${path}${search && `?${search}`}`, {
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({}));
  const sentence = told.error ?? `HTTP ${answer.status}`;
  throw answer.status === 404 ? new Missing(sentence) : new Error(sentence);
}

// A target is named namespace/pod; what follows the first slash is the pod's.
export function targetPath(name) {
  const slash = name.indexOf("/");
  return `targets/${encodeURIComponent(name.slice(0, slash))}/${encodeURIComponent(name.slice(slash + 1))}`;
}
