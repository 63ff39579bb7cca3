import { expect, test } from "bun:test";
import { NDArray } from "thimble";

import { arrangements } from "../support/arrangements.ts";
import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { Oracle } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

const plus = (values: number[]): number => values.reduce((a, b) => a + b, 0);
const logSumExp = (values: number[]): number => {
  const top = Math.max(...values);
  return top + Math.log(plus(values.map((value) => Math.exp(value - top))));
};
const reducers = {
  sum: plus,
  mean: (values: number[]) => plus(values) / values.length,
  max: (values: number[]) => Math.max(...values),
  min: (values: number[]) => Math.min(...values),
  logSumExp,
  argMax: (values: number[]) => values.indexOf(Math.max(...values)),
  argMin: (values: number[]) => values.indexOf(Math.min(...values)),
};

/** Every subset of the axes. */
const subsets = (ndim: number): number[][] =>
  Array.from({ length: 2 ** ndim }, (_, bits) =>
    Array.from({ length: ndim }, (_, i) => i).filter((i) => (bits >> i) & 1),
  );

onEachDevice("NDArray reductions", (device) => {
  for (const [name, reducer] of Object.entries(reducers)) {
    const op = name as keyof typeof reducers;
    test(`${op} over every set of axes, of every arrangement in memory`, () => {
      const random = new Random(7);
      for (const shape of [[5], [3, 4], [2, 3, 4], [2, 1, 3, 2], [1, 1], [9, 17]]) {
        for (const arrangement of arrangements) {
          const model = Oracle.make(shape, () => random.integer(-128, 128) / 64);
          const stored = arrangement.store(model, NaN);
          const a = arrangement.view(NDArray.from(stored.read(), { shape: stored.shape, device }));
          for (const axes of subsets(shape.length)) {
            if (axes.length === 0) continue;
            for (const keepDims of [false, true]) {
              const expected = model.reduce(axes, keepDims, reducer);
              const what = `${op} of ${arrangement.name} (${shape}) over [${axes}]`;
              close(a[op]({ axes, keepDims }), { shape: expected.shape, values: expected.read() }, { what });
            }
          }
          closeNumber(a[op]().item(), reducer(model.read()));
        }
      }
    });
  }

  test("int32: sum and max stay integers, mean does not", () => {
    const a = NDArray.from([[1, -2], [3, 4]], { dtype: "int32", device }); // prettier-ignore
    expect([a.sum().dtype, a.sum().item()]).toEqual(["int32", 6]);
    expect([a.max({ axes: 0 }).dtype, a.max({ axes: 0 }).toArray()]).toEqual(["int32", [3, 4]]);
    expect([a.mean({ axes: 1 }).dtype, a.mean({ axes: 1 }).toArray()]).toEqual(["float32", [-0.5, 3.5]]);
    const large = NDArray.from([16777217, 1], { dtype: "int32", device });
    expect(large.sum().item()).toBe(16777218); // float32 could not tell
  });

  test("nothing: the sum is 0, the mean NaN, and there is no maximum", () => {
    const empty = NDArray.zeros([0, 3], { device });
    expect(empty.sum({ axes: 0 }).toArray()).toEqual([0, 0, 0]);
    expect(empty.sum().item()).toBe(0);
    expect(empty.mean({ axes: 0 }).toArray()).toEqual([NaN, NaN, NaN]);
    expect(empty.mean().item()).toBeNaN();
    expect(empty.sum({ axes: 1 }).shape).toEqual([0]);
    expect(empty.max({ axes: 1 }).shape).toEqual([0]);
    expect(() => empty.max({ axes: 0 })).toThrow(/max.*\(0, 3\)/);
    expect(() => empty.max()).toThrow(/max.*\(0, 3\)/);
  });

  test("a million terms: the error stays far below that of adding one by one", () => {
    const values = new Random(3).uniform(1_000_003, 0, 1);
    const exact = values.reduce((sum, value) => sum + value, 0);
    const a = NDArray.from(values, { device });
    closeNumber(a.sum().item(), exact, { rtol: 1e-6 });
    closeNumber(a.mean().item(), exact / values.length, { rtol: 1e-6 });
    expect(a.max().item()).toBe(values.reduce((x, y) => Math.max(x, y)));
    const rows = NDArray.from(values.subarray(0, 1_000_000), { shape: [1000, 1000], device });
    const columns = rows.sum({ axes: 0 }).toTypedArray();
    let column = 0;
    for (let i = 0; i < 1000; i++) column += values[i * 1000 + 999]!;
    closeNumber(columns[999]!, column, { rtol: 1e-6 });
    closeNumber(rows.transpose().sum({ axes: 1 }).toTypedArray()[999]!, column, { rtol: 1e-6 });
  });

  test("the same sum on every run", () => {
    const a = NDArray.from(new Random(5).uniform(300_000), { device });
    const first = a.sum().item();
    for (let i = 0; i < 20; i++) expect(a.sum().item()).toBe(first);
  });
});

test("the mean of int32 is float32, over one element too", () => {
  const mean = NDArray.from([[1], [2]], { dtype: "int32" }).mean(1); // prettier-ignore
  expect([mean.dtype, mean.toArray()]).toEqual(["float32", [1, 2]]);
});
