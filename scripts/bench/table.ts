/** Results, and the tables that the terminal shows. */
import { type Machine, rooflineMs } from "./machine.ts";
import type { Timing } from "./rounds.ts";
import { geometricMean } from "./statistics.ts";
import type { Case } from "./workload.ts";

export interface CaseResult {
  name: string;
  ms: number;
  best: { name: string; ms: number } | null;
  /** Our time over the best peer's: below 1, thimble is faster. Null without a peer. */
  ratio: number | null;
  gflops: number | null;
  gigabytes: number | null;
  /** Share of the machine's roofline: the time at the machine's peaks over our time. */
  roofline: number | null;
  /** Images or words a second. */
  throughput: { perSecond: number; unit: string } | null;
  /** Peers that computed something else: their times mean nothing, and are in no ratio. */
  disagreeing: string[];
  timings: Timing[];
}

export interface GroupResult {
  name: string;
  title: string;
  cases: CaseResult[];
  /** Geometric mean of the ratios. */
  ratio: number | null;
}

export function caseResult(item: Case, timings: Timing[], machine: Machine | null): CaseResult {
  const [own, ...peers] = timings;
  const { ms } = own!;
  const best = peers.filter(({ agrees }) => agrees).toSorted((a, b) => a.ms - b.ms)[0] ?? null;
  const { flops = 0, bytes = 0, items } = item;
  return {
    name: item.name,
    ms,
    best: best === null ? null : { name: best.name, ms: best.ms },
    ratio: best === null ? null : ms / best.ms,
    gflops: flops > 0 ? flops / ms / 1e6 : null,
    gigabytes: bytes > 0 ? bytes / ms / 1e6 : null,
    roofline: machine === null || flops + bytes === 0 ? null : rooflineMs(machine, flops, bytes) / ms,
    throughput: items === undefined ? null : { perSecond: (items.count / ms) * 1e3, unit: items.unit },
    disagreeing: peers.filter(({ agrees }) => !agrees).map(({ name }) => name),
    timings,
  };
}

export function groupResult(name: string, title: string, cases: CaseResult[]): GroupResult {
  const ratios = cases.flatMap(({ ratio }) => ratio ?? []);
  return { name, title, cases, ratio: ratios.length === 0 ? null : geometricMean(ratios) };
}

export type Cell = string | number | null;

/**
 * Columns aligned, texts to the left, numbers to the right with three digits; columns without any value are left out.
 */
export function formatTable(names: readonly string[], allRows: readonly (readonly Cell[])[]): string {
  const used = names.map((_, i) => i === 0 || allRows.some((row) => row[i] !== null && row[i] !== ""));
  const header = names.filter((_, i) => used[i]);
  const rows = allRows.map((row) => row.filter((_, i) => used[i]));
  const text = [header, ...rows.map((row) => row.map(formatCell))];
  const widths = header.map((_, i) => Math.max(...text.map((row) => row[i]!.length)));
  const left = header.map((_, i) => i === 0 || rows.some((row) => typeof row[i] === "string"));
  return text
    .map((row) => row.map((cell, i) => (left[i] ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "))
    .map((line) => line.trimEnd())
    .join("\n");
}

function formatCell(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "string") return cell;
  return formatNumber(cell);
}

/** Three significant digits without an exponent: 0.0123, 4.57, 1,230. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

const percent = (share: number | null) => (share === null ? null : Math.round(share * 100));

export function formatGroup({ name, title, cases, ratio }: GroupResult): string {
  const header = ["", "ms", "ratio", "best peer, ms", "", "GFLOP/s", "GB/s", "roof %", "per s"];
  const rows = cases.map((item): Cell[] => [
    item.name,
    item.ms,
    item.ratio,
    item.best?.ms ?? null,
    item.best?.name ?? "",
    item.gflops,
    item.gigabytes,
    percent(item.roofline),
    item.throughput?.perSecond ?? null,
  ]);
  const wrong = cases.flatMap((item) =>
    item.disagreeing.map((peer) => `WRONG: ${item.name}: ${peer} gives other values`),
  );
  const summary = ratio === null ? [] : [`geometric mean of the ratios: ${formatNumber(ratio)}`];
  return [`${title} (${name})`, formatTable(header, rows), ...wrong, ...summary].join("\n");
}
