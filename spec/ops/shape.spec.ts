import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import type { Slice } from "../support/oracle.ts";

interface Options {
  shape?: number[];
  axes?: number[];
  a?: number;
  b?: number;
  axis?: number;
  padding?: [number, number][];
  dilation?: number;
  ranges?: Slice[];
  offset?: number;
  count?: number;
}

checkFamily<Options>(
  "shape",
  {
    reshape: ({ shape = [] }, x) => ops.reshape(x, shape),
    squeeze: ({ axes }, x) => ops.squeeze(x, axes),
    unsqueeze: ({ axis = NaN }, x) => ops.unsqueeze(x, axis),
    permute: ({ axes = [] }, x) => ops.permute(x, axes),
    transpose: ({ a, b }, x) => (a === undefined || b === undefined ? ops.transpose(x) : ops.transpose(x, a, b)),
    broadcastTo: ({ shape = [] }, x) => ops.broadcastTo(x, shape),
    flip: ({ axes = [] }, x) => ops.flip(x, axes),
    pad: ({ padding = [] }, x) => ops.pad(x, padding),
    dilate: ({ axes = [], dilation = NaN }, x) => ops.dilate(x, axes, dilation),
    undilate: ({ axes = [], dilation = NaN }, x) => ops.undilate(x, axes, dilation),
    slice: ({ ranges = [] }, x) => ops.slice(x, ...ranges),
    diagonal: ({ offset, a, b }, x) => ops.diagonal(x, offset, a, b),
    chunk: ({ count = NaN, axis }, x) => ops.chunk(x, count, axis),
    stack: ({ axis }, ...list) => ops.stack(present(list), axis),
    concat: ({ axis = 0 }, ...list) => ops.concat(present(list), axis),
    split: ({ axis = NaN }, x) => ops.split(x, axis),
  },
  { rtol: 1e-6, atol: 1e-6 },
);

/** The check hands over the inputs that there are, which may be one alone. */
const present = (list: readonly (Tensor | undefined)[]): Tensor[] => list.filter((item) => item !== undefined);

onEachDevice("shape operations", (device) => {
  const counting = (...shape: number[]): Tensor => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, at) => at);
    return tensor(values, { shape, device, requiresGrad: true });
  };

  test("dilating (2, 2) by 1 on both axes is (4, 4), zeros after every element", () => {
    expect(ops.dilate(tensor([[1, 2], [3, 4]], { device }), [0, 1], 1).toArray()) // prettier-ignore
      .toEqual([[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]); // prettier-ignore
  });

  test("squeeze and unsqueeze are views, of flipped and transposed arrays too, and take back each other", () => {
    const x = counting(2, 1, 3).flip().transpose(0, 2);
    expect(x.squeeze().data.storage).toBe(x.data.storage);
    expect(x.squeeze().toArray()).toEqual([[5, 2], [4, 1], [3, 0]]); // prettier-ignore
    for (let axis = -4; axis < 4; axis++) expect(x.unsqueeze(axis).squeeze(axis).toArray()).toEqual(x.toArray());
    expect(counting(1, 2, 1).squeeze([0, 1]).shape).toEqual([2, 1]); // an axis that is larger stays
    expect([tensor(3).squeeze().shape, tensor(3).squeeze(-1).shape, tensor(3).unsqueeze(0).shape]).toEqual([
      [],
      [],
      [1],
    ]);
    expect(counting(0, 1).squeeze().shape).toEqual([0]);
    expect(() => x.squeeze(3)).toThrow(/^squeeze: axis 3 is out of range.*\(3, 1, 2\)/);
    expect(() => x.squeeze([1, -2])).toThrow("name an axis twice");
    expect(() => x.unsqueeze(4)).toThrow(/^unsqueeze: axis 4/);
    expect(() => x.unsqueeze(0.5)).toThrow("unsqueeze: an axis must be an integer, not 0.5");
    expect(() => tensor(1, { shape: new Array<number>(16).fill(1) }).unsqueeze(0)).toThrow(
      "unsqueeze: at most 16 axes",
    );
  });

  test("undilate takes back what dilate did, and split what stack did", () => {
    const x = counting(2, 3, 4);
    for (const axes of [[0], [1, 2], [0, 1, 2]]) {
      expect(ops.undilate(ops.dilate(x, axes, 2), axes, 2).toArray()).toEqual(x.toArray());
    }
    for (const axis of [0, 1, 2, -1]) {
      expect(ops.stack(ops.split(x, axis), axis).toArray()).toEqual(x.toArray());
    }
  });

  test("parts of a split that are not used have gradient zero", () => {
    const x = counting(3, 2);
    const [, middle] = ops.split(x, 0);
    ops.sum(ops.mul(middle!, 5)).backward();
    expect(x.grad!.toArray()).toEqual([[0, 0], [5, 5], [0, 0]]); // prettier-ignore
  });

  test("one part of a split that is used several times collects every gradient", () => {
    const x = counting(3, 2);
    const [first, second] = ops.split(x, 0);
    ops.sum(ops.add(ops.mul(first!, first!), ops.add(first!, second!))).backward();
    expect(x.grad!.toArray()).toEqual([[1, 3], [1, 1], [0, 0]]); // prettier-ignore
  });

  test("chunks are views, as many as there are elements for, and concat takes them back", () => {
    const x = counting(2, 7, 3);
    for (const [count, sizes] of [[1, [7]], [3, [3, 3, 1]], [4, [2, 2, 2, 1]], [5, [2, 2, 2, 1]], [99, [1, 1, 1, 1, 1, 1, 1]]] as const) {
      const chunks = ops.chunk(x, count, -2);
      expect(chunks.map(({ shape }) => shape)).toEqual(sizes.map((n) => [2, n, 3]));
      expect(chunks.every(({ data }) => data.storage === x.data.storage)).toBe(true);
      expect(ops.concat(chunks, 1).toArray()).toEqual(x.toArray());
    } // prettier-ignore
    const [first, , last] = x.chunk(3, 1);
    first!.mul(first!).sum().add(last!.sum()).backward();
    expect(x.grad!.slice(0).toArray()).toEqual([[0, 2, 4], [6, 8, 10], [12, 14, 16], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1]]); // prettier-ignore
    expect(() => ops.chunk(x, 0)).toThrow(/^chunk: the count must be an integer of at least 1, not 0/);
    expect(() => ops.chunk(x, 2, 3)).toThrow(/^chunk: axis 3 .*\(2, 7, 3\)/);
  });

  test("a diagonal is a view; those used twice collect both gradients", () => {
    const x = counting(3, 4);
    const y = ops.diagonal(x.flip(), -1);
    expect([y.toArray(), y.data.storage === x.data.storage]).toEqual([[7, 2], true]);
    ops.mul(ops.diagonal(x, 1), ops.diagonal(x, 1)).sum().backward();
    expect(x.grad!.toArray()).toEqual([[0, 2, 0, 0], [0, 0, 12, 0], [0, 0, 0, 22]]); // prettier-ignore
    expect(() => ops.diagonal(counting(3))).toThrow(/^diagonal: axis 1 .*\(3,\)/);
    expect(() => ops.diagonal(x, 0, 1, -1)).toThrow(/^diagonal: .*name an axis twice/);
    expect(() => ops.diagonal(x, 0.5)).toThrow(/^diagonal: the offset must be an integer, not 0.5; given \(3, 4\)/);
  });

  test("overlapping slices of one tensor add up", () => {
    const x = counting(5);
    ops.sum(ops.add(ops.slice(x, [0, 3]), ops.slice(x, [1, 4]))).backward();
    expect(x.grad!.toArray()).toEqual([1, 2, 2, 1, 0]);
  });

  test("stack and concat of one tensor with itself give it every gradient", () => {
    const x = counting(2);
    ops.sum(ops.mul(ops.stack([x, x, x]), tensor([[1], [10], [100]], { device }))).backward();
    expect(x.grad!.toArray()).toEqual([111, 111]);
    x.grad = null;
    ops.sum(ops.mul(ops.concat([x, x], 0), tensor([1, 2, 3, 4], { device }))).backward();
    expect(x.grad!.toArray()).toEqual([4, 6]);
  });

  test("views of tensors share memory; the gradients of a chain of them go back through each", () => {
    const x = counting(2, 3, 4);
    const view = ops.slice(ops.flip(ops.permute(x, [2, 0, 1]), [0]), [1, 3], 1);
    expect(view.shape).toEqual([2, 3]);
    x.data.set([], 7);
    expect(view.toArray()).toEqual([[7, 7, 7], [7, 7, 7]]); // prettier-ignore
    view.backward(tensor([[1, 2, 3], [4, 5, 6]], { device })); // prettier-ignore
    const expected = new Float32Array(24);
    [[2, 1], [1, 4]].forEach(([column, first]) => [0, 1, 2].forEach((row) => (expected[12 + row * 4 + column!] = first! + row))); // prettier-ignore
    close(x.grad!, { shape: [2, 3, 4], values: expected });
  });

  test("int32 moves like float32", () => {
    const x = tensor([[1, 2], [3, 2 ** 31 - 1]], { dtype: "int32", device }); // prettier-ignore
    for (const [result, expected] of [
      [
        ops.flip(x, [0, 1]),
        [
          [2 ** 31 - 1, 3],
          [2, 1],
        ],
      ],
      [
        ops.pad(x, [
          [0, 0],
          [1, 0],
        ]),
        [
          [0, 1, 2],
          [0, 3, 2 ** 31 - 1],
        ],
      ],
      [
        ops.dilate(x, [1], 1),
        [
          [1, 0, 2, 0],
          [3, 0, 2 ** 31 - 1, 0],
        ],
      ],
      [
        ops.stack(ops.split(x, 0), 1),
        [
          [1, 3],
          [2, 2 ** 31 - 1],
        ],
      ],
      [
        ops.concat([x, x], 1),
        [
          [1, 2, 1, 2],
          [3, 2 ** 31 - 1, 3, 2 ** 31 - 1],
        ],
      ],
    ] as const) {
      // prettier-ignore
      expect(result.dtype).toBe("int32");
      expect(JSON.stringify(result.toArray())).toBe(JSON.stringify(expected));
    }
  });
});
