/**
 * Everything that can be done wrong with the public API, as a table: what, how, and what the error must say. It is run
 * by spec/errors.spec.ts, in a process of its own, so that a crash shows as one.
 */
import {
  cpu, cuda, data, init, manualSeed, NDArray, nn, noGrad, ops, optim, Tensor, tensor, tidy,
} from "thimble"; // prettier-ignore

export interface Misuse {
  what: string;
  run: () => unknown;
  /** What the message must have, besides its class being thimble's: the operation and the shapes. */
  says: RegExp;
}

/** A value that the types forbid: what plain JavaScript can pass. */
const wrong = (value: unknown): never => value as never;

const cases: Misuse[] = [];
const add = (what: string, run: () => unknown, says: RegExp): void => void cases.push({ what, run, says });

const a23 = (): NDArray => NDArray.zeros([2, 3]);
const t23 = (): Tensor => tensor(new Float32Array(6), { shape: [2, 3] });
const t = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((m, n) => m * n, 1)), { shape });
const ids = (...values: number[]): Tensor => tensor(values, { dtype: "int32" });
const disposed = (): Tensor => {
  const gone = t23();
  gone.dispose();
  return gone;
};
/** Not numbers, and numbers that are no sizes, axes or indices. */
const notNumbers = [undefined, null, "1", true, {}, [1], NaN, Infinity, -Infinity, 1.5, 10n, Symbol.iterator, () => 1];
const notTensors = [undefined, null, "x", true, {}, [1, 2], NaN, new Float32Array(2), NDArray.zeros([2]), () => 1];
const show = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? `${value.constructor.name} ${JSON.stringify(value, (key, v: unknown) => (key === "device" || key === "storage" ? undefined : v))?.slice(0, 20)}`
    : `${typeof value} ${String(value).slice(0, 20)}`;

// ------------------------------------------------------------------------------------------------- creation
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
add("ragged lists deep inside", () => tensor([[[1, 2], [3, 4]], [[1, 2], [3, wrong([4])]]]), /^from.*ragged/); // prettier-ignore
add("item of many", () => t23().item(), /^item.*\(2, 3\)/);
add("requiresGrad of int32", () => tensor([1], { dtype: "int32", requiresGrad: true }), /requiresGrad.*int32/);
for (const index of [-1, 1.5, NaN, 99, "0", null]) add(`cuda(${show(index)})`, () => cuda(wrong(index)), /cuda/);
for (const seed of [1.5, NaN, "1", undefined, null, 2 ** 60])
  add(`manualSeed(${show(seed)})`, () => manualSeed(wrong(seed)), /^manualSeed/);

// ---------------------------------------------------------------------------------------------------- views
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
    wrong([null, 1]),
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
  [null, 1],
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

// --------------------------------------------------------------------------------------------- elementwise
for (const op of ["add", "sub", "mul", "div", "maximum"] as const) {
  add(`${op} of shapes that do not broadcast`, () => ops[op](t23(), t(2)), new RegExp(`^${op}.*\\(2, 3\\).*\\(2,\\)`));
  add(
    `${op} of NDArrays that do not broadcast`,
    () => a23()[op](NDArray.zeros([4])),
    new RegExp(`^${op}.*\\(2, 3\\).*\\(4,\\)`),
  );
  add(
    `${op} broadcast to more elements than there may be`,
    () => ops[op](t(2 ** 16, 1), t(1, 2 ** 16)),
    new RegExp(`^${op}.*2\\^31`),
  );
  for (const operand of notTensors.filter((v) => typeof v !== "number")) {
    add(`${op} of ${show(operand)}`, () => ops[op](t23(), wrong(operand)), new RegExp(`^${op}`));
    add(`${op} with ${show(operand)} on the left`, () => ops[op](wrong(operand), t23()), new RegExp(`^${op}`));
  }
  for (const operand of [undefined, null, "x", {}, [1]]) {
    add(`NDArray ${op} of ${show(operand)}`, () => a23()[op](wrong(operand)), new RegExp(`^${op}`));
  }
  add(`${op} of a disposed tensor`, () => ops[op](disposed(), t23()), /disposed/);
  add(`${op} with a disposed tensor on the right`, () => ops[op](t23(), disposed()), /disposed/);
}
for (const op of [
  "neg",
  "exp",
  "log",
  "sqrt",
  "tanh",
  "relu",
  "sigmoid",
  "abs",
  "sum",
  "mean",
  "max",
  "logSumExp",
  "softmax",
  "logSoftmax",
] as const) {
  for (const operand of notTensors)
    add(`${op} of ${show(operand)}`, () => ops[op](wrong(operand)), new RegExp(`^${op}`));
  add(`${op} of a disposed tensor`, () => ops[op](disposed()), /disposed/);
}
for (const exponent of [undefined, null, "2", NaN, [2], t23()]) {
  add(
    `pow by ${exponent instanceof Tensor ? "a tensor" : show(exponent)}`,
    () => ops.pow(t23(), wrong(exponent)),
    /^pow/,
  );
}
add("max of nothing", () => ops.max(t(0, 3)), /^max.*\(0, 3\)/);
add("softmax of int32", () => ops.softmax(ids(1, 2)), /^softmax.*int32/);
add("softmax of a scalar", () => ops.softmax(t()), /^softmax/);

// ------------------------------------------------------------------------------------- matmul, conv, lookup
add("matmul of inner sizes that differ", () => ops.matmul(t23(), t23()), /^matmul.*\(2, 3\).*\(2, 3\)/);
add(
  "matmul of batches that do not broadcast",
  () => ops.matmul(t(2, 3, 4), t(3, 4, 5)),
  /^matmul.*\(2, 3, 4\).*\(3, 4, 5\)|^matmul.*\(2,\).*\(3,\)/,
);
add("matmul of a scalar", () => ops.matmul(t(), t23()), /^matmul/);
add("matmul of int32", () => ops.matmul(ids(1).reshape([1, 1]), t(1, 1)), /^matmul.*(int32|float32)/);
add("matmul with more elements than there may be", () => ops.matmul(t(2 ** 16, 1), t(1, 2 ** 16)), /2\^31/);
for (const operand of notTensors)
  add(`matmul with ${show(operand)}`, () => ops.matmul(t23(), wrong(operand)), /^matmul/);
add("NDArray matmul with a list", () => a23().matmul(wrong([[1]])), /^matmul/); // prettier-ignore
const image = (): Tensor => t(1, 5, 5, 2);
const kernel = (): Tensor => t(3, 3, 2, 4);
add("conv with channels that differ", () => ops.conv(image(), t(3, 3, 3, 4)), /^conv.*\(1, 5, 5, 2\).*\(3, 3, 3, 4\)/);
add("conv of three axes", () => ops.conv(t(5, 5, 2), kernel()), /^conv.*\(5, 5, 2\).*\(3, 3, 2, 4\)/);
add("conv with a kernel of three axes", () => ops.conv(image(), t(3, 3, 2)), /^conv.*\(1, 5, 5, 2\).*\(3, 3, 2\)/);
add(
  "conv with a kernel larger than the image",
  () => ops.conv(image(), t(7, 7, 2, 1)),
  /^conv.*\(1, 5, 5, 2\).*\(7, 7, 2, 1\)/,
);
add("conv with an empty kernel", () => ops.conv(image(), t(0, 0, 2, 1)), /^conv.*\(0, 0, 2, 1\)/);
add("conv of an empty image", () => ops.conv(t(1, 0, 0, 2), kernel()), /^conv.*\(1, 0, 0, 2\)/);
add("conv of int32", () => ops.conv(image().to({ dtype: "int32" }), kernel()), /^conv.*int32/);
for (const value of [0, -1, 0.5, NaN, Infinity, 2 ** 31, "1", null, {}]) {
  add(`conv with stride ${show(value)}`, () => ops.conv(image(), kernel(), { stride: wrong(value) }), /^conv.*stride/);
  if (value !== 0)
    add(
      `conv with padding ${show(value)}`,
      () => ops.conv(image(), kernel(), { padding: wrong(value) }),
      /^conv.*padding/,
    );
  add(`Conv of kernel size ${show(value)}`, () => new nn.Conv(2, 3, wrong(value)), /^Conv/);
  add(`Conv of channels ${show(value)}`, () => new nn.Conv(wrong(value), 3, 3), /^Conv/);
  add(`Conv with stride ${show(value)}`, () => new nn.Conv(2, 3, 3, { stride: wrong(value) }), /^Conv/);
  add(`Linear of ${show(value)} features`, () => new nn.Linear(wrong(value), 2), /^Linear/);
  add(`Linear to ${show(value)} features`, () => new nn.Linear(2, wrong(value)), /^Linear/);
  add(`BatchNorm1d of ${show(value)} features`, () => new nn.BatchNorm1d(wrong(value)), /^BatchNorm1d/);
  add(`BatchNorm2d of ${show(value)} features`, () => new nn.BatchNorm2d(wrong(value)), /^BatchNorm2d/);
  add(`LayerNorm of ${show(value)} features`, () => new nn.LayerNorm(wrong(value)), /^LayerNorm/);
}
for (const padding of [2 ** 20, 2 ** 30, 2 ** 31 - 1]) {
  add(`conv with padding ${padding}`, () => ops.conv(image(), kernel(), { padding }), /^conv/);
  add(
    `conv with padding ${padding} and a stride as large`,
    () => ops.conv(image(), kernel(), { padding: 2 ** 31 - 1, stride: padding }),
    /^conv/,
  );
}
for (const operand of notTensors) {
  add(`conv of ${show(operand)}`, () => ops.conv(wrong(operand), kernel()), /^conv/);
  add(`conv with ${show(operand)} as kernel`, () => ops.conv(image(), wrong(operand)), /^conv/);
  add(`embedding of ${show(operand)}`, () => ops.embedding(t23(), wrong(operand)), /^embedding/);
  add(`embedding in ${show(operand)}`, () => ops.embedding(wrong(operand), ids(0)), /^embedding/);
  add(`dropout of ${show(operand)}`, () => ops.dropout(wrong(operand), 0.5), /^dropout/);
}
for (const id of [2, -1, 2 ** 31 - 1, -(2 ** 31)]) {
  add(`embedding of id ${id}`, () => ops.embedding(t23(), ids(0, id)), new RegExp(`^embedding.*${id}`));
  add(`a label ${id} of 2 classes`, () => new nn.SoftmaxLoss().forward(t(2, 2), ids(0, id)), new RegExp(`${id}`));
}
add("embedding of floats", () => ops.embedding(t23(), t(2)), /^embedding.*int32.*\(2, 3\).*\(2,\)/);
add("embedding in a table of one axis", () => ops.embedding(t(2), ids(0)), /^embedding.*\(2,\)/);
add("embedding of an id in an empty table", () => ops.embedding(t(0, 3), ids(0)), /^embedding/);
for (const p of [-0.1, 1.1, NaN, Infinity, "0.5", null, undefined]) {
  add(`dropout with p ${show(p)}`, () => ops.dropout(t23(), wrong(p)), /^dropout/);
  if (p !== undefined) add(`Dropout with p ${show(p)}`, () => new nn.Dropout(wrong(p)), /^Dropout/);
}

// -------------------------------------------------------------------------------------------------- modules
add("Linear of another width", () => new nn.Linear(4, 2).forward(t23()), /^(linear|matmul|Linear).*\(2, 3\).*\(4, 2\)/);
add(
  "Linear of int32",
  () => new nn.Linear(1, 2).forward(ids(1).reshape([1, 1])),
  /^(linear|matmul|Linear).*(int32|float32)/,
);
add("Conv of other channels", () => new nn.Conv(3, 4, 3).forward(t(1, 2, 5, 5)), /^[cC]onv.*\(3, 3, 3, 4\)/);
add("Conv of three axes", () => new nn.Conv(3, 4, 3).forward(t(3, 5, 5)), /^Conv.*\(3, 5, 5\)/);
add("BatchNorm1d of other features", () => new nn.BatchNorm1d(4).forward(t23()), /^BatchNorm1d.*\(2, 3\)/);
add("BatchNorm1d of images", () => new nn.BatchNorm1d(3).forward(t(2, 3, 4, 4)), /^BatchNorm1d.*\(2, 3, 4, 4\)/);
add("BatchNorm2d of a matrix", () => new nn.BatchNorm2d(3).forward(t23()), /^BatchNorm2d.*\(2, 3\)/);
add("BatchNorm1d of no rows", () => new nn.BatchNorm1d(3).forward(t(0, 3)), /[bB]atchNorm.*\(0, 3\)/);
add(
  "LayerNorm of other features",
  () => new nn.LayerNorm(4).forward(t23()),
  /^(layerNorm|LayerNorm).*\(4,\)|^(layerNorm|LayerNorm).*\(2, 3\)/,
);
for (const value of [-1, NaN, "1", null]) {
  add(`BatchNorm1d with eps ${show(value)}`, () => new nn.BatchNorm1d(3, { eps: wrong(value) }).forward(t23()), /eps/);
  add(
    `BatchNorm1d with momentum ${show(value)}`,
    () => new nn.BatchNorm1d(3, { momentum: wrong(value) }).forward(t23()),
    /momentum/,
  );
  add(`LayerNorm with eps ${show(value)}`, () => new nn.LayerNorm(3, { eps: wrong(value) }).forward(t23()), /eps/);
}
add("Flatten of a scalar", () => new nn.Flatten().forward(t()), /^Flatten/);
const loss = new nn.SoftmaxLoss();
add("SoftmaxLoss with too few labels", () => loss.forward(t23(), ids(0)), /\(2, 3\).*\(1,\)/);
add("SoftmaxLoss with float labels", () => loss.forward(t23(), t(2)), /int32.*\(2, 3\).*\(2,\)/);
add("SoftmaxLoss of one axis", () => loss.forward(t(2), ids(0, 1)), /\(2,\)/);
add("SoftmaxLoss of no rows", () => loss.forward(t(0, 3), ids()), /\(0, 3\)/);
for (const operand of notTensors) {
  for (const [name, module] of Object.entries({
    Linear: new nn.Linear(2, 2), Conv: new nn.Conv(2, 2, 3), BatchNorm1d: new nn.BatchNorm1d(2), BatchNorm2d: new nn.BatchNorm2d(2),
    LayerNorm: new nn.LayerNorm(2), Flatten: new nn.Flatten(), ReLU: new nn.ReLU(), Dropout: new nn.Dropout(0.5),
    Residual: new nn.Residual(new nn.ReLU()), Sequential: new nn.Sequential(new nn.Tanh()),
  })) add(`${name} of ${show(operand)}`, () => module.forward(wrong(operand)), /Tensor/); // prettier-ignore
  add(`SoftmaxLoss of ${show(operand)}`, () => loss.forward(wrong(operand), ids(0)), /Tensor/);
  add(`SoftmaxLoss with labels ${show(operand)}`, () => loss.forward(t(1, 2), wrong(operand)), /Tensor/);
}
for (const layer of [null, "relu", 5, () => 1]) {
  add(`Sequential made of ${show(layer)}`, () => new nn.Sequential(wrong(layer), new nn.ReLU()), /^Sequential/);
  add(`Residual made of ${show(layer)}`, () => new nn.Residual(wrong(layer)), /^Residual/);
}
for (const dict of [null, undefined, 5, "x", { weight: null, bias: null }, { weight: [1], bias: [1] }]) {
  add(`loadStateDict of ${show(dict)}`, () => new nn.Linear(1, 1).loadStateDict(wrong(dict)), /^loadStateDict/);
}
add(
  "a Residual that changes the shape",
  () => new nn.Residual(new nn.Linear(3, 4)).forward(t23()),
  /^add.*\(2, 4\).*\(2, 3\)/,
);

// ----------------------------------------------------------------------------------------------------- init
for (const fan of [0, -1, 0.5, NaN, "3", null, undefined]) {
  for (const name of ["xavierUniform", "xavierNormal", "kaimingUniform", "kaimingNormal"] as const) {
    add(`${name} of ${show(fan)}`, () => init[name](wrong(fan), 3), new RegExp(`^${name}`));
  }
}
add(
  "kaimingUniform with a shape of one axis",
  () => init.kaimingUniform(3, 3, { shape: [3] }),
  /^kaimingUniform.*\(3,\)/,
);
add(
  "kaimingNormal for an unknown nonlinearity",
  () => init.kaimingNormal(3, 3, { nonlinearity: wrong("swish") }),
  /^kaimingNormal.*swish/,
);
for (const bound of [NaN, Infinity, "1", null]) {
  add(`uniform up to ${show(bound)}`, () => init.uniform([2], { high: wrong(bound) }), /^uniform/);
  add(`normal with std ${show(bound)}`, () => init.normal([2], { std: wrong(bound) }), /^normal/);
}
add("normal with a negative std", () => init.normal([2], { std: -1 }), /^normal/);
add("normal of int32", () => init.normal([2], { dtype: "int32" }), /^normal/);
for (const count of [-1, 0.5, NaN, "3", 2 ** 31])
  add(`oneHot of ${show(count)} classes`, () => init.oneHot(wrong(count), [0]), /^oneHot/);
add("oneHot of a float id", () => init.oneHot(3, [0.5]), /oneHot|32-bit integer/);

// ----------------------------------------------------------------------------------------------- optimizers
const parameter = (): Tensor => tensor([1, 2], { requiresGrad: true });
for (const params of [null, undefined, 5, [], [null], [1], "ab", [ids(1)], t23()]) {
  const shown = Array.isArray(params)
    ? `a list with ${params[0] instanceof Tensor ? "int32" : show(params[0])}`
    : params instanceof Tensor
      ? "a tensor"
      : show(params);
  add(`SGD of ${shown}`, () => new optim.SGD(wrong(params), { lr: 0.1 }), /^SGD/);
  add(`Adam of ${shown}`, () => new optim.Adam(wrong(params)), /^Adam/);
  add(`clipGradNorm of ${shown}`, () => optim.clipGradNorm(wrong(params), 1), /^clipGradNorm/);
}
for (const rate of [-0.1, NaN, Infinity, "0.1", null]) {
  add(`SGD with lr ${show(rate)}`, () => new optim.SGD([parameter()], { lr: wrong(rate) }), /^SGD.*lr/);
  add(
    `SGD with momentum ${show(rate)}`,
    () => new optim.SGD([parameter()], { lr: 0.1, momentum: wrong(rate) }),
    /^SGD.*momentum/,
  );
  add(
    `Adam with weightDecay ${show(rate)}`,
    () => new optim.Adam([parameter()], { weightDecay: wrong(rate) }),
    /^Adam.*weightDecay/,
  );
  add(`Adam with beta1 ${show(rate)}`, () => new optim.Adam([parameter()], { beta1: wrong(rate) }), /^Adam.*beta1/);
  add(`Adam with eps ${show(rate)}`, () => new optim.Adam([parameter()], { eps: wrong(rate) }), /^Adam.*eps/);
  add(`clipGradNorm to ${show(rate)}`, () => optim.clipGradNorm([parameter()], wrong(rate)), /^clipGradNorm/);
}
add("Adam with beta2 = 1", () => new optim.Adam([parameter()], { beta2: 1 }), /^Adam.*beta2/);
add("a step on a disposed parameter", () => {
  const p = parameter();
  ops.sum(p).backward();
  p.data.dispose();
  new optim.SGD([p], { lr: 1 }).step();
}, /disposed/); // prettier-ignore
add("a step on a parameter whose data was replaced by another shape", () => {
  const p = parameter();
  ops.sum(p).backward();
  const opt = new optim.Adam([p]);
  opt.step();
  p.data = NDArray.zeros([100_000]);
  for (let i = 0; i < 20; i++) opt.step();
}, /\(2,\)|\(100000,\)/); // prettier-ignore

// ------------------------------------------------------------------------------------------------- autograd
add("backward without a graph", () => t().backward(), /^backward/);
add("backward of a matrix", () => ops.mul(tensor([[1, 2]], { requiresGrad: true }), 2).backward(), /^backward.*\(1, 2\)/); // prettier-ignore
add(
  "backward with a gradient of another shape",
  () => ops.mul(parameter(), 2).backward(t23()),
  /^backward.*\(2,\).*\(2, 3\)/,
);
for (const gradient of ["x", null, 5, {}, [1, 2]]) {
  add(`backward with ${show(gradient)}`, () => ops.mul(parameter(), 2).backward(wrong(gradient)), /^backward/);
  if (gradient !== null) add(`grad set to ${show(gradient)}`, () => (parameter().grad = wrong(gradient)), /^grad/);
}
add("grad set to another shape", () => (parameter().grad = t23()), /^grad.*\(2,\).*\(2, 3\)/);
add("grad set to int32", () => (parameter().grad = ids(1, 2)), /^grad.*int32/);
for (const fn of [undefined, null, 5, "x", {}]) {
  add(`tidy of ${show(fn)}`, () => tidy(wrong(fn)), /^tidy/);
  add(`noGrad of ${show(fn)}`, () => noGrad(wrong(fn)), /^noGrad/);
}
for (const target of [null, undefined, "cpu", 5]) add(`to ${show(target)}`, () => t23().to(wrong(target)), /^to/);

// --------------------------------------------------------------------------------------------------- device
for (const count of [0, -1, 0.5, NaN, "2"])
  add(`threads = ${show(count)}`, () => (cpu().threads = wrong(count)), /^threads/);
for (const bytes of [0, -1, NaN, "2", null])
  add(`setMemoryLimit(${show(bytes)})`, () => cpu().setMemoryLimit(wrong(bytes)), /^setMemoryLimit/);

// ----------------------------------------------------------------------------------------------------- data
const dataset = new data.NDArrayDataset(NDArray.zeros([4, 2]), NDArray.zeros([4], { dtype: "int32" }));
for (const size of [0, -1, 0.5, NaN, "2", null]) {
  add(
    `DataLoader with batchSize ${show(size)}`,
    () => new data.DataLoader(dataset, { batchSize: wrong(size) }),
    /^DataLoader/,
  );
}

export { cases };

if (import.meta.main) {
  // One line a case, written before and after, so that a crash names its case.
  const only = process.argv[2];
  for (const { what, run } of cases) {
    if (only !== undefined && what !== only) continue;
    console.log(JSON.stringify({ what }));
    try {
      const result = run();
      console.log(JSON.stringify({ what, outcome: "returned", result: String(result).slice(0, 100) }));
    } catch (error) {
      const { name, message } = error instanceof Error ? error : { name: typeof error, message: String(error) };
      const classes: string[] = [];
      for (let of = Object.getPrototypeOf(error); of !== null; of = Object.getPrototypeOf(of))
        classes.push(of.constructor.name);
      console.log(JSON.stringify({ what, outcome: "threw", name, message, classes }));
    }
  }
  // Everything still works afterwards.
  const sum = ops.sum(ops.matmul(tensor([[1, 2]]), tensor([[3], [4]]))).item(); // prettier-ignore
  console.log(
    JSON.stringify({
      what: "the end",
      outcome: sum === 11 ? "threw" : `wrong sum ${sum}`,
      classes: ["ThimbleError"],
      message: "",
    }),
  );
}
