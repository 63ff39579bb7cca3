/** Curves of time against work, both on logarithmic axes: time in proportion to work is a straight line of slope 1. */
import { formatNumber } from "./table.ts";
import { round, STYLE, text } from "./svg.ts";

export interface Plot {
  title: string;
  /** What x counts. */
  work: string;
  curves: { name: string; points: [x: number, ms: number][] }[];
}

const WIDTH = 420;
const HEIGHT = 330;
const LEFT = 76;
const RIGHT = 18;
const TOP = 58;
const BOTTOM = 52;

/** The plots side by side. */
export function drawPlots(plots: readonly Plot[], subtitle: string): string {
  const width = plots.length * WIDTH;
  const title = "How thimble's time grows with the work";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT + 60}" width="${width}" height="${HEIGHT + 60}" role="img" aria-label="${title}">`,
    STYLE,
    text(20, 28, title, "title"),
    text(20, 48, subtitle, "note"),
    ...plots.flatMap((plot, i) => [`<g transform="translate(${i * WIDTH} 56)">`, ...drawPlot(plot), "</g>"]),
    "</svg>",
    "",
  ].join("\n");
}

function drawPlot({ title, work, curves }: Plot): string[] {
  const points = curves.flatMap((curve) => curve.points);
  const xs = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
  const x = scale(xs[0]!, xs.at(-1)!, LEFT, WIDTH - RIGHT);
  const times = points.map(([, ms]) => ms);
  const [low, high] = [
    10 ** Math.floor(Math.log10(Math.min(...times))),
    10 ** Math.ceil(Math.log10(Math.max(...times))),
  ];
  const y = scale(low, high, HEIGHT - BOTTOM, TOP);
  const decades = Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i);
  return [
    text(LEFT, 36, title, "heading"),
    ...decades.flatMap((ms) => [
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(ms)}" y2="${y(ms)}"/>`,
      text(LEFT - 8, y(ms) + 4, `${formatNumber(ms)} ms`, "axis"),
    ]),
    ...xs.map((value) => text(x(value), HEIGHT - BOTTOM + 18, String(value), "tick")),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, work, "tick"),
    ...curves.flatMap(({ name, points: curve }, i) => [
      `<polyline class="curve curve${i}" points="${curve.map(([at, ms]) => `${x(at)},${y(ms)}`).join(" ")}"/>`,
      ...curve.map(([at, ms]) => `<circle class="point${i}" cx="${x(at)}" cy="${y(ms)}" r="3"/>`),
      `<circle class="point${i}" cx="${LEFT + 14}" cy="${TOP + 12 + 18 * i}" r="3"/>`,
      text(LEFT + 24, TOP + 16 + 18 * i, name, "note"),
    ]),
  ];
}

/** From [low, high] on a logarithmic axis to [from, to]. */
function scale(low: number, high: number, from: number, to: number): (value: number) => number {
  const span = Math.log(high / low) || 1;
  return (value) => round(from + (Math.log(value / low) / span) * (to - from));
}
