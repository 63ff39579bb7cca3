/** Arithmetic, products, convolution, look-up, and backward. */
import { NDArray, nn, noGrad, ops, Tensor, tensor, tidy } from "thimble";

import { add, a23, t23, t, ids, disposed, notTensors, show, wrong } from "./table.ts";

const parameter = (): Tensor => tensor([1, 2], { requiresGrad: true });

// ----------------------------------------------------------------------------------------------------- elementwise
for (const op of [
  "add",
  "sub",
  "mul",
  "div",
  "maximum",
  "minimum",
  "equal",
  "notEqual",
  "less",
  "lessEqual",
  "greater",
  "greaterEqual",
] as const) {
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
  "min",
  "argMax",
  "argMin",
  "variance",
  "std",
  "sort",
  "argSort",
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

// -------------------------------------------------------------------------------------------- matmul, conv, lookup
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
for (const [what, x, w, b, labels, message] of [
  ["features that differ", t(2, 4), t(3, 5), t(5), ids(0, 1), /\(2, 4\).*\(3, 5\)/],
  ["x of three axes", t(1, 2, 3), t(3, 5), t(5), ids(0, 1), /\(1, 2, 3\)/],
  ["a vector for weight", t(2, 3), t(3), null, ids(0, 1), /\(3,\)/],
  ["too few labels", t(2, 3), t(3, 5), t(5), ids(0), /\(2, 3\).*\(1,\)/],
  ["float labels", t(2, 3), t(3, 5), t(5), t(2), /int32/],
  ["a bias of another size", t(2, 3), t(3, 5), t(3), ids(0, 1), /bias.*\(5\).*\(3,\)/],
  ["no rows", t(0, 3), t(3, 5), t(5), ids(), /\(0, 3\)/],
  ["no features", t(2, 0), t(0, 5), t(5), ids(0, 1), /\(2, 0\)/],
  ["int32 x", ids(2, 3), t(3, 5), t(5), ids(0, 1), /float32/],
] as const) {
  const run = () => ops.linearCrossEntropy(x, w, b, labels);
  add(`linearCrossEntropy with ${what}`, run, new RegExp(`^linearCrossEntropy.*${message.source}`));
}
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
  add(`GroupNorm of ${show(value)} groups`, () => new nn.GroupNorm(wrong(value), 4), /^GroupNorm.*numGroups/);
  add(`GroupNorm of ${show(value)} channels`, () => new nn.GroupNorm(1, wrong(value)), /^GroupNorm.*numChannels/);
  add(`groupNorm of ${show(value)} groups`, () => ops.groupNorm(t23(), wrong(value)), /^groupNorm.*numGroups/);
  add(`RMSNorm of ${show(value)} features`, () => new nn.RMSNorm(wrong(value)), /^RMSNorm/);
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
  add(`gather of ${show(operand)}`, () => ops.gather(wrong(operand), 0, ids(0)), /^gather/);
  add(`gather by ${show(operand)}`, () => ops.gather(t23(), 0, wrong(operand)), /^gather/);
  add(`indexSelect of ${show(operand)}`, () => ops.indexSelect(wrong(operand), 0, ids(0)), /^indexSelect/);
  add(`indexSelect by ${show(operand)}`, () => ops.indexSelect(t23(), 0, wrong(operand)), /^indexSelect/);
  add(`cumSum of ${show(operand)}`, () => ops.cumSum(wrong(operand), 0), /^cumSum/);
  add(`multinomial of ${show(operand)}`, () => ops.multinomial(wrong(operand), 1), /^multinomial/);
  add(`bernoulli of ${show(operand)}`, () => ops.bernoulli(wrong(operand)), /^bernoulli/);
  add(`sample of ${show(operand)}`, () => ops.sample(wrong(operand)), /^sample/);
  add(`isNaN of ${show(operand)}`, () => ops.isNaN(wrong(operand)), /^isNaN/);
  add(`isFinite of ${show(operand)}`, () => ops.isFinite(wrong(operand)), /^isFinite/);
  add(`any of ${show(operand)}`, () => ops.any(wrong(operand)), /^any/);
  add(`all of ${show(operand)}`, () => ops.all(wrong(operand)), /^all/);
  add(`topK of ${show(operand)}`, () => ops.topK(wrong(operand), 1), /^topK/);
  add(`embedding of ${show(operand)}`, () => ops.embedding(t23(), wrong(operand)), /^embedding/);
  add(`embedding in ${show(operand)}`, () => ops.embedding(wrong(operand), ids(0)), /^embedding/);
  add(`dropout of ${show(operand)}`, () => ops.dropout(wrong(operand), 0.5), /^dropout/);
}
for (const id of [2, -1, 2 ** 31 - 1, -(2 ** 31)]) {
  add(`embedding of id ${id}`, () => ops.embedding(t23(), ids(0, id)), new RegExp(`^embedding.*${id}`));
  add(`gather of index ${id}`, () => ops.gather(t(2), 0, ids(0, id)), new RegExp(`^gather.*${id}`));
  add(`indexSelect of index ${id}`, () => ops.indexSelect(t(2), 0, ids(0, id)), new RegExp(`${id}`));
  add(`a label ${id} of 2 classes`, () => new nn.SoftmaxLoss().forward(t(2, 2), ids(0, id)), new RegExp(`${id}`));
  add(`a label ${id} of a layer of 2`, () => ops.linearCrossEntropy(t(2, 3), t(3, 2), null, ids(0, id)), /of row 1/);
}
add("embedding of floats", () => ops.embedding(t23(), t(2)), /^embedding.*int32.*\(2, 3\).*\(2,\)/);
add("embedding in a table of one axis", () => ops.embedding(t(2), ids(0)), /^embedding.*\(2,\)/);
add("embedding of an id in an empty table", () => ops.embedding(t(0, 3), ids(0)), /^embedding/);
for (const p of [-0.1, 1.1, NaN, Infinity, "0.5", null, undefined]) {
  add(`dropout with p ${show(p)}`, () => ops.dropout(t23(), wrong(p)), /^dropout/);
  if (p !== undefined) add(`Dropout with p ${show(p)}`, () => new nn.Dropout(wrong(p)), /^Dropout/);
}

// -------------------------------------------------------------------------------------------------------- autograd
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
