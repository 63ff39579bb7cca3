/** Learning-rate schedules: their ends, their peak, and what they are made of. */
import { describe, expect, test } from "bun:test";

import { ArgumentError, optim } from "thimble";

const { constant, cosine, exponential, linear, oneCycle, steps, warmUp } = optim.schedules;
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

  test("linear falls from 1 to 0 at one rate", () => {
    expect([0, 0.25, 0.5, 1].map(linear)).toEqual([1, 0.75, 0.5, 0]);
  });

  test("a warm-up rises from 0 to 1, and hands the rest of the run to what follows", () => {
    const schedule = warmUp(0.1);
    expect([schedule(0), schedule(0.05), schedule(0.1)]).toEqual([0, 0.5, 1]);
    expect(schedule(0.55)).toBeCloseTo(0.5, 12);
    expect(schedule(1)).toBeCloseTo(0, 12);
    expect(warmUp(0.5, linear)(0.75)).toBeCloseTo(0.5, 12);
    expect(warmUp(0.5, constant)(0.9)).toBe(1);
    expect(points.map(warmUp(0, linear))).toEqual(points.map(linear));
    expect(warmUp(0.2, warmUp(0.5, constant))(0.4)).toBeCloseTo(0.5, 12);
  });

  test("steps multiply by gamma at their milestones, whatever their order, and keep a list of their own", () => {
    const milestones = [0.75, 0.5];
    const schedule = steps(milestones);
    milestones[0] = 0;
    const found = [0, 0.49, 0.5, 0.74, 0.75, 1].map(schedule);
    [1, 1, 0.1, 0.1, 0.01, 0.01].forEach((expected, i) => expect(found[i]!).toBeCloseTo(expected, 12));
    expect(steps([0.5], 0.5)(0.9)).toBe(0.5);
    expect(steps([])(1)).toBe(1);
  });

  test("exponential falls to its end by the same factor in each step", () => {
    const schedule = exponential(0.01);
    expect([schedule(0), schedule(1)]).toEqual([1, 0.01]);
    for (let i = 1; i < points.length; i++)
      expect(schedule(points[i]!) / schedule(points[i - 1]!)).toBeCloseTo(0.01 ** 0.01, 12);
  });

  test("beyond the end of the run they stay as they are at its end", () => {
    for (const schedule of [linear, cosine, oneCycle, warmUp(0.1), steps([0.5]), exponential(0.1)])
      expect(schedule(1.5)).toBe(schedule(1));
  });

  test("arguments are checked", () => {
    expect(() => warmUp(1)).toThrow("warmUp: the fraction must be below 1, not 1");
    expect(() => warmUp(-0.1)).toThrow(ArgumentError);
    // @ts-expect-error: the schedule comes second
    expect(() => warmUp(cosine)).toThrow(ArgumentError);
    // @ts-expect-error: its name
    expect(() => warmUp(0.1, "cosine")).toThrow('warmUp: takes a schedule, not "cosine"');
    expect(() => steps([0.5, 30])).toThrow("steps: a milestone must be at most 1, not 30");
    expect(() => steps([0.5], NaN)).toThrow("gamma");
    // @ts-expect-error: one alone
    expect(() => steps(0.5)).toThrow("steps: takes a list, not 0.5");
    for (const wrong of [0, -1, 1.5, NaN, Infinity]) expect(() => exponential(wrong)).toThrow(ArgumentError);
  });
});
