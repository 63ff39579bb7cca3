import { describe, expect, test } from "bun:test";

import { drawChart } from "../../../scripts/bench/chart.ts";
import { agree, checksum, fill } from "../../../scripts/bench/fill.ts";
import { parts } from "../../../scripts/bench/groups/index.ts";
import { convFlops } from "../../../scripts/bench/groups/conv.ts";
import { rooflineMs } from "../../../scripts/bench/machine.ts";
import { drawPlots } from "../../../scripts/bench/plot.ts";
import type { Contestant } from "../../../scripts/bench/peer.ts";
import { timeCase } from "../../../scripts/bench/rounds.ts";
import { geometricMean, median } from "../../../scripts/bench/statistics.ts";
import { caseResult, formatNumber, formatTable, groupResult } from "../../../scripts/bench/table.ts";
import type { Case } from "../../../scripts/bench/workload.ts";

/** Throws for tags that do not match, characters that need escaping, and numbers that are none. */
function expectWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [tag, closing, name, selfClosing] of svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
    expect(tag).not.toContain("NaN");
    if (selfClosing) continue;
    if (closing) expect(open.pop()).toBe(name!);
    else open.push(name!);
  }
  expect(open).toEqual([]);
  expect(svg).not.toMatch(/&(?!amp;|lt;|gt;|quot;)/);
}

describe("statistics", () => {
  test("median", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  test("geometric mean", () => {
    expect(geometricMean([2, 0.5])).toBeCloseTo(1);
    expect(geometricMean([8])).toBeCloseTo(8);
  });
});

describe("the numbers that contestants share", () => {
  test("are the ones that torch_common.py and peer.h make", () => {
    // numpy's, of fill((4,), 3)
    expect(Array.from(fill(4, 3))).toEqual([
      0.18458016216754913, -0.14902040362358093, 0.019671300426125526, -0.1878100484609604,
    ]);
    expect(fill(1000, 1).every((x) => x >= -0.5 && x < 0.5)).toBe(true);
  });

  test("checksums know the order", () => {
    const values = fill(100, 5);
    expect(agree(checksum(values), checksum(values.map((x) => x * (1 + 1e-5))))).toBe(true);
    expect(agree(checksum(values), checksum(values.toReversed()))).toBe(false);
    expect(agree([1], [1, 2])).toBe(false);
    expect(agree([1], [NaN])).toBe(false);
  });
});

/** A contestant whose runs take the given time. */
function contestant(name: string, ms: number, values: number[] | null = [1]): Contestant & { samples: number } {
  return {
    name,
    samples: 0,
    prepare: async () => values,
    async time(samples) {
      this.samples += samples;
      return Array.from({ length: samples }, () => ms);
    },
    close() {},
  };
}

const effort = { rounds: 2, budget: 1 };
const item: Case = {
  name: "case",
  workload: "case 1",
  peers: [],
  flops: 1e6,
  bytes: 0,
  prepare: () => ({ run() {}, values: () => [] }),
};

describe("rounds", () => {
  test("leave out who lacks the workload, and time the hopeless no further", async () => {
    const all = [contestant("a", 1), contestant("b", 2), contestant("c", 9), contestant("d", 1, null)];
    const timings = await timeCase(all, "case 1", effort);
    expect(timings).toEqual([
      { name: "a", ms: 1, agrees: true },
      { name: "b", ms: 2, agrees: true },
      { name: "c", ms: 9, dropped: true, agrees: true },
    ]);
  });

  test("never drop ours", async () => {
    const timings = await timeCase([contestant("a", 50), contestant("b", 1)], "case 1", effort);
    expect(timings[0]).toEqual({ name: "a", ms: 50, agrees: true });
  });

  test("a peer that computes something else is in no ratio", async () => {
    const timings = await timeCase([contestant("a", 2), contestant("b", 1, [7]), contestant("c", 4)], "", effort);
    const result = caseResult(item, timings, { gflops: 1, bandwidth: [[1024, 1]] });
    expect(result).toMatchObject({ ratio: 0.5, best: { name: "c" }, disagreeing: ["b"], gflops: 0.5, roofline: 0.5 });
  });
});

test("the roofline is the slower of arithmetic and traffic", () => {
  const machine = { gflops: 100, bandwidth: [[1000, 50], [1e6, 10]] as [number, number][] }; // prettier-ignore
  expect(rooflineMs(machine, 1e9, 0)).toBeCloseTo(10);
  expect(rooflineMs(machine, 0, 500)).toBeCloseTo(500 / 50 / 1e6);
  expect(rooflineMs(machine, 0, 1e9)).toBeCloseTo(100); // beyond the last level: its rate
});

test("convolutions count no taps on padding", () => {
  expect(convFlops({ n: 1, h: 1, c: 1, f: 1, k: 3, stride: 1 })).toBe(2);
  expect(convFlops({ n: 1, h: 2, c: 1, f: 1, k: 3, stride: 1 })).toBe(2 * 4 * 4);
  expect(convFlops({ n: 2, h: 5, c: 3, f: 4, k: 1, stride: 1 })).toBe(2 * 2 * 3 * 4 * 25);
});

describe("tables", () => {
  test("align, and leave out columns without a value", () => {
    const text = formatTable(["", "ms", "peer", "none"], [["first", 1.5, "b", null], ["second one", 120, "", null]]); // prettier-ignore
    expect(text).toBe(["              ms  peer", "first       1.50  b", "second one   120"].join("\n"));
  });

  test("numbers have three digits", () => {
    expect([0, 0.000123456, 0.0123, 1, 45.678, 999.9, 12345].map(formatNumber)).toEqual(
      ["0", "0.000123", "0.0123", "1.00", "45.7", "1000", "12,345"], // prettier-ignore
    );
  });
});

describe("the chart", () => {
  const timings = (ms: number) => [ms, 1].map((time, i) => ({ name: `n${i}`, ms: time, agrees: true }));
  const group = (name: string, times: number[]) =>
    groupResult(name, `${name} <&>`, times.map((ms, i) => caseResult({ ...item, name: `case "${i}"` }, timings(ms), null))); // prettier-ignore

  test("is well-formed, and has a bar or dot for each case", () => {
    const svg = drawChart([group("few", [0.5, 2]), group("many", [0.5, 1, 2, 4, 8, 1])], {
      title: "a & b",
      subtitle: "",
    });
    expectWellFormed(svg);
    expect(svg.match(/<rect /g)).toHaveLength(3);
    expect(svg.match(/<circle /g)).toHaveLength(6);
    expect(svg).toContain("prefers-color-scheme: dark");
  });

  test("of nothing is a chart too", () => {
    expect(drawChart([], { title: "t", subtitle: "s" })).toContain("</svg>");
  });
});

test("plots have logarithmic axes: time in proportion to work is a straight line", () => {
  const points = [1, 2, 4, 8, 16].map((x): [number, number] => [x, 0.3 * x]);
  const plot = { title: "a & b", work: "items", curves: [{ name: "1 thread", points }] };
  const svg = drawPlots([plot, { ...plot, curves: [{ name: "one point", points: [[7, 7]] }] }], "here");
  expectWellFormed(svg);
  const [first, second] = Array.from(svg.matchAll(/<polyline[^>]* points="([^"]*)"/g), ([, list]) =>
    list!.split(" ").map((point) => point.split(",").map(Number) as [number, number]),
  );
  const steps = first!.slice(1).map(([x, y], i) => [x - first![i]![0], y - first![i]![1]]);
  for (const [dx, dy] of steps) {
    expect(dx).toBeCloseTo(steps[0]![0]!, 0);
    expect(dy).toBeCloseTo(steps[0]![1]!, 0);
  }
  expect(steps[0]![0]).toBeGreaterThan(0);
  expect(steps[0]![1]).toBeLessThan(0); // upward
  expect(second).toHaveLength(1);
});

test("cases have names and workloads of their own, and each group has quick ones", () => {
  const names = parts.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const part of parts) {
    if (!("cases" in part)) continue;
    const cases = part.cases();
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    expect(new Set(cases.map(({ workload }) => workload)).size).toBe(cases.length);
    expect(cases.some(({ quick }) => quick)).toBe(true);
    for (const { flops = 0, bytes = 0 } of cases) expect(flops + bytes).toBeGreaterThanOrEqual(0);
  }
});
