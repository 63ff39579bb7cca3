/** Learning-rate schedules: their ends, their peak, and that they never leave [0, 1]. */
import { describe, expect, test } from "bun:test";

import { optim } from "thimble";

const { constant, cosine, oneCycle } = optim.schedules;
const points = Array.from({ length: 101 }, (_, i) => i / 100);

describe("schedules", () => {
  test("constant stays at 1", () => {
    expect(points.every((t) => constant(t) === 1)).toBe(true);
  });

  test("cosine falls from 1 to 0 and is halfway in the middle", () => {
    expect(cosine(0)).toBe(1);
    expect(cosine(0.5)).toBeCloseTo(0.5, 12);
    expect(cosine(1)).toBeCloseTo(0, 12);
    for (let i = 1; i < points.length; i++) expect(cosine(points[i]!)).toBeLessThan(cosine(points[i - 1]!));
  });

  test("one-cycle rises from 1/25 to 1 at 30%, then falls to 0", () => {
    expect(oneCycle(0)).toBeCloseTo(1 / 25, 12);
    expect(oneCycle(0.3)).toBeCloseTo(1, 12);
    expect(oneCycle(0.65)).toBeCloseTo(0.5, 12);
    expect(oneCycle(1)).toBeCloseTo(0, 12);
    expect(Math.max(...points.map(oneCycle))).toBeLessThanOrEqual(1);
  });
});
