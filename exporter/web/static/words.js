// Numbers, times and verdicts as text.

// The health of targets. The three that stand beside are classes of causes that are no fault.
export const STATES = {
  unhealthy: { label: "unhealthy", mark: "down" },
  unjudged: { label: "not judged", mark: "unjudged" },
  transition: { label: "in transition", mark: "beside", isBeside: true },
  policy: { label: "by policy", mark: "beside", isBeside: true },
  application: { label: "by the application", mark: "beside", isBeside: true },
  healthy: { label: "healthy", mark: "up" },
};

const UNITS = [
  [86400 * 365, "y"],
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

const numbers = new Intl.NumberFormat("en");

export const number = (value) => numbers.format(value);

export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [size, unit] = UNITS.find(([least]) => whole >= least * (least > 1 ? 2 : 1)) ?? UNITS.at(-1);
  return `${number(Math.floor(whole / size))} ${unit}`;
}

export const ago = (seconds) => (seconds < 1.5 ? "just now" : `${span(seconds)} ago`);

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

export function date(seconds) {
  return new Date(seconds * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

export function took(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}

// An identifier as it is in metrics and runbooks, in parts between which a narrow cell may break it.
export const breakable = (id) => id.split(/(?<=_)/);

export const plain = (word) => word.replaceAll("_", " ");

// A port that is up but not ready, in as few letters as a cell takes.
export const upBut = (outcome) => (outcome === "not_ready" ? "unready" : plain(outcome));

export const kindOf = (up) => (up === null ? "unjudged" : up ? "up" : "down");

export const isConnectDifferent = (port) => port.naive !== null && port.naive !== port.up;

export const connectResult = (naive) => (naive ? "succeeds" : "fails");

// A verdict in one sentence, for readers who cannot see the mark.
export function inWords(port) {
  const verdict = { up: port.outcome === "ok" ? "up" : `up, ${plain(port.outcome)}`, down: `down, ${plain(port.outcome)}`, unjudged: `not judged, ${plain(port.outcome)}` };
  const parts = [`${port.port} ${verdict[kindOf(port.up)]}`];
  if (port.exposed) parts.push("exposed to the network");
  if (isConnectDifferent(port)) parts.push(`a plain connect ${port.naive ? "succeeds" : "fails"}`);
  return parts.join("; ");
}
