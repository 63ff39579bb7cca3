/** batchify and getBatch: a text in columns, and the columns in chunks. */
import { expect, test } from "bun:test";
import { ArgumentError, ShapeError, NDArray } from "thimble";
import { batchify, getBatch } from "thimble/datasets";

import { onEachDevice } from "../support/devices.ts";

const alphabet = Int32Array.from({ length: 26 }, (_, i) => i);

onEachDevice("batchify and getBatch", (device) => {
  test("columns are consecutive, the tail is dropped", () => {
    const batches = batchify(alphabet, 4, { device });
    expect([batches.shape, batches.dtype, batches.device]).toEqual([[6, 4], "int32", device]);
    expect(batches.slice(null, 1).toArray()).toEqual([6, 7, 8, 9, 10, 11]);
    expect(batches.slice(5).toArray()).toEqual([5, 11, 17, 23]);
    expect(batches.isCompact()).toBe(true);
  });

  test("chunks of at most bptt rows, and the words one row later", () => {
    const batches = batchify(alphabet, 4, { device });
    const [x, y] = getBatch(batches, 0, 2);
    expect(x.toArray()).toEqual([
      [0, 6, 12, 18],
      [1, 7, 13, 19],
    ]);
    expect(y.toArray()).toEqual([1, 7, 13, 19, 2, 8, 14, 20]);
    const [last, labels] = getBatch(batches, 4, 2);
    expect([last.shape, labels.shape]).toEqual([[1, 4], [4]]);
    expect(labels.toArray()).toEqual([5, 11, 17, 23]);
  });

  test("what does not fit is refused", () => {
    for (const size of [0, 27, 1.5, NaN]) expect(() => batchify(alphabet, size, { device })).toThrow(ArgumentError);
    const batches = batchify(alphabet, 4, { device });
    for (const i of [-1, 5, 0.5, NaN]) expect(() => getBatch(batches, i, 2)).toThrow(ArgumentError);
    for (const bptt of [0, -1, 1.5, NaN]) expect(() => getBatch(batches, 0, bptt)).toThrow(ArgumentError);
    for (const wrong of [NDArray.zeros([3]), null, [1, 2]]) {
      expect(() => getBatch(wrong as never, 0, 2)).toThrow(ShapeError);
    }
  });
});
