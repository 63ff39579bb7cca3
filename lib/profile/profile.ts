/** What was measured: operations by time, and the trace of single calls. */
import type { Work } from "./work.ts";

/** A call: its work, and when it ran, in milliseconds from the start of profiling. */
export interface Call {
  readonly work: Work;
  readonly start: number;
  readonly ms: number;
}

/** The calls of one operation, or of one operation and shape, together. */
export interface OperationTotal {
  readonly name: string;
  /** The shape, where totals are by shape; else empty. */
  readonly shape: string;
  readonly calls: number;
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
}

/** An event of Chrome's trace format; times in microseconds. */
export interface TraceEvent {
  name: string;
  /** "X": a span with a duration. "M": a name for a process or thread. */
  ph: "X" | "M";
  pid: number;
  tid: number;
  cat?: string;
  ts?: number;
  dur?: number;
  args: Record<string, string | number>;
}

/** What native calls took: all of them by operation and shape, and the first ones one by one. */
export class Profile {
  /** The first calls, up to the limit that was asked for. */
  readonly calls: readonly Call[];
  /** By shape, the longest first. Of all calls. */
  readonly shapes: readonly OperationTotal[];
  /** From the start of profiling to its end. */
  readonly wallMs: number;

  constructor(calls: readonly Call[], shapes: readonly OperationTotal[], wallMs: number) {
    this.calls = calls;
    this.shapes = shapes;
    this.wallMs = wallMs;
  }

  /** By operation, the longest first. Of all calls. */
  get operations(): OperationTotal[] {
    const totals = new Map<string, OperationTotal>();
    for (const { name, calls, ms, flops, bytes } of this.shapes) {
      const before = totals.get(name) ?? { calls: 0, ms: 0, flops: 0, bytes: 0 };
      totals.set(name, {
        name,
        shape: "",
        calls: before.calls + calls,
        ms: before.ms + ms,
        flops: before.flops + flops,
        bytes: before.bytes + bytes,
      });
    }
    return [...totals.values()].sort((a, b) => b.ms - a.ms);
  }

  /** Time in native calls; the rest of `wallMs` is JavaScript, and waiting. */
  get nativeMs(): number {
    return this.shapes.reduce((sum, { ms }) => sum + ms, 0);
  }

  /** The operations as a table, and below it the `shapes` longest shapes of them. */
  table({ shapes = 12 }: { shapes?: number } = {}): string {
    const parts = [formatTotals(this.operations, this.wallMs)];
    if (shapes > 0 && this.shapes.length > 0) parts.push(formatTotals(this.shapes.slice(0, shapes), this.wallMs));
    const outside = this.wallMs - this.nativeMs;
    parts.push(`${this.wallMs.toFixed(2)} ms, of which ${outside.toFixed(2)} ms outside of native code`);
    return parts.join("\n\n");
  }

  toString(): string {
    return this.table();
  }

  /** The calls in Chrome's trace format, which https://ui.perfetto.dev opens. */
  trace(): { displayTimeUnit: "ms"; traceEvents: TraceEvent[] } {
    const place = { pid: 1, tid: 1 };
    const traceEvents: TraceEvent[] = [
      { name: "process_name", ph: "M", ...place, args: { name: "thimble" } },
      { name: "thread_name", ph: "M", ...place, args: { name: "native calls" } },
    ];
    for (const { work, start, ms } of this.calls) {
      const { name, shape, flops, bytes } = work;
      const args = { shape, flops, bytes, gflops: ms > 0 ? flops / ms / 1e6 : 0 };
      traceEvents.push({ name, ph: "X", ...place, cat: "native", ts: start * 1e3, dur: ms * 1e3, args });
    }
    return { displayTimeUnit: "ms", traceEvents };
  }
}

function formatTotals(totals: readonly OperationTotal[], wallMs: number): string {
  const rows = totals.map(({ name, shape, calls, ms, flops, bytes }) => [
    shape === "" ? name : `${name} ${shape}`,
    String(calls),
    ms.toFixed(2),
    `${((100 * ms) / wallMs).toFixed(1)}%`,
    ((1e3 * ms) / calls).toFixed(1),
    rate(flops, ms),
    rate(bytes, ms),
  ]);
  const table = [["operation", "calls", "ms", "share", "µs a call", "GFLOP/s", "GB/s"], ...rows];
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  return table
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "))
    .join("\n");
}

const rate = (amount: number, ms: number) => (amount === 0 || ms === 0 ? "" : (amount / ms / 1e6).toFixed(1));
