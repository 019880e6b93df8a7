// What a panel shows: its queries put to Prometheus, as Grafana's frames, transformed and formatted.

import * as G from "@grafana/data";

const OPTIONS = ["unit", "min", "max", "decimals", "displayName", "color", "thresholds", "mappings", "links", "noValue"];
const CUSTOM = ["axisSoftMax", "cellOptions", "minWidth", "width", "align", "hidden", "fillOpacity", "lineWidth", "showPoints", "stacking", "spanNulls", "fillMode"];

const option = (id, path = id) => ({
  id, path, name: id, isCustom: false,
  process: (value) => value, shouldApply: () => true, override: () => null, editor: () => null, getItemsCount: () => 1,
});

G.standardFieldConfigEditorRegistry.setInit(() => OPTIONS.map((id) => option(id)));
G.standardTransformersRegistry.setInit(() =>
  Object.values(Object.fromEntries(Object.values(G.standardTransformers).map((one) => [one.id, one]))).map((one) => ({
    id: one.id, name: one.name, transformation: one, editor: () => null })));

function editors() {
  const registry = new G.FieldConfigOptionsRegistry();
  for (const id of OPTIONS) registry.register(option(id));
  for (const id of CUSTOM) registry.register({ ...option(`custom.${id}`, id), isCustom: true });
  return registry;
}

// Puts the dashboard's variables into a text, as `$name`, `${name}` or `${name:format}`.
export const withVariables = (text, variables) =>
  text.replace(/\$\{?(\w+)(?::\w+)?\}?/g, (whole, name) => (name in variables ? variables[name] : whole));

const TRIES = 8;
const AGAIN_MS = 250;

// Chromium drops requests when an interface of the machine comes or goes, as those of other tests do.
export async function fetchAgain(url, options, tries = TRIES) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (tries === 1) throw error;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return fetchAgain(url, options, tries - 1);
  }
}

async function prometheus(path, parameters) {
  const response = await fetchAgain(`/prometheus/api/v1/${path}`, { method: "POST", body: new URLSearchParams(parameters) });
  const document = await response.json();
  if (document.status !== "success") throw new Error(document.error);
  return document.data.result;
}

const time = (values) => ({ name: "Time", type: G.FieldType.time, config: {}, values: values.map(([at]) => at * 1000) });

function series({ refId, legendFormat }, { metric, values }) {
  const { __name__: _, ...labels } = metric;
  const own = Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(", ");
  const isNamed = legendFormat && legendFormat !== "__auto";
  const name = isNamed ? legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (whole, label) => labels[label] ?? "") : own ? `{${own}}` : "Value";
  const numbers = values.map(([, value]) => Number(value));
  return G.toDataFrame({ refId, name, fields: [
    time(values),
    { name: "Value", type: G.FieldType.number, labels, config: { displayNameFromDS: name.trim() }, values: numbers }] });
}

function table({ refId }, found, valueName) {
  const labels = [...new Set(found.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return G.toDataFrame({ refId, fields: [
    time(found.map(({ value }) => value)),
    ...labels.map((name) => ({ name, type: G.FieldType.string, config: {}, values: found.map(({ metric }) => metric[name] ?? "") })),
    { name: valueName, type: G.FieldType.number, config: {}, values: found.map(({ value }) => Number(value[1])) }] });
}

async function frames(target, isOneOfMany, { from, to, variables }) {
  const query = withVariables(target.expr, variables);
  if (target.range) {
    const step = Math.max(1, Math.ceil((to - from) / 300));
    // A gap stays one: Prometheus leaves the points out, Grafana puts nulls in.
    const times = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
    const found = await prometheus("query_range", { query, start: from, end: to, step });
    return found.map(({ metric, values }) => {
      const byTime = new Map(values.map(([at, value]) => [Math.round(at), value]));
      const frame = series(target, { metric, values: times.map((at) => [at, byTime.get(Math.round(at)) ?? NaN]) });
      frame.fields[1].values = frame.fields[1].values.map((value) => (Number.isNaN(value) ? null : value));
      return frame;
    });
  }
  const found = await prometheus("query", { query, time: to });
  if (target.format !== "table") return found.map(({ metric, value }) => series(target, { metric, values: [value] }));
  return found.length ? [table(target, found, isOneOfMany ? `Value #${target.refId}` : "Value")] : [];
}

export async function panelData(panel, range, theme) {
  const targets = panel.targets ?? [];
  let data = (await Promise.all(targets.map((target) => frames(target, targets.length > 1, range)))).flat();
  if (panel.transformations?.length && data.length) {
    data = await new Promise((resolve, reject) => {
      G.transformDataFrame(panel.transformations, data).subscribe({ next: resolve, error: reject });
    });
  }
  const fieldConfig = structuredClone(panel.fieldConfig);
  fieldConfig.defaults.color ??= { mode: "thresholds" };
  const replaceVariables = (text) => text;
  return G.applyFieldOverrides({ data, fieldConfig, theme, replaceVariables, timeZone: "utc", fieldConfigRegistry: editors() });
}
