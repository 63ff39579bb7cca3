/**
 * The chart of the results: how many times faster than the best peer thimble is, on a logarithmic axis. A group of a
 * few cases has a bar for each; a larger one has a row of dots, one for each case, and a bar of their geometric mean.
 */
import { escape, round, STYLE, text } from "./svg.ts";
import type { GroupResult } from "./table.ts";

export interface Chart {
  title: string;
  subtitle: string;
}

interface Row {
  label: string;
  /** The name of a group above its cases. */
  heading?: true;
  /** The bar, and the dots on it. */
  speed: number;
  dots: number[];
  detail: string;
}

/** Groups with more cases than this are a row of dots. */
const FEW = 4;
const WIDTH = 860;
const LEFT = 330;
const RIGHT = 190;
const ROW = 26;
const TOP = 92;

export function drawChart(groups: readonly GroupResult[], { title, subtitle }: Chart): string {
  const rows = groups.flatMap(rowsOf);
  const speeds = rows.flatMap(({ speed, dots }) => [speed, ...dots]);
  const low = Math.min(0.5, 2 ** Math.floor(Math.log2(Math.min(...speeds, 1))));
  const high = Math.max(2, 2 ** Math.ceil(Math.log2(Math.max(...speeds, 1))));
  const at = (speed: number) => {
    const share = (Math.log2(speed) - Math.log2(low)) / (Math.log2(high) - Math.log2(low));
    return round(LEFT + share * (WIDTH - LEFT - RIGHT));
  };
  const bottom = TOP + rows.length * ROW;
  const height = bottom + 52;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">`,
    STYLE,
    text(20, 32, title, "title"),
    text(20, 54, subtitle, "note"),
    ...ticks(low, high).flatMap((speed) => [
      `<line class="${speed === 1 ? "one" : "grid"}" x1="${at(speed)}" x2="${at(speed)}" y1="${TOP - 10}" y2="${bottom}"/>`,
      text(at(speed), TOP - 16, speed < 1 ? `1/${1 / speed}` : `${speed}×`, "tick"),
    ]),
    ...rows.flatMap((row, i) => drawRow(row, TOP + i * ROW + ROW / 2, at)),
    text(LEFT, bottom + 22, "to the right of 1×: faster than the best peer", "note"),
    text(LEFT, bottom + 40, "dots: single cases; bars of rows with dots: their geometric mean", "note"),
    "</svg>",
    "",
  ].join("\n");
}

function rowsOf({ title, cases, ratio }: GroupResult): Row[] {
  const compared = cases.filter((item) => item.ratio !== null);
  if (ratio === null) return [];
  if (compared.length > FEW) {
    const dots = compared.map((item) => 1 / item.ratio!);
    return [{ label: title, speed: 1 / ratio, dots, detail: `${dots.length} cases` }];
  }
  const rows = compared.map((item): Row => ({
    label: compared.length === 1 ? title : item.name,
    speed: 1 / item.ratio!,
    dots: [],
    detail: `${milliseconds(item.ms)} against ${milliseconds(item.best!.ms)}`,
  }));
  return rows.length === 1 ? rows : [{ label: title, heading: true, speed: 1, dots: [], detail: "" }, ...rows];
}

function drawRow({ label, heading, speed, dots, detail }: Row, y: number, at: (speed: number) => number): string[] {
  if (heading) return [text(LEFT - 14, y + 6, label, "label heading")];
  const [from, to] = [at(1), at(speed)].sort((a, b) => a - b);
  const furthest = Math.max(at(1), at(speed), ...dots.map(at));
  return [
    text(LEFT - 14, y + 4, shorten(label), "label"),
    `<rect class="${speed >= 1 ? "faster" : "slower"}" x="${from}" y="${y - 7}" width="${round(to! - from!)}" height="14" rx="2"/>`,
    ...dots.map((dot) => `<circle class="dot" cx="${at(dot)}" cy="${y}" r="3"/>`),
    `<text class="value" x="${furthest + 8}" y="${y + 4}">${speed.toFixed(2)}×<tspan class="note" dx="6">${escape(detail)}</tspan></text>`,
  ];
}

/** Powers of two, or of four where those are too many. */
function ticks(low: number, high: number): number[] {
  const step = high / low > 2 ** 9 ? 2 : 1;
  const all: number[] = [];
  for (let power = Math.ceil(Math.log2(low) / step); power * step <= Math.log2(high); power++)
    all.push(2 ** (power * step));
  return all;
}

const shorten = (label: string) => (label.length > 42 ? `${label.slice(0, 41)}…` : label);

/** 12.3 ms, 45 µs, 120 ns. */
function milliseconds(ms: number): string {
  if (ms >= 1) return `${Number(ms.toPrecision(3))} ms`;
  return ms >= 1e-3 ? `${Number((ms * 1e3).toPrecision(3))} µs` : `${Number((ms * 1e6).toPrecision(3))} ns`;
}
