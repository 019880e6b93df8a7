// Requests to /api/v1. Each ends within a deadline: with a document, or with an Error that has the reason.

const TIMEOUT_MS = 10_000;

export class Missing extends Error {}

export async function fetchDocument(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const search = new URLSearchParams(given).toString();
  const response = await fetch(`api/v1/${path}${search && `?${search}`}`, {
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const sentence = problem.error ?? `HTTP ${response.status}`;
  throw response.status === 404 ? new Missing(sentence) : new Error(sentence);
}

// A target is named namespace/pod; what follows the first slash is the pod's.
export function targetPath(name) {
  const slash = name.indexOf("/");
  return `targets/${encodeURIComponent(name.slice(0, slash))}/${encodeURIComponent(name.slice(slash + 1))}`;
}
