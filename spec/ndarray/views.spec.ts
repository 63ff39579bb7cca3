import { expect, test } from "bun:test";
import { cpu, NDArray, nn, tensor } from "thimble";

import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { Oracle, type Slice } from "../support/oracle.ts";

/** 0, 1, 2, … in the given shape, so that each element's value is its position. */
const counting = (shape: readonly number[]): Oracle => Oracle.make(shape, (_, at) => at);

onEachDevice("NDArray views", (device) => {
  const upload = (array: Oracle): NDArray => NDArray.from(array.read(), { shape: array.shape, device });
  const same = (actual: NDArray, expected: Oracle): void =>
    close(actual, { shape: expected.shape, values: expected.read() }, { rtol: 0, atol: 0 });
  const pair = (...shape: number[]): [NDArray, Oracle] => [upload(counting(shape)), counting(shape)];

  test("permute and transpose move strides, not elements", () => {
    const [a, model] = pair(2, 3, 4);
    for (const axes of [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, -1, 1]]) same(a.permute(axes), model.permute(axes)); // prettier-ignore
    expect(a.permute([2, 0, 1]).strides).toEqual([1, 12, 4]);
    expect(a.permute([2, 0, 1]).isCompact()).toBe(false);
    same(a.transpose(), model.permute([0, 2, 1]));
    same(a.transpose(0, 2), model.permute([2, 1, 0]));
    same(a.transpose(-3, 1), model.permute([1, 0, 2]));
  });

  test("broadcastTo repeats by zero strides", () => {
    const [a, model] = pair(3, 1);
    same(a.broadcastTo([2, 3, 4]), model.broadcastTo([2, 3, 4]));
    expect(a.broadcastTo([2, 3, 4]).strides).toEqual([0, 1, 0]);
    same(NDArray.from(5, { device }).broadcastTo([2, 2]), Oracle.of([2, 2], [5, 5, 5, 5]));
    expect(a.broadcastTo([0, 3, 1]).toArray()).toEqual([]);
  });

  test("flip reverses by negative strides", () => {
    const [a, model] = pair(2, 3, 4);
    for (const axes of [[0], [1], [2], [0, 2], [-1], [0, 1, 2], []]) same(a.flip(axes), model.flip(axes));
    const flipped = a.flip([0, 2]);
    expect([flipped.strides, flipped.offset, flipped.isCompact()]).toEqual([[-12, 4, -1], 15, false]);
    same(a.flip([0]).flip([0]), model);
    expect(NDArray.zeros([0, 3], { device }).flip([0]).shape).toEqual([0, 3]);
    expect(NDArray.from(5, { device }).flip([]).item()).toBe(5);
  });

  test("diagonal adds the strides of two axes", () => {
    const a = NDArray.from([[1, 2, 3], [4, 5, 6]], { device }); // prettier-ignore
    expect([a.diagonal().toArray(), a.diagonal(1).toArray(), a.diagonal(-1).toArray()]).toEqual([[1, 5], [2, 6], [4]]);
    expect([a.diagonal(0, 1, 0).toArray(), a.diagonal(1, 1, 0).toArray()]).toEqual([[1, 5], [4]]);
    expect([a.diagonal(3).shape, a.diagonal(-(2 ** 40)).shape]).toEqual([[0], [0]]);
    expect(a.flip([1]).diagonal().toArray()).toEqual([3, 5]);
    const cube = NDArray.from([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], { device }); // prettier-ignore
    expect(cube.diagonal().toArray()).toEqual([[1, 7], [2, 8]]); // prettier-ignore
    expect(cube.diagonal(0, -1, 1).toArray()).toEqual([[1, 4], [5, 8]]); // prettier-ignore
    a.diagonal(1).set([], 0);
    expect(a.toArray()).toEqual([[1, 0, 3], [4, 5, 0]]); // prettier-ignore
    expect(() => NDArray.zeros([3, 3], { device }).broadcastTo([2, 3, 3]).diagonal(0, 0, 1).set([], 1)).not.toThrow();
  });

  const ranges: Slice[][] = [
    [], [1], [-1], [null], [[1, 3]], [[0, 4, 2]], [[3, 0, -1]], [[-3, -1]], [[-1, -4, -2]], [[2, 2]], [[3, 1]], [[0, 99]], [[-99, 99, 3]],
    [null, 0], [null, [1, 3], 1], [0, 1, 2], [[1, 4], null, [2, 0, -1]], [[99, -99, -1]], [null, null, [0, 3, 5]],
  ]; // prettier-ignore
  test.each(ranges.map((list) => [list]))("slice %j", (list) => {
    const [a, model] = pair(4, 3, 3);
    same(a.slice(...list), model.slice(...list));
    const [b, other] = [a.permute([2, 0, 1]).flip([1]), model.permute([2, 0, 1]).flip([1])];
    const short = list.map((range) => (typeof range === "number" ? Math.min(range, 2) : range));
    same(b.slice(...short), other.slice(...short));
  });

  test("a slice with open ends is one from or to the end of the axis, in either direction", () => {
    const [a] = pair(5);
    const [first, second, third, fourth, fifth] = a.toArray() as number[];
    expect(a.slice([1, null]).toArray()).toEqual([second!, third!, fourth!, fifth!]);
    expect(a.slice([null, -1]).toArray()).toEqual([first!, second!, third!, fourth!]);
    expect(a.slice([null, null, 2]).toArray()).toEqual([first!, third!, fifth!]);
    expect(a.slice([null, null, -2]).toArray()).toEqual([fifth!, third!, first!]);
    expect(a.slice([2, null, -1]).toArray()).toEqual([third!, second!, first!]);
    expect(a.slice([null, 2, -1]).toArray()).toEqual([fifth!, fourth!]);
    expect(a.slice([5, null]).shape).toEqual([0]);
    expect(NDArray.zeros([0, 2], { device }).slice([null, null, -1]).shape).toEqual([0, 2]);
    // @ts-expect-error: undefined is no open end, and the message says what was given
    expect(() => a.slice([1, undefined])).toThrow("not [1, undefined]");
    expect(() => a.slice([1, Infinity])).toThrow("not [1, Infinity]");
  });

  test("writes through a view reach the array, and the other way round", () => {
    const [a, model] = pair(3, 4);
    const [view, modelView] = [a.transpose().slice([1, 3]).flip([0]), model.permute([1, 0]).slice([1, 3]).flip([0])];
    view.set([null, 0], -1);
    modelView.slice(null, 0).write(-1);
    same(a, model);
    a.set([2], 100);
    same(view, (model.slice(2).write(100), modelView));
  });

  test("set takes every kind of range and of value", () => {
    for (const list of ranges) {
      const [a, model] = pair(4, 3, 3);
      const target = model.slice(...list);
      a.set(list, 7);
      target.write(7);
      same(a, model);
      const values = Oracle.make(target.shape, (_, at) => -at);
      a.set(list, upload(values));
      target.write(values);
      same(a, model);
    }
    const [a, model] = pair(2, 3);
    a.set([null, [0, 2]], [[1, 2], [3, 4]]); // prettier-ignore
    model.slice(null, [0, 2]).write(Oracle.of([2, 2], [1, 2, 3, 4]));
    same(a, model);
    a.set([], NDArray.from([[5], [6]], { device }));
    same(a, Oracle.of([2, 3], [5, 5, 5, 6, 6, 6]));
  });

  test("set from an overlapping view of itself reads before it writes", () => {
    const a = NDArray.from([1, 2, 3, 4, 5], { device });
    a.set([[1, 5]], a.slice([0, 4]));
    expect(a.toArray()).toEqual([1, 1, 2, 3, 4]);
    a.set([], a.flip([0]));
    expect(a.toArray()).toEqual([4, 3, 2, 1, 1]);
  });

  test("a step far past the end goes nowhere", () => {
    const a = NDArray.from([[1, 2], [3, 4]], { device }); // prettier-ignore
    const first = a.slice([0, 2, 1e308], [1, -3, -1e308]).slice([0, 1, 1e308]);
    expect([first.shape, first.flip().toArray(), first.flip([0]).sum().item()]).toEqual([[1, 1], [[2]], 2]); // prettier-ignore
  });

  test("set takes a tensor, and a tensor's set takes ranges", () => {
    const a = NDArray.zeros([2, 2], { device });
    a.set([0], tensor([1, 2], { device }));
    const parameter = new nn.Parameter(a);
    parameter.set([1, 0], 5).set(0, [7, 8]);
    expect(a.toArray()).toEqual([[7, 8], [5, 0]]); // prettier-ignore
  });

  test("to takes a device, a dtype, or both", () => {
    const a = NDArray.from([1.5, -2.5], { device });
    expect(a.to(cpu()).device).toBe(cpu());
    expect(a.to(device).storage).toBe(a.storage);
    expect(a.to({ dtype: "int32", device: cpu() }).toArray()).toEqual(a.to({ dtype: "int32" }).toArray());
  });

  test("a broadcast view cannot be written, since several elements share a place", () => {
    expect(() =>
      NDArray.zeros([1], { device })
        .broadcastTo([3])
        .set([0, 1] as const, 1),
    ).toThrow(); // too many ranges
    expect(() => NDArray.zeros([1], { device }).broadcastTo([3]).set([], 1)).toThrow(/set.*\(3,\)/);
  });

  test("reshape copies only when the strides demand it", () => {
    const cases: [name: string, view: (a: NDArray) => NDArray, shape: number[], copies: boolean][] = [
      ["contiguous", (a) => a, [6, 4], false],
      ["split of a transposed axis", (a) => a.permute([2, 0, 1]), [2, 2, 2, 3], false],
      ["merge of transposed axes", (a) => a.permute([2, 0, 1]), [8, 3], true],
      ["merge of the axes that stayed neighbours", (a) => a.permute([2, 0, 1]), [4, 6], false],
      ["sliced rows", (a) => a.slice(null, [0, 2]), [2, 8], false],
      ["sliced columns", (a) => a.slice(null, null, [0, 2]), [12], true],
      ["every second column", (a) => a.slice(null, null, [0, 4, 2]), [2, 6], false],
      ["flipped along all axes", (a) => a.flip([0, 1, 2]), [24], false],
      ["flipped along one axis", (a) => a.flip([0]), [24], true],
      ["new axes of size 1", (a) => a.permute([1, 0, 2]), [3, 1, 2, 1, 4], false],
      ["broadcast", (a) => a.slice(0, 0, [0, 1]).broadcastTo([6]), [2, 3], false],
    ];
    for (const [name, view, shape, copies] of cases) {
      const a = upload(counting([2, 3, 4]));
      const viewed = view(a);
      const reshaped = viewed.reshape(shape);
      expect(reshaped.toTypedArray(), name).toEqual(viewed.toTypedArray());
      a.set([], -1);
      expect(
        reshaped.toTypedArray().every((value) => value === -1),
        `${name} shares memory`,
      ).toBe(!copies);
    }
  });

  test("reshape infers one size, and knows scalars and empty arrays", () => {
    expect(upload(counting([2, 6])).reshape([3, -1]).shape).toEqual([3, 4]);
    expect(
      NDArray.from([[7]], { device })
        .reshape([])
        .item(),
    ).toBe(7);
    expect(NDArray.from(7, { device }).reshape([1, 1]).toArray()).toEqual([[7]]);
    expect(NDArray.zeros([0, 4], { device }).reshape([2, 0]).shape).toEqual([2, 0]);
  });

  test("compact makes row-major memory, and copies only what is not", () => {
    const [a, model] = pair(3, 4);
    expect(a.isCompact()).toBe(true);
    for (const view of [
      a.transpose(),
      a.flip([0]),
      a.slice(null, [0, 4, 2]),
      a.slice(null, 1),
      a.broadcastTo([2, 3, 4]),
    ]) {
      expect(view.isCompact()).toBe(false);
      expect(view.compact().isCompact()).toBe(true);
      expect(view.compact().toTypedArray()).toEqual(view.toTypedArray());
    }
    const rows = a.slice([1, 3]);
    expect([rows.isCompact(), rows.offset]).toEqual([true, 4]);
    expect(NDArray.zeros([1, 5], { device }).transpose().isCompact()).toBe(true);
    const copy = a.transpose().compact();
    a.set([], 0);
    same(copy, model.permute([1, 0]));
  });
});
