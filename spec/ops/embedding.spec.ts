import { expect, test } from "bun:test";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { onEachDevice } from "../support/devices.ts";

checkFamily("embedding", { embedding: (_, table, ids) => ops.embedding(table, ids) });

onEachDevice("embedding", (device) => {
  const table = (): ReturnType<typeof tensor> => tensor([[1, 2], [3, 4], [5, 6]], { device, requiresGrad: true }); // prettier-ignore
  const ids = (...values: number[]): ReturnType<typeof tensor> => tensor(values, { dtype: "int32", device });

  test("rows that are used often collect often, rows that are not have gradient zero", () => {
    const weights = table();
    const rows = ops.embedding(weights, ids(2, 0, 2, 2));
    expect(rows.toArray()).toEqual([[5, 6], [1, 2], [5, 6], [5, 6]]); // prettier-ignore
    rows.backward(tensor([[1, 0], [2, 0], [4, 1], [8, 1]], { device })); // prettier-ignore
    expect(weights.grad!.toArray()).toEqual([[2, 0], [0, 0], [13, 2]]); // prettier-ignore
  });

  // A device that works asynchronously finds out later: it says so when its results are read.
  test("an id outside the table is refused, and named", () => {
    for (const id of [3, -1, 2 ** 31 - 1, -(2 ** 31)]) {
      expect(() => ops.embedding(table(), ids(0, id)).toArray()).toThrow(new RegExp(`${id}`));
    }
  });
});
