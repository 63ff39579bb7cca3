/** Modules, initialisation, optimizers, devices and data. */
import { cpu, cuda, data, Generator, init, NDArray, nn, noGrad, ops, optim, Tensor, tensor } from "thimble";

import { add, t23, t, ids, notTensors, show, wrong } from "./table.ts";

// --------------------------------------------------------------------------------------------------------- modules
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
add("RMSNorm of other features", () => new nn.RMSNorm(4).forward(t23()), /^rmsNorm.*\(3\).*\(4,\)/);
add("rmsNorm with an int32 weight", () => ops.rmsNorm(t23(), ids(1, 2, 3)), /^rmsNorm.*weight.*int32/);
add("rmsNorm of empty rows", () => ops.rmsNorm(t(2, 0), t(0)), /^rmsNorm.*\(2, 0\)/);
add("rmsNorm of a scalar", () => ops.rmsNorm(t(), t(1)), /^rmsNorm.*last axis/);
add("GroupNorm of other channels", () => new nn.GroupNorm(2, 4).forward(t23()), /^GroupNorm.*\(N, 4\).*\(2, 3\)/);
add("GroupNorm of five axes", () => new nn.GroupNorm(1, 2).forward(t(1, 2, 1, 1, 1)), /^GroupNorm.*\(1, 2, 1, 1, 1\)/);
add(
  "GroupNorm of groups that do not divide the channels",
  () => new nn.GroupNorm(3, 4),
  /^GroupNorm.*3 does not divide 4/,
);
add("GroupNorm with affine 1", () => new nn.GroupNorm(1, 4, { affine: wrong(1) }), /^GroupNorm.*affine/);
add(
  "groupNorm of groups that do not divide the channels",
  () => ops.groupNorm(t23(), 2),
  /^groupNorm.*2 does not divide 3/,
);
add("groupNorm of no channels", () => ops.groupNorm(t(2, 0), 1), /^groupNorm.*does not divide 0/);
add("groupNorm of one axis", () => ops.groupNorm(t(4), 1), /^groupNorm.*\(4,\)/);
add("groupNorm with another weight", () => ops.groupNorm(t23(), 1, t(2)), /^groupNorm.*weight.*\(3\).*\(2,\)/);
add("groupNorm with an int32 bias", () => ops.groupNorm(t23(), 1, null, ids(1, 2, 3)), /^groupNorm.*bias.*int32/);
for (const value of [-1, NaN, "1", null]) {
  add(`GroupNorm with eps ${show(value)}`, () => new nn.GroupNorm(1, 3, { eps: wrong(value) }), /^GroupNorm.*eps/);
  add(`BatchNorm1d with eps ${show(value)}`, () => new nn.BatchNorm1d(3, { eps: wrong(value) }).forward(t23()), /eps/);
  add(
    `BatchNorm1d with momentum ${show(value)}`,
    () => new nn.BatchNorm1d(3, { momentum: wrong(value) }).forward(t23()),
    /momentum/,
  );
  add(`LayerNorm with eps ${show(value)}`, () => new nn.LayerNorm(3, { eps: wrong(value) }).forward(t23()), /eps/);
  add(`RMSNorm with eps ${show(value)}`, () => new nn.RMSNorm(3, { eps: wrong(value) }), /^RMSNorm.*eps/);
}
for (const [i, state] of [5, {}, "hc", [t(1, 2, 2)], [null, null], [t(1, 2, 2), t(1, 2, 2), t(1, 2, 2)]].entries()) {
  add(`LSTM from state ${i}`, () => new nn.LSTM(3, 2).forward(t(4, 2, 3), wrong(state)), /^(LSTM|lstm)/);
  add(`LSTMCell from state ${i}`, () => new nn.LSTMCell(3, 2).forward(t(2, 3), wrong(state)), /^(LSTM|lstm)/);
}
for (const [i, state] of [5, {}, "h", [t(1, 2, 2)], t(2, 2), ids(0)].entries()) {
  add(`RNN from state ${i}`, () => new nn.RNN(3, 2).forward(t(4, 2, 3), wrong(state)), /^(RNN|rnn)/);
  add(`GRU from state ${i}`, () => new nn.GRU(3, 2).forward(t(4, 2, 3), wrong(state)), /^(GRU|gru)/);
}
for (const [i, weights] of [null, 5, {}, { W_ih: t(3, 2) }, { W_ih: 1, W_hh: t(2, 2) }].entries()) {
  add(`rnn with weights ${i}`, () => ops.rnn(t(4, 2, 3), null, wrong(weights)), /^rnn/);
  add(`gru with weights ${i}`, () => ops.gru(t(4, 2, 3), null, wrong(weights)), /^gru/);
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
    LayerNorm: new nn.LayerNorm(2), RMSNorm: new nn.RMSNorm(2), GroupNorm: new nn.GroupNorm(1, 2), RNN: new nn.RNN(2, 2), LSTM: new nn.LSTM(2, 2), RNNCell: new nn.RNNCell(2, 2), LSTMCell: new nn.LSTMCell(2, 2), GRU: new nn.GRU(2, 2), GRUCell: new nn.GRUCell(2, 2), Flatten: new nn.Flatten(), ReLU: new nn.ReLU(), Dropout: new nn.Dropout(0.5),
    MaxPool2d: new nn.MaxPool2d(2), AvgPool2d: new nn.AvgPool2d(2),
    GlobalAvgPool2d: new nn.GlobalAvgPool2d(), Upsample: new nn.Upsample(2), ConvTranspose: new nn.ConvTranspose(2, 2, 3),
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

// ------------------------------------------------------------------------------------------------------------ init
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
for (const [what, args] of Object.entries({
  nothing: [],
  text: ["3"],
  null: [null],
  "an option between": [1, {}, 2],
  "four numbers": [1, 2, 3, 4],
})) {
  add(`arange of ${what}`, () => init.arange(...(wrong(args) as [number])), /^arange/);
  add(`eye of ${what}`, () => init.eye(...(wrong(args) as [number])), /^eye/);
}
add("oneHot of a float id", () => init.oneHot(3, [0.5]), /oneHot|32-bit integer/);

// ------------------------------------------------------------------------------------------------------ optimizers
const parameter = (): Tensor => tensor([1, 2], { requiresGrad: true });
for (const params of [null, undefined, 5, [], [null], [1], "ab", [ids(1)], t23()]) {
  const shown = Array.isArray(params)
    ? `a list with ${params[0] instanceof Tensor ? "int32" : show(params[0])}`
    : params instanceof Tensor
      ? "a tensor"
      : show(params);
  add(`SGD of ${shown}`, () => new optim.SGD(wrong(params), { lr: 0.1 }), /^SGD/);
  add(`RMSprop of ${shown}`, () => new optim.RMSprop(wrong(params)), /^RMSprop/);
  add(`Adam of ${shown}`, () => new optim.Adam(wrong(params)), /^Adam/);
  if (!(Array.isArray(params) && params.length === 0))
    // there is nothing to clip: PyTorch's norm is 0 too
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
  for (const option of ["lr", "alpha", "eps", "weightDecay", "momentum"])
    add(
      `RMSprop with ${option} ${show(rate)}`,
      () => new optim.RMSprop([parameter()], { [option]: wrong(rate) }),
      new RegExp(`^RMSprop.*${option}`),
    );
  add(`Adam with eps ${show(rate)}`, () => new optim.Adam([parameter()], { eps: wrong(rate) }), /^Adam.*eps/);
  if (rate !== Infinity)
    // which only measures
    add(`clipGradNorm to ${show(rate)}`, () => optim.clipGradNorm([parameter()], wrong(rate)), /^clipGradNorm/);
}
for (const decay of [-0.1, 1.5, NaN, "1", null])
  add(
    `AveragedModel with decay ${show(decay)}`,
    () => new optim.AveragedModel(new nn.Linear(1, 1), { decay: wrong(decay) }),
    /^AveragedModel.*decay/,
  );
for (const model of [null, 5, t23(), nn.Linear]) {
  add(`AveragedModel of ${show(model)}`, () => new optim.AveragedModel(wrong(model)), /^AveragedModel: takes a module/);
  const average = new optim.AveragedModel(new nn.Linear(1, 1));
  add(`update with ${show(model)}`, () => average.update(wrong(model)), /^AveragedModel: takes a module/);
}
add("RMSprop with alpha = 1", () => new optim.RMSprop([parameter()], { alpha: 1 }), /^RMSprop.*alpha/);
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

// ---------------------------------------------------------------------------------------------------------- device
for (const count of [0, -1, 0.5, NaN, "2"])
  add(`threads = ${show(count)}`, () => (cpu().threads = wrong(count)), /^threads/);
for (const bytes of [0, -1, NaN, "2", null])
  add(`setMemoryLimit(${show(bytes)})`, () => cpu().setMemoryLimit(wrong(bytes)), /^setMemoryLimit/);

if (cuda.isAvailable()) {
  const far = (): Tensor => tensor(new Float32Array(6), { shape: [2, 3], device: cuda() });
  for (const op of ["add", "sub", "mul", "div", "maximum", "minimum", "less", "matmul"] as const) {
    add(`${op} across devices`, () => ops[op](t23(), far()), new RegExp(`^${op}.*cpu.*cuda.*\\(2, 3\\)`));
  }
  add("stack across devices", () => ops.stack([t23(), far()]), /^stack.*cpu.*cuda/);
  add("a CUDA device that is not there", () => cuda(99), /^cuda.*99/);
} else {
  add("cuda() where there is none", () => cuda(), /^cuda.*(no CUDA|not available|cannot).*cpu\(\)/);
}

// ------------------------------------------------------------------------------------------------------------ data
const dataset = new data.NDArrayDataset(NDArray.zeros([4, 2]), NDArray.zeros([4], { dtype: "int32" }));
for (const size of [0, -1, 0.5, NaN, "2", null]) {
  add(
    `DataLoader with batchSize ${show(size)}`,
    () => new data.DataLoader(dataset, { batchSize: wrong(size) }),
    /^DataLoader/,
  );
}

// -------------------------------------------------------------------------------------------- from plain JavaScript
add("Module.to with a dtype", () => new nn.Linear(2, 2).to(wrong({ dtype: "int32" })), /^to/);
add("Module.to with a string, nothing to move", () => new nn.ReLU().to(wrong("gpu")), /^to/);
add(
  "loadStateDict with a name that all objects have",
  () => {
    const model = new nn.Linear(1, 1);
    model.loadStateDict({ ...model.stateDict(), toString: t(1) });
  },
  /^loadStateDict.*unknown toString/,
);
const optimizer = (): optim.Adam => new optim.Adam([tensor([1], { requiresGrad: true })]);
for (const state of [undefined, null, 3, { lr: 1, steps: [0] }, { lr: 1, steps: [0], arrays: { "first.0": 1 } }])
  add(
    `loadState of ${show(state)}`,
    () => optimizer().loadState(wrong(state)),
    /^loadState: takes what state\(\) gave/,
  );
for (const n of [-1, NaN, 2.9, [4], { length: 4, valueOf: () => 2 ** 22 }])
  add(`permutation of ${show(n)}`, () => new Generator(0).permutation(wrong(n)), /^permutation/);
for (const stream of [NaN, "x", undefined])
  add(`a stream ${show(stream)}`, () => (new Generator(0).state = wrong({ seed: 1, stream })), /^state/);
add("a generator's seed 1.5", () => new Generator(1.5), /^Generator/);
add("uniform beyond float32", () => init.uniform([3], { low: -2e38, high: 2e38 }), /^uniform.*fit float32/);
add("a gain and a nonlinearity unknown", () => init.kaimingNormal(2, 2, { gain: 1, nonlinearity: wrong("x") }), /'x'/);
for (const [what, spoil] of Object.entries({
  shape: (a: NDArray) => Object.assign(a.shape, [2 ** 28]),
  strides: (a: NDArray) => Object.assign(a.strides, [-1]),
  offset: (a: NDArray) => Object.assign(a, { offset: 2 ** 40 }),
}))
  add(
    `an array whose ${what} JavaScript wrote over`,
    () => {
      const a = NDArray.zeros([2, 2]);
      spoil(a);
      a.add(1).toTypedArray();
    },
    /may not be written to/,
  );
for (const geometry of [{ stride: 1.5 }, { stride: 0 }, { padding: -1 }, { padding: 0.5 }, { padding: 2 ** 30 }])
  add(
    `a chain with a Conv whose ${JSON.stringify(geometry)} was written over`,
    () =>
      noGrad(() =>
        new nn.Sequential(Object.assign(new nn.Conv(3, 8, 3), geometry), new nn.ReLU()).forward(t(2, 3, 9, 9)),
      ),
    /^conv/,
  );
