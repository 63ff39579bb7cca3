import { expect, test } from "bun:test";
import { NDArray } from "thimble";

import { arrangements } from "../support/arrangements.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { Oracle } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

onEachDevice("NDArray matmul", (device) => {
  const random = new Random(11);
  const make = (shape: readonly number[]): Oracle => Oracle.make(shape, () => random.integer(-8, 8) / 8);
  const upload = (array: Oracle): NDArray => NDArray.from(array.read(), { shape: array.shape, device });
  /** Multiples of 1/64 below 2^17: float32 has every sum exactly. */
  const exact = { rtol: 0, atol: 0 };
  const check = (a: NDArray, b: NDArray, expected: Oracle, what: string): void =>
    close(a.matmul(b), { shape: expected.shape, values: expected.read() }, { ...exact, what });

  test("every small size, edges of the kernel's tiles included", () => {
    for (const m of [1, 2, 5, 6, 7, 13, 17]) {
      for (const n of [1, 3, 8, 15, 16, 17, 33]) {
        for (const k of [1, 2, 9, 16]) {
          const [a, b] = [make([m, k]), make([k, n])];
          check(upload(a), upload(b), a.matmul(b), `(${m}, ${k}) · (${k}, ${n})`);
        }
      }
    }
  });

  test("operands in every arrangement in memory", () => {
    for (const left of arrangements) {
      for (const right of arrangements) {
        for (const [p, q] of [
          [
            [3, 5],
            [5, 4],
          ],
          [
            [2, 3, 4],
            [2, 4, 3],
          ],
          [
            [1, 6],
            [6, 1],
          ],
          [
            [7, 1],
            [1, 5],
          ],
        ] as const) {
          // prettier-ignore
          const [a, b] = [make(p), make(q)];
          const [storedA, storedB] = [left.store(a, NaN), right.store(b, NaN)];
          const [x, y] = [left.view(upload(storedA)), right.view(upload(storedB))];
          check(x, y, a.matmul(b), `${left.name} (${p}) · ${right.name} (${q})`);
        }
      }
    }
  });

  test("batch axes broadcast", () => {
    const shapes: [number[], number[]][] = [
      [[2, 3, 4], [2, 4, 5]], [[3, 4], [2, 4, 5]], [[2, 3, 4], [4, 5]], [[1, 3, 4], [6, 4, 2]], [[2, 1, 2, 3], [4, 3, 2]],
      [[2, 2, 1, 3], [2, 2, 3, 1]], [[5, 1, 1, 1], [1, 5, 1, 1]],
    ]; // prettier-ignore
    for (const [p, q] of shapes) {
      const [a, b] = [make(p), make(q)];
      check(upload(a), upload(b), a.matmul(b), `(${p}) · (${q})`);
    }
    const [a, b] = [make([3, 4]), make([4, 2])];
    const stretched = [upload(a).broadcastTo([5, 3, 4]), upload(b).broadcastTo([5, 4, 2])] as const;
    check(...stretched, a.broadcastTo([5, 3, 4]).matmul(b), "stretched operands");
  });

  test("empty sizes: no rows, no columns, and sums of nothing", () => {
    expect(NDArray.zeros([0, 3], { device }).matmul(NDArray.ones([3, 4], { device })).shape).toEqual([0, 4]);
    expect(NDArray.zeros([2, 3], { device }).matmul(NDArray.ones([3, 0], { device })).shape).toEqual([2, 0]);
    const nothing = NDArray.zeros([2, 0], { device }).matmul(NDArray.zeros([0, 3], { device }));
    expect(nothing.toArray()).toEqual([[0, 0, 0], [0, 0, 0]]); // prettier-ignore
    expect(NDArray.zeros([0, 2, 3], { device }).matmul(NDArray.zeros([3, 4], { device })).shape).toEqual([0, 2, 4]);
    const batches = NDArray.zeros([3, 2, 0], { device }).matmul(NDArray.zeros([3, 0, 2], { device }));
    expect(batches.toTypedArray()).toEqual(new Float32Array(12));
  });

  test("sizes that take the blocked path, some threads, and leave remainders", () => {
    for (const [m, k, n] of [
      [131, 67, 45],
      [257, 129, 31],
      [64, 400, 64],
      [1, 1000, 300],
      [300, 1000, 1],
    ] as const) {
      const [a, b] = [make([m, k]).read(), make([k, n]).read()];
      const expected = new Float64Array(m * n);
      for (let i = 0; i < m; i++) {
        for (let l = 0; l < k; l++) for (let j = 0; j < n; j++) expected[i * n + j]! += a[i * k + l]! * b[l * n + j]!;
      }
      const product = NDArray.from(a, { shape: [m, k], device }).matmul(NDArray.from(b, { shape: [k, n], device }));
      close(product, { shape: [m, n], values: expected }, { ...exact, what: `(${m}, ${k}) · (${k}, ${n})` });
    }
  });

  test("NaN and infinity are not lost in the padding of tiles", () => {
    const a = NDArray.ones([5, 3], { device }).set([4], NaN);
    const b = NDArray.ones([3, 5], { device }).set([null, 0], Infinity);
    const product = a.matmul(b);
    expect(product.slice([0, 4], 0).toArray()).toEqual([Infinity, Infinity, Infinity, Infinity]);
    expect(product.slice([0, 4], [1, 5]).toArray()).toEqual(Array.from({ length: 4 }, () => [3, 3, 3, 3]));
    expect(product.slice(4).toTypedArray().every(Number.isNaN)).toBe(true);
  });
});
