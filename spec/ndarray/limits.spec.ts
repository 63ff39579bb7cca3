/** The edges of what an array may be: sixteen axes, single elements, and sizes around the kernels' blocks. */
import { expect, test } from "bun:test";
import { NDArray, ShapeError } from "thimble";

import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { Oracle } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

onEachDevice("NDArray limits", (device) => {
  const axes = Array.from({ length: 16 }, (_, i) => i);
  const shape = axes.map((axis) => (axis % 3 === 0 ? 2 : 1)); // 2^6 elements
  const model = Oracle.make(shape, (_, at) => at - 20);
  const upload = (oracle: Oracle): NDArray => NDArray.from(oracle.read(), { shape: oracle.shape, device });
  const same = (actual: NDArray, expected: Oracle): void =>
    close(actual, { shape: expected.shape, values: expected.read() });

  test("sixteen axes work everywhere", () => {
    const a = upload(model);
    const order = new Random(1).shuffle(axes);
    const [turned, expected] = [a.permute(order).flip([0, 7, 15]), model.permute(order).flip([0, 7, 15])];
    same(turned, expected);
    same(turned.add(turned), expected.map((x) => 2 * x)); // prettier-ignore
    same(
      turned.mul(a),
      expected.zip(model, (x, y) => x * y),
    );
    same(
      turned.sum({ axes: [0, 3, 5, 15] }),
      expected.reduce([0, 3, 5, 15], false, (list) => list.reduce((x, y) => x + y)),
    );
    same(
      turned.max(),
      expected.reduce(axes, false, (list) => Math.max(...list)),
    );
    same(turned.reshape([4, 16]), expected.reshape([4, 16]));
    const pads = axes.map((axis): [number, number] => (axis === 5 ? [1, 0] : [0, 0]));
    same(turned.pad(pads), expected.pad(pads));
    const matrices = [a.reshape([...shape.slice(0, 14), 1, 2]), a.reshape([...shape.slice(0, 14), 2, 1])] as const;
    const models = [
      model.reshape([...shape.slice(0, 14), 1, 2]),
      model.reshape([...shape.slice(0, 14), 2, 1]),
    ] as const;
    same(matrices[0].matmul(matrices[1]), models[0].matmul(models[1]));
  });

  test("a seventeenth is refused", () => {
    const a = upload(model);
    expect(() => a.reshape([...shape, 1])).toThrow(ShapeError);
    expect(() => a.broadcastTo([1, ...shape])).toThrow(ShapeError);
    expect(() => NDArray.zeros([...shape, 1], { device })).toThrow(/at most 16 axes/);
  });

  test("elementwise and reductions at every size around a vector and a block", () => {
    const random = new Random(2);
    for (const size of [
      1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 255, 257, 1023, 1025, 4095, 4097, 16383, 16385,
      65537,
    ]) {
      const values = random.values(size);
      const a = NDArray.from(values, { device });
      expect(a.add(1).toTypedArray()).toEqual(Float32Array.from(values, (x) => x + 1));
      expect(a.flip([0]).mul(a).toTypedArray()).toEqual(Float32Array.from(values, (x, i) => x * values[size - 1 - i]!));
      expect(a.max().item()).toBe(values.reduce((x, y) => Math.max(x, y)));
      expect(a.argMax().item()).toBe(values.indexOf(values.reduce((x, y) => Math.max(x, y))));
      // Multiples of 1/64 below 2: sums of up to 2^16 of them are exact in float32.
      expect(a.sum().item()).toBe(values.reduce((x, y) => x + y));
      expect(a.reshape([1, size]).sum({ axes: 0 }).toTypedArray()).toEqual(Float32Array.from(values));
      expect(a.reshape([size, 1]).broadcastTo([size, 3]).sum({ axes: 0 }).toTypedArray()).toEqual(
        new Float32Array(3).fill(values.reduce((x, y) => x + y)),
      );
    }
  });

  test("arithmetic with a number on the right", () => {
    const a = NDArray.from([[1, -2], [0.5, 4]], { device }).transpose(); // prettier-ignore
    const values = [1, 0.5, -2, 4];
    const check = (actual: NDArray, f: (x: number) => number): void =>
      close(actual, { shape: [2, 2], values: values.map(f) });
    check(a.add(3), (x) => x + 3); // prettier-ignore
    check(a.sub(3), (x) => x - 3); // prettier-ignore
    check(a.mul(3), (x) => x * 3); // prettier-ignore
    check(a.div(4), (x) => x / 4); // prettier-ignore
    check(a.maximum(0.75), (x) => Math.max(x, 0.75));
    check(a.equal(0.5), (x) => Number(x === 0.5));
    check(a.greater(0.5), (x) => Number(x > 0.5));
    check(a.pow(2), (x) => x * x); // prettier-ignore
    const whole = NDArray.from([7, -3], { dtype: "int32", device });
    expect([whole.sub(2).dtype, whole.sub(2).toArray()]).toEqual(["int32", [5, -5]]);
    expect([whole.sub(0.5).dtype, whole.sub(0.5).toArray()]).toEqual(["float32", [6.5, -3.5]]);
    expect([whole.add(2 ** 31).dtype, whole.add(2 ** 31).toArray()]).toEqual(["float32", [2 ** 31, 2 ** 31]]);
  });

  test("int32 arithmetic wraps as 32-bit integers do", () => {
    const a = NDArray.from([2 ** 31 - 1, -(2 ** 31), 65536], { dtype: "int32", device });
    expect(a.add(1).toArray()).toEqual([-(2 ** 31), -(2 ** 31) + 1, 65537]);
    expect(a.mul(a).toArray()).toEqual([1, 0, 0]);
    expect(a.neg().toArray()).toEqual([-(2 ** 31) + 1, -(2 ** 31), -65536]);
    expect(a.abs().toArray()).toEqual([2 ** 31 - 1, -(2 ** 31), 65536]);
    expect(a.sum().item()).toBe(65535);
  });

  test("conversion truncates towards zero and saturates", () => {
    const a = NDArray.from([1.9, -1.9, 3e9, -3e9, NaN, Infinity, -Infinity, 2147483520], { device });
    const whole = [1, -1, 2 ** 31 - 1, -(2 ** 31), 0, 2 ** 31 - 1, -(2 ** 31), 2147483520];
    expect(a.to({ dtype: "int32" }).toArray()).toEqual(whole);
    expect(a.flip([0]).to({ dtype: "int32" }).toArray()).toEqual(whole.reverse());
    expect(NDArray.from([16777217], { dtype: "int32", device }).to({ dtype: "float32" }).item()).toBe(16777216);
  });
});
