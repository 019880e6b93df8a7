// Draws one dashboard with Grafana's own panels; state timelines, which it does not publish, are this page's.
// The address has: dashboard, from, to (seconds), mode (light, dark), width, open (show collapsed rows), variables (JSON).

import React from "react";
import { createRoot } from "react-dom/client";
import * as G from "@grafana/data";
import * as U from "@grafana/ui";
import { fetchAgain, panelData } from "./data.js";

const address = new URLSearchParams(location.search);
const from = Number(address.get("from"));
const to = Number(address.get("to"));
const width = Number(address.get("width"));
const variables = JSON.parse(address.get("variables"));
const theme = G.createTheme({ colors: { mode: address.get("mode") } });
const timeRange = { from: G.dateTime(from * 1000), to: G.dateTime(to * 1000), raw: { from: "now-1h", to: "now" } };
const GAP = 8;
const ROW_HEIGHT = 38;
const LEGEND_HEIGHT = 30;

const Nothing = ({ text = "No data" }) => <div style={{ display: "grid", placeItems: "center", height: "100%", color: theme.colors.text.secondary }}>{text}</div>;

const displayed = (panel, data) => G.getFieldDisplayValues({
  fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, data, theme, replaceVariables: (text) => text, timeZone: "utc" });

function Repeated({ panel, data, width, height, children }) {
  const values = displayed(panel, data);
  return <U.VizRepeater theme={theme} width={width} height={height} source={data} renderCounter={0} itemSpacing={6} autoGrid
    orientation={panel.options.orientation ?? "auto"} minVizHeight={panel.options.minVizHeight} minVizWidth={panel.options.minVizWidth}
    getValues={() => values} getAlignmentFactors={G.getDisplayValueAlignmentFactors} renderValue={children} />;
}

function Stat(props) {
  const { panel: { options } } = props;
  return <Repeated {...props}>{({ value, width, height, alignmentFactors, count }) =>
    <U.BigValue value={value.display} count={count} colorMode={options.colorMode} graphMode="none" justifyMode="auto"
      textMode={options.textMode} alignmentFactors={alignmentFactors} width={width} height={height} theme={theme} />}</Repeated>;
}

function Bars(props) {
  const { panel: { options } } = props;
  return <Repeated {...props}>{({ value, width, height, alignmentFactors, orientation }) =>
    <U.BarGauge value={value.display} field={value.field} width={width} height={height} orientation={orientation} theme={theme}
      alignmentFactors={alignmentFactors} displayMode={options.displayMode} showUnfilled={options.showUnfilled}
      itemSpacing={6} lcdCellWidth={12} valueDisplayMode={options.valueMode} />}</Repeated>;
}

function Table({ data, width, height }) {
  return <U.Table data={data[0]} width={width} height={height} timeRange={timeRange} enablePagination={false} />;
}

const Lines = ({ panel, data, width, height }) =>
  <U.TimeSeries frames={data} timeRange={timeRange} timeZone="utc" width={width} height={height}
    legend={panel.options.legend ?? { calcs: [], showLegend: false }} options={panel.options}>{() => null}</U.TimeSeries>;

function Timeline({ panel, data, width, height }) {
  const rows = data.flatMap((frame) => frame.fields.filter(({ type }) => type === "number").map((field) =>
    ({ name: G.getFieldDisplayName(field, frame, data), field, times: frame.fields[0].values })));
  const hasLegend = panel.options.legend?.showLegend;
  const room = height - 20 - (hasLegend ? LEGEND_HEIGHT : 0);
  const names = Math.min(width * 0.4, 12 + 6.8 * Math.max(...rows.map(({ name }) => name.length)));
  const x = (at) => names + ((at / 1000 - from) / (to - from)) * (width - names);
  const each = room / rows.length;
  const states = new Map();
  const bands = rows.flatMap(({ field, times }, row) => times.map((at, index) => {
    const value = field.values[index];
    if (value === null) return null;
    const { color, text } = field.display(value);
    states.set(text, color);
    const end = times[index + 1] ?? to * 1000;
    return <rect key={`${row} ${index}`} x={x(at)} y={row * each + each * 0.1} width={x(end) - x(at) + 0.5} height={each * 0.8} fill={color} />;
  }));
  return <>
    <svg width={width} height={room + 20} fontSize={12} fill={theme.colors.text.primary}>
      {rows.map(({ name }, row) => <text key={row} x={names - 6} y={row * each + each / 2 + 4} textAnchor="end">{name}</text>)}
      {bands}
      {[0, 0.25, 0.5, 0.75].map((part) => <text key={part} x={names + part * (width - names)} y={room + 15}>
        {new Date((from + part * (to - from)) * 1000).toISOString().slice(11, 16)}</text>)}
    </svg>
    {hasLegend && <div data-legend style={{ display: "flex", gap: 16 }}>{[...states].map(([text, color]) =>
      <span key={text}><i style={{ display: "inline-block", width: 12, height: 4, marginRight: 6, background: color }} />{text}</span>)}</div>}
  </>;
}

const KINDS = { stat: Stat, bargauge: Bars, table: Table, timeseries: Lines, "state-timeline": Timeline };

class Guard extends React.Component {
  state = {};
  static getDerivedStateFromError(error) { return { error }; }
  render() { return this.state.error ? <pre data-error>{String(this.state.error.stack)}</pre> : this.props.children; }
}

let pending = 0;
const finished = () => { pending -= 1; document.body.dataset.pending = pending; };

function Panel({ panel, top }) {
  const [data, setData] = React.useState(null);
  const [error, setError] = React.useState(null);
  React.useEffect(() => { pending += 1; panelData(panel, { from, to, variables }, theme).then(setData, setError).finally(finished); }, []);
  const { x, w, h } = panel.gridPos;
  const size = { width: (w * width) / 24 - GAP, height: h * ROW_HEIGHT - GAP };
  const Kind = KINDS[panel.type];
  const { noValue } = panel.fieldConfig.defaults;
  const isEmpty = data && !data.some(({ length }) => length);
  return <section data-panel={panel.title} data-kind={panel.type} data-empty={isEmpty ? noValue ?? "" : null} style={{ position: "absolute", left: (x * width) / 24, top, ...size }}>
    <U.PanelChrome title={panel.title} description={panel.description} {...size}>{(innerWidth, innerHeight) =>
      <Guard>{error ? <pre data-error>{String(error)}</pre> : !data ? null : isEmpty ? <Nothing text={noValue} /> : <Kind panel={panel} data={data} width={innerWidth} height={innerHeight} />}</Guard>}
    </U.PanelChrome>
  </section>;
}

// Places what is shown: the panels of a collapsed row, where they are to be seen, move what follows down.
function placed(panels, isOpen) {
  const shown = [];
  let added = 0;
  for (const panel of panels) {
    const y = panel.gridPos.y + added;
    shown.push({ panel, y });
    if (panel.type !== "row" || !panel.collapsed || !isOpen) continue;
    const first = Math.min(...panel.panels.map(({ gridPos }) => gridPos.y));
    for (const inner of panel.panels) shown.push({ panel: inner, y: y + 1 + inner.gridPos.y - first });
    added += Math.max(...panel.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) - first;
  }
  return shown;
}

const Row = ({ panel, top, isOpen }) => <h2 data-row={panel.title} style={{ position: "absolute", top, fontSize: 15, fontWeight: 500, paddingTop: 6 }}>
  {panel.collapsed && !isOpen ? "›" : "⌄"} {panel.title} {panel.collapsed && !isOpen && <small>({panel.panels.length} panels)</small>}</h2>;

const dashboard = await (await fetchAgain(`/dashboards/${address.get("dashboard")}`)).json();
const isOpen = address.has("open");
const shown = placed(dashboard.panels, isOpen);
const bottom = Math.max(...shown.map(({ panel, y }) => (y + (panel.type === "row" ? 1 : panel.gridPos.h)) * ROW_HEIGHT));
Object.assign(document.body.style, { margin: "8px", background: theme.colors.background.canvas, color: theme.colors.text.primary, fontFamily: "Inter, 'DejaVu Sans', sans-serif", fontSize: "14px" });
createRoot(document.getElementById("root")).render(
  <G.ThemeContext.Provider value={theme}><U.GlobalStyles />
    <main style={{ position: "relative", width, height: bottom }}>{shown.map(({ panel, y }) => panel.type === "row"
      ? <Row key={panel.id} panel={panel} top={y * ROW_HEIGHT} isOpen={isOpen} />
      : <Panel key={panel.id} panel={panel} top={y * ROW_HEIGHT} />)}</main>
  </G.ThemeContext.Provider>);
