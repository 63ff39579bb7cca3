import { describe, expect, test } from "bun:test";
import { NDArray, tensor } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { product } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

onEachDevice("NDArray creation", (device) => {
  test("from nested lists takes their shape", () => {
    const a = NDArray.from([[1, 2, 3], [4, 5, 6]], { device }); // prettier-ignore
    expect(a.shape).toEqual([2, 3]);
    expect(a.strides).toEqual([3, 1]);
    expect([a.offset, a.size, a.ndim]).toEqual([0, 6, 2]);
    expect(a.dtype).toBe("float32");
    expect(a.device).toBe(device);
    expect(a.toTypedArray()).toEqual(new Float32Array([1, 2, 3, 4, 5, 6]));
    expect(a.toArray()).toEqual([[1, 2, 3], [4, 5, 6]]); // prettier-ignore
  });

  test("from a number is a scalar with no axes", () => {
    const a = NDArray.from(2.5, { device });
    expect([a.shape, a.size, a.ndim, a.item(), a.toArray()]).toEqual([[], 1, 0, 2.5, 2.5]);
  });

  test("from a typed array with a shape, one size of which may be inferred", () => {
    expect(NDArray.from(new Float32Array(6), { shape: [3, 2], device }).shape).toEqual([3, 2]);
    expect(NDArray.from(new Float32Array(6), { device }).shape).toEqual([6]);
  });

  test("from an array copies", () => {
    const a = NDArray.from([1, 2, 3], { device });
    const b = NDArray.from(a);
    b.set([0], 9);
    expect(a.toArray()).toEqual([1, 2, 3]);
    expect(b.toArray()).toEqual([9, 2, 3]);
  });

  test("the caller's typed array is copied too", () => {
    const values = new Float32Array([1, 2]);
    const a = NDArray.from(values, { device });
    values[0] = 7;
    expect(a.toArray()).toEqual([1, 2]);
  });

  test("reading copies as well", () => {
    const a = NDArray.from([1, 2], { device });
    a.toTypedArray()[0] = 7;
    expect(a.toArray()).toEqual([1, 2]);
  });

  test.each([[[]], [[0]], [[1]], [[3, 0, 2]], [[2, 1, 3]], [[1, 1, 1, 1, 1, 1]], [[7, 11]]])(
    "zeros, ones, full: %j",
    (shape) => {
      const size = product(shape);
      expect(NDArray.zeros(shape, { device }).toTypedArray()).toEqual(new Float32Array(size));
      expect(NDArray.ones(shape, { device }).toTypedArray()).toEqual(new Float32Array(size).fill(1));
      expect(NDArray.full(shape, -3.5, { device }).toTypedArray()).toEqual(new Float32Array(size).fill(-3.5));
      const empty = NDArray.empty(shape, { device });
      expect([empty.shape, empty.toTypedArray().length]).toEqual([shape, size]);
    },
  );

  test("int32 keeps all 32 bits", () => {
    const values = [0, -1, 2 ** 31 - 1, -(2 ** 31), 123456789];
    const a = NDArray.from(values, { dtype: "int32", device });
    expect(a.dtype).toBe("int32");
    expect(a.toTypedArray()).toEqual(new Int32Array(values));
    expect(NDArray.full([2], 2 ** 31 - 1, { dtype: "int32", device }).toArray()).toEqual([2 ** 31 - 1, 2 ** 31 - 1]);
    expect(NDArray.ones([2], { dtype: "int32", device }).toTypedArray()).toEqual(new Int32Array([1, 1]));
  });

  test("integer typed arrays make int32, float ones float32, unless a dtype is given", () => {
    expect(NDArray.from(new Int32Array([1]), { device }).dtype).toBe("int32");
    expect(NDArray.from(new Uint8Array([255]), { device }).toTypedArray()).toEqual(new Int32Array([255]));
    expect(NDArray.from(new Float64Array([0.5]), { device }).toTypedArray()).toEqual(new Float32Array([0.5]));
    expect(NDArray.from(new Int32Array([1]), { dtype: "float32", device }).toTypedArray()).toEqual(
      new Float32Array([1]),
    );
  });

  test("special numbers survive the way there and back", () => {
    const values = [NaN, Infinity, -Infinity, -0, 1.1754944e-38, 1e-45, 3.4028235e38];
    const read = NDArray.from(values, { device }).toTypedArray();
    values.forEach((value, at) => expect(Object.is(read[at], Math.fround(value))).toBe(true));
  });

  test("a million and some odd number of elements", () => {
    const values = new Random(1).uniform(1_000_003);
    const a = NDArray.from(values, { device });
    expect(a.size).toBe(1_000_003);
    expect(a.toTypedArray()).toEqual(values);
    expect(a.flip([0]).toTypedArray()).toEqual(values.slice().reverse());
  });

  test("lists of empty lists", () => {
    expect(NDArray.from([], { device }).shape).toEqual([0]);
    expect(NDArray.from([[], []], { device }).shape).toEqual([2, 0]);
    expect(NDArray.from([[], []], { device }).toArray()).toEqual([[], []]);
  });

  test("a tensor is made of the same things", () => {
    expect(tensor([[1, 2]], { device }).toArray()).toEqual([[1, 2]]);
    expect(tensor(new Float32Array(4), { shape: [2, 2], device }).shape).toEqual([2, 2]);
    expect(tensor([1, 2], { dtype: "int32", device }).dtype).toBe("int32");
    expect(tensor(3, { device }).item()).toBe(3);
    expect(tensor(NDArray.from([1, 2], { device })).toArray()).toEqual([1, 2]);
    expect(tensor([1], { device }).requiresGrad).toBe(false);
    expect(tensor([1], { device, requiresGrad: true }).requiresGrad).toBe(true);
  });
});

describe("NDArray reading", () => {
  test("item needs exactly one element, of any number of axes", () => {
    expect(NDArray.from([[[4]]]).item()).toBe(4);
    expect(() => NDArray.from([1, 2]).item()).toThrow(/item.*\(2,\)/);
    expect(() => NDArray.zeros([0]).item()).toThrow(/item.*\(0,\)/);
  });

  test("views are read in logical order", () => {
    const a = NDArray.from([[1, 2, 3], [4, 5, 6]]); // prettier-ignore
    expect(a.transpose().toArray()).toEqual([[1, 4], [2, 5], [3, 6]]); // prettier-ignore
    expect(a.transpose().toTypedArray()).toEqual(new Float32Array([1, 4, 2, 5, 3, 6]));
    expect(a.flip([1]).toArray()).toEqual([[3, 2, 1], [6, 5, 4]]); // prettier-ignore
  });
});

test("a Float16Array, which the types do not name yet, is float32", () => {
  const halves: unknown = new Float16Array([1, 0.5]);
  const array = NDArray.from(halves as Float32Array);
  expect([array.dtype, array.toArray()]).toEqual(["float32", [1, 0.5]]);
});
