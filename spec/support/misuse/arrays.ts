/** Creating, viewing and writing arrays. */
import { cuda, init, manualSeed, NDArray, nn, ops, optim, tensor } from "thimble";

import { add, a23, t23, t, notNumbers, show, wrong, cases } from "./table.ts";

// -------------------------------------------------------------------------------------------------------- creation
for (const shape of [
  [-1],
  [1.5],
  [NaN],
  [Infinity],
  [2 ** 31],
  [2 ** 16, 2 ** 16],
  [2 ** 53],
  new Array<number>(17).fill(1),
]) {
  const huge = shape.join(",").slice(0, 24);
  add(`zeros of shape [${huge}]`, () => NDArray.zeros(shape), /^(zeros|full|empty)/);
  add(`empty of shape [${huge}]`, () => NDArray.empty(shape), /^empty/);
  if (shape[0] !== -1) add(`tensor reshaped to [${huge}]`, () => ops.reshape(t(1), shape), /^reshape/);
  add(`broadcastTo [${huge}]`, () => ops.broadcastTo(t(), shape), /^broadcastTo/);
}
for (const shape of [undefined, null, 5, "23", {}, [null], ["2"], [[2]], new Float32Array(2)]) {
  add(`ones of ${show(shape)} as a shape`, () => NDArray.ones(wrong(shape)), /^(ones|full|empty)/);
  if (shape !== undefined)
    add(`from with shape ${show(shape)}`, () => NDArray.from([1, 2], { shape: wrong(shape) }), /^from/);
  add(`reshape to ${show(shape)}`, () => ops.reshape(t23(), wrong(shape)), /^reshape/);
  add(`init.uniform of ${show(shape)}`, () => init.uniform(wrong(shape)), /^(uniform|empty)/);
}
for (const values of [
  undefined,
  null,
  "12",
  {},
  [1, "2"],
  [1, null],
  [[1, 2], [3]],
  [[1], 2],
  [1, [2]],
  [[[1]], [[1], [2]]],
  [undefined],
  new Map(),
  new BigInt64Array(2),
  [5n],
  true,
]) {
  // prettier-ignore
  add(`from ${show(typeof values === "object" && values !== null && "length" in values ? "a list" : values)} #${cases.length}`, () => NDArray.from(wrong(values)), /^from/);
  add(`tensor of the same #${cases.length}`, () => tensor(wrong(values)), /^(from|tensor)/);
}
for (const value of [0.5, NaN, Infinity, 2 ** 31, -(2 ** 31) - 1]) {
  add(`int32 from ${value}`, () => NDArray.from([value], { dtype: "int32" }), /^from.*32-bit integer/);
  add(`int32 filled with ${value}`, () => NDArray.full([2], value, { dtype: "int32" }), /^full.*32-bit integer/);
  add(`int32 set to ${value}`, () => NDArray.zeros([2], { dtype: "int32" }).set([0], value), /^set.*32-bit integer/);
}
for (const dtype of ["float64", "", null, 5, {}]) {
  add(`dtype ${show(dtype)}`, () => NDArray.zeros([1], { dtype: wrong(dtype) }), /dtype/);
  add(`from with dtype ${show(dtype)}`, () => NDArray.from([1], { dtype: wrong(dtype) }), /^from.*dtype/);
  add(`to dtype ${show(dtype)}`, () => t23().to({ dtype: wrong(dtype) }), /^to.*dtype/);
}
for (const device of ["cpu", null, 5, {}]) {
  add(`device ${show(device)}`, () => NDArray.zeros([1], { device: wrong(device) }), /device/);
  add(`to device ${show(device)}`, () => t23().to({ device: wrong(device) }), /^to.*device/);
  add(`Linear on device ${show(device)}`, () => new nn.Linear(2, 2, { device: wrong(device) }), /device/);
}
for (const value of notNumbers.filter((v) => typeof v !== "number")) {
  add(`full of ${show(value)}`, () => NDArray.full([2], wrong(value)), /^full/);
}
add("from with a shape that does not fit", () => NDArray.from([1, 2, 3], { shape: [2, 2] }), /^from.*\(3,\).*\(2, 2\)/);
add("ragged lists deep inside", () => tensor([[[1, 2], [3, 4]], [[1, 2], [3, wrong([4])]]]), /^tensor.*ragged/); // prettier-ignore
add("item of many", () => t23().item(), /^item.*\(2, 3\)/);
add("requiresGrad of int32", () => tensor([1], { dtype: "int32", requiresGrad: true }), /requiresGrad.*int32/);
for (const index of [-1, 1.5, NaN, 99, "0", null]) add(`cuda(${show(index)})`, () => cuda(wrong(index)), /cuda/);
for (const seed of [1.5, NaN, "1", undefined, null, 2 ** 60])
  add(`manualSeed(${show(seed)})`, () => manualSeed(wrong(seed)), /^manualSeed/);

// ----------------------------------------------------------------------------------------------------------- views
for (const [name, view] of Object.entries({
  permute: (axes: number[]) => t23().permute(axes),
  "NDArray permute": (axes: number[]) => a23().permute(axes),
})) {
  for (const axes of [
    [0],
    [0, 0],
    [0, 2],
    [0, -3],
    [0, 1, 2],
    [0.5, 1],
    [NaN, 0],
    [],
    wrong(null),
    wrong("01"),
    wrong([undefined, 1]),
  ]) {
    add(`${name} ${JSON.stringify(axes)}`, () => view(axes), /^permute.*\(2, 3\)/);
  }
}
for (const axis of [2, -3, 0.5, NaN, Infinity, wrong("0"), wrong(null), wrong({})]) {
  const shown = String(axis);
  add(`transpose ${shown}`, () => t23().transpose(axis, 0), /^transpose.*\(2, 3\)/);
  if (axis !== null) {
    add(`flip ${shown}`, () => ops.flip(t23(), axis), /^flip/);
    add(`sum over ${shown}`, () => ops.sum(t23(), { axes: axis }), /^sum/);
    add(`mean over ${shown}`, () => ops.mean(t23(), { axes: axis }), /^mean/);
    add(`max over ${shown}`, () => ops.max(t23(), { axes: [axis] }), /^max/);
    add(`logSumExp over ${shown}`, () => ops.logSumExp(t23(), { axes: [0, axis] }), /^logSumExp/);
  }
  add(`softmax over ${shown}`, () => ops.softmax(t23(), axis), /^softmax/);
  add(`logSoftmax over ${shown}`, () => ops.logSoftmax(t23(), axis), /^logSoftmax/);
  add(`split along ${shown}`, () => ops.split(t23(), axis), /^split/);
  add(`concat along ${shown}`, () => ops.concat([t23(), t23()], axis), /^concat/);
  if (axis !== 2 && axis !== -3) add(`stack along ${shown}`, () => ops.stack([t23()], axis), /^stack/);
  add(`dilate along ${shown}`, () => ops.dilate(t23(), [axis], 1), /^dilate/);
  add(`undilate along ${shown}`, () => ops.undilate(t23(), [axis], 1), /^undilate/);
}
add("an axis named twice", () => ops.sum(t23(), { axes: [0, -2] }), /^sum.*twice.*\(2, 3\)/);
for (const shape of [[2], [3, 2], [2, 4], [1, 3], [-1, 3]]) {
  add(`broadcastTo (${shape})`, () => ops.broadcastTo(t23(), shape), /^broadcastTo.*\(2, 3\)|^broadcastTo.*-1/);
}
for (const shape of [[4], [2, 2], [-1, -1], [-1, 4], [0, -1], [-2, 3]]) {
  add(`reshape (${shape})`, () => ops.reshape(t23(), shape), /^reshape/);
}
for (const range of [
  2,
  -3,
  0.5,
  NaN,
  "0",
  {},
  [0],
  [0, 1, 1, 1],
  [0, 1, 0],
  [0.5, 1],
  ["0", 1],
  [undefined, 1],
  true,
  [],
  new Float32Array(2),
]) {
  const shown = `${show(range)} ${JSON.stringify(range)}`;
  add(`slice ${shown}`, () => ops.slice(t23(), wrong(range)), /^slice.*\(2, 3\)/);
  add(`set at ${shown}`, () => a23().set(wrong([range]), 1), /^(slice|set).*\(2, 3\)/);
}
add("slice with too many ranges", () => a23().slice(0, 0, 0), /^slice.*\(2, 3\)/);
add("set of an array that does not fit", () => a23().set([0], NDArray.zeros([2])), /^set.*\(2,\).*\(3,\)/);
add("set of ragged lists", () => a23().set([], wrong([[1, 2, 3], [4]])), /^(set|from).*ragged/); // prettier-ignore
for (const value of [undefined, null, "x", {}, true])
  add(`set to ${show(value)}`, () => a23().set([], wrong(value)), /^(set|from)/);
for (const value of [undefined, null, "x", {}, true])
  add(`Tensor.set to ${show(value)}`, () => t23().set(wrong(value)), /^(set|from)/);
add("Tensor.set of another shape", () => t23().set([1, 2]), /^set.*\(2,\).*\(2, 3\)/);
add("writing into a broadcast view", () => NDArray.zeros([1]).broadcastTo([3]).set([], 1), /^set.*\(3,\)/);
for (const widths of [
  [[1, 1]],
  [[1, 1], [1]],
  [
    [1, 1],
    [-1, 0],
  ],
  [
    [1, 1],
    [0.5, 0],
  ],
  [
    [1, 1],
    ["1", 0],
  ],
  null,
  5,
  undefined,
  [
    [0, 0],
    [0, 2 ** 31],
  ],
]) {
  // prettier-ignore
  add(`pad ${JSON.stringify(widths)}`, () => ops.pad(t23(), wrong(widths)), /^(pad|empty|zeros|full)/);
}
for (const dilation of [-1, 0.5, NaN, Infinity, 2 ** 31, "1", null, undefined]) {
  add(`dilate by ${show(dilation)}`, () => ops.dilate(t23(), [0], wrong(dilation)), /^dilate/);
  add(`undilate by ${show(dilation)}`, () => ops.undilate(t23(), [0], wrong(dilation)), /^undilate/);
}
add("dilate to more elements than there may be", () => ops.dilate(t(2, 2), [0, 1], 2 ** 20), /2\^31/);
for (const list of [[], null, undefined, 5, "ab", [null], [t23(), null], [t23(), [1]]]) {
  add(
    `stack of ${Array.isArray(list) ? `${list.length} with ${show(list[list.length - 1])}` : show(list)}`,
    () => ops.stack(wrong(list)),
    /^stack/,
  );
  add(
    `concat of ${Array.isArray(list) ? `${list.length} with ${show(list[list.length - 1])}` : show(list)}`,
    () => ops.concat(wrong(list), 0),
    /^concat/,
  );
}
add("stack of different shapes", () => ops.stack([t23(), t(3, 2)]), /^stack.*\(2, 3\).*\(3, 2\)/);
add("concat of different sizes", () => ops.concat([t23(), t(2, 4)], 0), /^concat.*\(2, 3\).*\(2, 4\)/);
add("concat of different numbers of axes", () => ops.concat([t23(), t(2)], 0), /^concat.*\(2, 3\).*\(2,\)/);
add("concat of scalars", () => ops.concat([t(), t()], 0), /^concat/);
add("split of a scalar", () => ops.split(t(), 0), /^split/);

// Lists with holes, which array methods skip.
const holes = (): never => wrong(new Array(2));
add("zeros of a shape with holes", () => NDArray.zeros(holes()), /^(zeros|full|empty)/);
add("reshape to a shape with holes", () => ops.reshape(t23(), holes()), /^reshape/);
add("broadcastTo a shape with holes", () => ops.broadcastTo(t23(), holes()), /^broadcastTo/);
add("permute by holes", () => ops.permute(t23(), holes()), /^permute/);
add("sum over holes", () => ops.sum(t23(), { axes: holes() }), /^sum/);
add("flip of holes", () => ops.flip(t23(), holes()), /^flip/);
add("slice with a range of holes", () => ops.slice(t23(), holes()), /^slice/);
add("set at a range of holes", () => a23().set(wrong([holes()]), 1), /^(slice|set)/);
add("pad by holes", () => ops.pad(t23(), holes()), /^pad/);
add("pad by pairs of holes", () => ops.pad(t23(), wrong([holes(), holes()])), /^pad/);
add("from holes", () => NDArray.from(holes()), /^from/);
add("stack of holes", () => ops.stack(holes()), /^stack/);
add("concat of holes", () => ops.concat(holes(), 0), /^concat/);
add("an optimizer of holes", () => new optim.SGD(holes(), { lr: 1 }), /^SGD/);
