import { expect, test } from "bun:test";
import { DTypeError, NDArray, ops, ShapeError, Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { devices, onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";
import { thrown } from "../support/thrown.ts";

checkFamily<{ axis: number }>("gather", {
  gather: ({ axis }, a, ids) => ops.gather(a, axis, ids),
  indexSelect: ({ axis }, a, ids) => ops.indexSelect(a, axis, ids),
  scatterAdd: ({ axis }, a, ids, source) => ops.scatterAdd(a, axis, ids, source!),
  indexAdd: ({ axis }, a, ids, source) => ops.indexAdd(a, axis, ids, source!),
});

onEachDevice("gather", (device) => {
  const ids = (values: number[] | number[][]) => tensor(values, { dtype: "int32", device });
  const x = () => tensor([[1, 2, 3], [4, 5, 6]], { device, requiresGrad: true }); // prettier-ignore

  test("an element that is used often collects often, one that is not has gradient zero", () => {
    const a = x();
    const y = ops.gather(a, 1, ids([[2, 2, 2, 0], [1, 1, 0, 1]])); // prettier-ignore
    expect(y.toArray()).toEqual([[3, 3, 3, 1], [5, 5, 4, 5]]); // prettier-ignore
    y.backward(tensor([[1, 2, 4, 8], [1, 2, 4, 8]], { device })); // prettier-ignore
    expect(a.grad!.toArray()).toEqual([[8, 0, 7], [4, 11, 0]]); // prettier-ignore
  });

  test("a row that the ids leave out has gradient zero", () => {
    const a = x();
    ops.gather(a, 1, ids([[0]])).backward(tensor([[3]], { device }));
    expect(a.grad!.toArray()).toEqual([[3, 0, 0], [0, 0, 0]]); // prettier-ignore
  });

  test("sums are made in the order of the ids, the same ones every time", () => {
    const random = new Random(2);
    const n = 20000;
    const g = random.uniform(n);
    const index = Int32Array.from({ length: n }, () => random.integer(0, 6));
    const expected = new Float32Array(7);
    index.forEach((id, i) => (expected[id] = Math.fround(expected[id]! + g[i]!)));
    const a = tensor(new Float32Array(7), { device, requiresGrad: true });
    for (let i = 0; i < 2; i++) {
      a.grad = null;
      ops.gather(a, 0, tensor(index, { device })).backward(tensor(g, { device }));
      expect(a.grad!.toTypedArray()).toEqual(expected);
    }
  });

  test("what is added by id adds up in order, and leaves the operand as it is", () => {
    const [a, source] = [x(), tensor([[1, 10, 100, 7], [1000, 1, 1, 7]], { device, requiresGrad: true })]; // prettier-ignore
    const y = ops.scatterAdd(a, 1, ids([[2, 2, 0], [1, 1, 1]]), source); // prettier-ignore
    expect(y.toArray()).toEqual([[101, 2, 14], [4, 1007, 6]]); // prettier-ignore
    expect(a.toArray()).toEqual([[1, 2, 3], [4, 5, 6]]); // prettier-ignore
    y.backward(tensor([[1, 2, 3], [4, 5, 6]], { device })); // prettier-ignore
    expect(a.grad!.toArray()).toEqual([[1, 2, 3], [4, 5, 6]]); // prettier-ignore
    expect(source.grad!.toArray()).toEqual([
      [3, 3, 1, 0],
      [5, 5, 5, 0],
    ]); // the ids leave out the last column
    const row = ops.indexAdd(x(), 0, ids([1, 1]), tensor([[1, 1, 1], [2, 2, 2]], { device })); // prettier-ignore
    expect(row.toArray()).toEqual([[1, 2, 3], [7, 8, 9]]); // prettier-ignore
  });

  test("sums by id do not depend on threads", () => {
    const random = new Random(3);
    const [rows, count] = [5, 30000];
    const [values, index] = [random.uniform(count * 2), Int32Array.from({ length: count }, () => random.integer(0, rows - 1))]; // prettier-ignore
    const sums = new Float32Array(rows * 2);
    values.forEach((v, i) => (sums[index[i >> 1]! * 2 + (i & 1)]! += v));
    const expected = sums.map((sum) => sum + 1);
    const y = ops.indexAdd(tensor(new Float32Array(rows * 2).fill(1), { shape: [rows, 2], device }), 0, tensor(index, { device }), tensor(values, { shape: [count, 2], device })); // prettier-ignore
    expect(y.toTypedArray()).toEqual(expected);
  });

  test("int32 stays int32, and reads its bits", () => {
    const a = tensor([[-1, 2 ** 31 - 1], [7, -(2 ** 31)]], { dtype: "int32", device }); // prettier-ignore
    expect(ops.gather(a, 1, ids([[1], [1]])).toArray()).toEqual([[2 ** 31 - 1], [-(2 ** 31)]]);
    const selected = ops.indexSelect(a, 1, ids([1, 1, 0]));
    expect([selected.dtype, selected.toArray()]).toEqual([
      "int32",
      [[2 ** 31 - 1, 2 ** 31 - 1, -1], [-(2 ** 31), -(2 ** 31), 7]], // prettier-ignore
    ]);
  });

  test("gradients agree with finite differences", () => {
    const inputs = [{ shape: [3, 4, 2], values: new Random(6).uniform(24) }];
    const index = ids([0, 2, 2, 1, 0]);
    const each = tensor(
      Int32Array.from({ length: 30 }, (_, i) => (i * i) % 4),
      { shape: [3, 5, 2], device },
    );
    checkGradients((a) => ops.gather(ops.mul(a, a), 1, each), inputs, { device });
    checkGradients((a) => ops.indexSelect(ops.mul(a, a), 0, index), inputs, { device });
    checkGradients((a) => ops.indexSelect(a.transpose(0, 2), -1, index), inputs, { device });
    const source = { shape: [2, 3, 5], values: new Random(8).uniform(30) };
    checkGradients((a, b) => ops.scatterAdd(ops.mul(a, a), 1, each, b.transpose(0, 2).transpose(0, 1)), [...inputs, source], { device }); // prettier-ignore
    checkGradients((a, b) => ops.indexAdd(a.transpose(), -1, index, ops.mul(b, b)), [...inputs, { ...source, shape: [3, 2, 5] }], { device }); // prettier-ignore
  });

  // A device that works asynchronously finds out later: it says so when its results are read.
  test("an id outside the axis is refused, and named", () => {
    for (const id of [3, -1, 2 ** 31 - 1, -(2 ** 31)]) {
      expect(() => ops.gather(x(), 1, ids([[0], [id]])).toArray()).toThrow(
        new RegExp(`gather: index ${id} at position 1 is outside the axis of 3 elements`),
      );
      expect(() => ops.indexSelect(x(), 1, ids([0, id])).toArray()).toThrow(new RegExp(`${id}`));
      expect(() => ops.scatterAdd(x(), 1, ids([[0], [id]]), x()).toArray()).toThrow(
        new RegExp(`index ${id} at position 1 is outside the axis of 3 elements`),
      );
      expect(() => ops.indexAdd(x(), 0, ids([id]), x().slice([0, 1])).toArray()).toThrow(new RegExp(`index ${id} `));
    }
    expect(() => ops.gather(x().slice([0, 0]), 0, ids([[0, 0, 0]])).toArray()).toThrow(/axis of 0 elements/);
    expect(ops.gather(x(), 1, ids([[1]])).toArray()).toEqual([[2]]);
  });

  test("what does not fit is refused, with the shapes", () => {
    const wrong: [run: () => unknown, type: new (...args: never[]) => Error, message: RegExp][] = [
      [() => ops.gather(x(), 1, ids([0])), ShapeError, /^gather: the ids must have as many axes.*\(2, 3\).*\(1,\)/],
      [() => ops.gather(x(), 1, ids([[0], [0], [0]])), ShapeError, /^gather: .*every axis but 1.*\(2, 3\).*\(3, 1\)/],
      [() => ops.gather(x(), 2, ids([[0]])), ShapeError, /^gather: axis 2/],
      [() => ops.gather(x(), 1, tensor([[0]], { device })), DTypeError, /^gather: ids must be int32/],
      [() => ops.indexSelect(x(), 1, ids([[0]])), ShapeError, /^indexSelect: the ids must have one axis/],
      [() => ops.indexSelect(tensor(1, { device }), 0, ids([0])), ShapeError, /^indexSelect: takes at least one axis/],
      [() => ops.indexSelect(x(), -3, ids([0])), ShapeError, /^indexSelect: axis -3/],
      [() => ops.indexSelect(x(), 0, tensor([0], { device })), DTypeError, /^indexSelect: ids must be int32/],
      [() => ops.scatterAdd(x(), 1, ids([0]), x()), ShapeError, /^scatterAdd: .*as many axes.*\(2, 3\) and \(1,\) and \(2, 3\)/], // prettier-ignore
      [() => ops.scatterAdd(x(), 1, ids([[0]]), x().slice(0)), ShapeError, /^scatterAdd: .*as many axes/],
      [() => ops.scatterAdd(x(), 1, ids([[0, 0, 0, 0]]), x()), ShapeError, /^scatterAdd: .*no longer than the source/],
      [() => ops.scatterAdd(x(), 1, ids([[0], [0], [0]]), x().transpose()), ShapeError, /^scatterAdd: .*every axis but 1/], // prettier-ignore
      [() => ops.scatterAdd(x(), 0, tensor([[0]], { device }), x()), DTypeError, /^scatterAdd: ids must be int32/],
      [() => ops.scatterAdd(ids([[0]]), 0, ids([[0]]), x()), DTypeError, /^scatterAdd: the operand must be float32/],
      [() => ops.scatterAdd(x(), 0, ids([[0]]), ids([[0]])), DTypeError, /^scatterAdd: the source must be float32/],
      [() => ops.indexAdd(x(), 0, ids([0]), x()), ShapeError, /^indexAdd: the source must have shape \(1, 3\)/],
      [() => ops.indexAdd(x(), 0, ids([[0]]), x()), ShapeError, /^indexAdd: the ids must have one axis/],
      [() => ops.indexAdd(tensor(1, { device }), 0, ids([0]), x()), ShapeError, /^indexAdd: takes at least one axis/],
      [() => ops.indexAdd(x(), 2, ids([0]), x()), ShapeError, /^indexAdd: axis 2/],
    ];
    for (const [run, type, message] of wrong) {
      const error = thrown(run);
      expect(error).toBeInstanceOf(type);
      expect(String((error as Error).message)).toMatch(message);
    }
    for (const other of devices.filter((each) => each !== device))
      for (const run of [
        () => ops.gather(x(), 0, tensor([[0]], { dtype: "int32", device: other })),
        () => ops.scatterAdd(x(), 0, ids([[0]]), tensor([[0]], { device: other })),
        () => ops.indexAdd(x(), 0, ids([0]), tensor([[0, 0, 0]], { device: other })),
      ])
        expect(run).toThrow(/^(gather|scatterAdd|indexAdd): arrays are on/);
  });

  test("nothing is left behind", () => {
    const big = new Tensor(NDArray.ones([64, 64], { device }), { requiresGrad: true });
    const index = new Tensor(NDArray.zeros([64, 64], { dtype: "int32", device }));
    const run = () => {
      const y = ops.gather(big.transpose(), 0, index.transpose()).sum();
      y.backward();
      y.dispose();
      big.grad = null;
    };
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });

  test("nothing is left behind by sums", () => {
    const big = new Tensor(NDArray.ones([64, 64], { device }), { requiresGrad: true });
    const index = new Tensor(NDArray.zeros([64, 64], { dtype: "int32", device }));
    const run = () => {
      const list = [
        ops.scatterAdd(big.transpose(), 0, index.transpose(), big),
        ops.indexAdd(big, 1, index.slice(0), big),
      ];
      for (const y of list) {
        using seed = NDArray.ones(y.shape, { device });
        y.backward(seed);
        y.dispose();
      }
      big.grad = null;
    };
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });
});
