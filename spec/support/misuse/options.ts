/** What takes options, given something else in their place, or a name that it does not know. */
import { cpu, data, init, NDArray, nn, ops, optim, profile, tensor } from "thimble";
import { batchify, CIFAR10Dataset, Corpus, GeneratedImages, GeneratedText, TextCorpus } from "thimble/datasets";
import { LanguageModel, ResNet9 } from "thimble/models";

import { a23, add, ids, show, t, t23, wrong } from "./table.ts";

const layer = new nn.ReLU();
const parameter = () => new nn.Parameter(NDArray.zeros([2]));
/** What may stand where options should. */
const others: Record<string, unknown> = {
  "a number": 2,
  "a string": "int32",
  true: true,
  null: null,
  "a device": cpu(),
  "a module": layer,
  "a tensor": t23(),
};
const takers: Record<string, (options: never) => unknown> = {
  tensor: (o) => tensor([1, 2], o),
  from: (o) => NDArray.from([1, 2], o),
  empty: (o) => NDArray.empty([2], o),
  zeros: (o) => NDArray.zeros([2], o),
  ones: (o) => NDArray.ones([2], o),
  full: (o) => NDArray.full([2], 1, o),
  uniform: (o) => init.uniform([2], o),
  normal: (o) => init.normal([2], o),
  constant: (o) => init.constant([2], 1, o),
  zerosLike: (o) => init.zerosLike(t23(), o),
  onesLike: (o) => init.onesLike(t23(), o),
  linspace: (o) => init.linspace(0, 1, 3, o),
  randint: (o) => init.randint(0, 3, [2], o),
  oneHot: (o) => init.oneHot(2, [1], o),
  xavierUniform: (o) => init.xavierUniform(2, 2, o),
  xavierNormal: (o) => init.xavierNormal(2, 2, o),
  kaimingUniform: (o) => init.kaimingUniform(2, 2, o),
  kaimingNormal: (o) => init.kaimingNormal(2, 2, o),
  conv: (o) => ops.conv(t(1, 2, 2, 1), t(1, 1, 1, 1), o),
  convTranspose: (o) => ops.convTranspose(t(1, 2, 2, 1), t(1, 1, 1, 1), o),
  maxPool: (o) => ops.maxPool(t(1, 2, 2, 1), 2, o),
  avgPool: (o) => ops.avgPool(t(1, 2, 2, 1), 2, o),
  groupNorm: (o) => ops.groupNorm(t(2, 2), 1, null, null, o),
  rmsNorm: (o) => ops.rmsNorm(t(2, 2), t(2), o),
  layerNorm: (o) => ops.layerNorm(t(2, 2), t(2), t(2), o),
  Parameter: (o) => new nn.Parameter(a23(), o),
  Linear: (o) => new nn.Linear(2, 2, o),
  Conv: (o) => new nn.Conv(2, 2, 3, o),
  ConvTranspose: (o) => new nn.ConvTranspose(2, 2, 3, o),
  MaxPool2d: (o) => new nn.MaxPool2d(2, o),
  AvgPool2d: (o) => new nn.AvgPool2d(2, o),
  GlobalAvgPool2d: (o) => new nn.GlobalAvgPool2d(o),
  Upsample: (o) => new nn.Upsample(2, o),
  BatchNorm1d: (o) => new nn.BatchNorm1d(2, o),
  BatchNorm2d: (o) => new nn.BatchNorm2d(2, o),
  LayerNorm: (o) => new nn.LayerNorm(2, o),
  GroupNorm: (o) => new nn.GroupNorm(1, 2, o),
  RMSNorm: (o) => new nn.RMSNorm(2, o),
  Dropout: (o) => new nn.Dropout(0.5, o),
  ReLU: (o) => new nn.ReLU(o),
  Tanh: (o) => new nn.Tanh(o),
  Sigmoid: (o) => new nn.Sigmoid(o),
  Flatten: (o) => new nn.Flatten(o),
  SoftmaxLoss: (o) => new nn.SoftmaxLoss(o),
  MSELoss: (o) => new nn.MSELoss(o),
  L1Loss: (o) => new nn.L1Loss(o),
  HuberLoss: (o) => new nn.HuberLoss(o),
  SmoothL1Loss: (o) => new nn.SmoothL1Loss(o),
  BCEWithLogitsLoss: (o) => new nn.BCEWithLogitsLoss(o),
  crossEntropy: (o) => ops.crossEntropy(t(1, 2), ids(0), o),
  sort: (o) => ops.sort(t23(), o),
  argSort: (o) => ops.argSort(t23(), o),
  multinomial: (o) => ops.multinomial(init.ones([2, 3]), 1, o),
  bernoulli: (o) => ops.bernoulli(init.ones([2]), o),
  sample: (o) => ops.sample(t23(), o),
  topK: (o) => ops.topK(t23(), 1, o),
  Residual: (o) => new nn.Residual(layer, o),
  Embedding: (o) => new nn.Embedding(2, 2, o),
  RNNCell: (o) => new nn.RNNCell(2, 2, o),
  LSTMCell: (o) => new nn.LSTMCell(2, 2, o),
  RNN: (o) => new nn.RNN(2, 2, o),
  LSTM: (o) => new nn.LSTM(2, 2, o),
  GRUCell: (o) => new nn.GRUCell(2, 2, o),
  GRU: (o) => new nn.GRU(2, 2, o),
  ResNet9: (o) => new ResNet9(o),
  LanguageModel: (o) => new LanguageModel(2, 3, 2, o),
  SGD: (o) => new optim.SGD([parameter()], o),
  AveragedModel: (o) => new optim.AveragedModel(new nn.Linear(1, 1), o),
  RMSprop: (o) => new optim.RMSprop([parameter()], o),
  Adam: (o) => new optim.Adam([parameter()], o),
  DataLoader: (o) => new data.DataLoader({ length: 1, get: () => [1, 1] }, o),
  RandomCrop: (o) => new data.RandomCrop(o),
  CIFAR10Dataset: (o) => new CIFAR10Dataset("/nowhere", o),
  GeneratedImages: (o) => new GeneratedImages(o),
  GeneratedText: (o) => new GeneratedText(o),
  Corpus: (o) => new Corpus("/nowhere", o),
  TextCorpus: (o) => new TextCorpus("/nowhere", o),
  batchify: (o) => batchify(new Int32Array(4), 2, o),
  profile: (o) => profile(() => 1, o),
};
for (const [name, take] of Object.entries(takers)) {
  for (const [what, value] of Object.entries({ ...others, "a list": [1], "a function": t23 }))
    add(`${name} with ${what} for options`, () => take(wrong(value)), new RegExp(`^${name}: options must be`));
  add(
    `${name} with an option that it has not`,
    () => take(wrong({ nobodyReadsThis: 0 })),
    new RegExp(`^${name}: there is no option 'nobodyReadsThis'. The options are `),
  );
}

for (const op of ["variance", "std"] as const)
  for (const [what, value] of Object.entries(others).filter(([, each]) => typeof each !== "number"))
    add(
      `ops.${op} with ${what} for options`,
      () => ops[op](t23(), wrong(value)),
      new RegExp(`^${op}: options must be`),
    );
for (const op of ["sum", "mean", "max", "min", "argMax", "argMin", "logSumExp"] as const) {
  for (const [what, value] of Object.entries(others)) {
    if (typeof value === "number") continue; // an axis
    add(
      `ops.${op} with ${what} for options`,
      () => ops[op](t23(), wrong(value)),
      new RegExp(`^${op}: options must be`),
    );
    add(`NDArray.${op} with ${what} for options`, () => a23()[op](wrong(value)), new RegExp(`^${op}: options must be`));
  }
  add(`${op} with axis for axes`, () => t23()[op](wrong({ axis: 0 })), new RegExp(`^${op}: there is no option 'axis'`));
  add(`${op} of an axis that is not there`, () => t23()[op](2), new RegExp(`^${op}: axis 2 .*\\(2, 3\\)`));
}
for (const [what, value] of Object.entries({ ...others, nothing: undefined, "an axis": { axis: 1 } })) {
  if (what === "a device") continue;
  add(
    `NDArray.to of ${what}`,
    () => a23().to(wrong(value)),
    /^to: (takes a device|options must be|there is no option)/,
  );
  add(`Tensor.to of ${what}`, () => t23().to(wrong(value)), /^to: (takes a device|options must be|there is no option)/);
}
for (const dtype of ["float64", "int32", 1, null])
  add(
    `Linear of dtype ${show(dtype)}`,
    () => new nn.Linear(2, 2, { dtype: wrong(dtype) }),
    /^Linear: dtype must be "float32"/,
  );
for (const dtype of ["float64", "int32", null])
  add(`uniform of dtype ${show(dtype)}`, () => init.uniform([2], { dtype: wrong(dtype) }), /^uniform: .*float32/);
add("Sequential of a list", () => new nn.Sequential(wrong([layer])), /^Sequential: takes modules, not a list.*Spread/);
add(
  "Sequential that ends in an operation",
  () => new nn.Sequential(layer, wrong(ops.relu)),
  /^Sequential: takes modules, not (a|the) function.*nn.ReLU/,
);
add("Sequential that ends in a tensor", () => new nn.Sequential(layer, wrong(t23())), /^Sequential: takes modules/);
add(
  "Sequential with an unknown option",
  () => new nn.Sequential(layer, wrong({ bias: 1 })),
  /^Sequential: there is no/,
);
for (const Type of [nn.LSTM, nn.LSTMCell])
  add(`${Type.name} with relu`, () => new Type(1, 1, { nonlinearity: "relu" }), /^LSTMCell: the nonlinearity.*"tanh"/);
class Configuration {
  lr = 1;
  epochs = 3;
}
add(
  "SGD with a configuration",
  () => new optim.SGD([parameter()], new Configuration()),
  /^SGD: there is no option 'epochs'/,
);

// ------------------------------------------------------------------------------------------------ switches
const switches: Record<string, (flag: never) => unknown> = {
  keepDims: (flag) => t23().sum({ axes: 0, keepDims: flag }),
  "keepDims of variance": (flag) => t23().variance({ axes: 0, keepDims: flag }),
  "keepDims of an NDArray": (flag) => a23().max({ keepDims: flag }),
  descending: (flag) => t23().sort({ descending: flag }),
  largest: (flag) => t23().topK(1, { largest: flag }),
  affine: (flag) => new nn.GroupNorm(1, 2, { affine: flag }),
  causal: (flag) => ops.scaledDotProductAttention(t23(), t23(), t23(), { causal: flag }),
  centered: (flag) => new optim.RMSprop([parameter()], { centered: flag }),
  nesterov: (flag) => new optim.SGD([parameter()], { lr: 1, momentum: 0.9, nesterov: flag }),
  bias: (flag) => new nn.Linear(2, 2, { bias: flag }),
  "bias of a GRU": (flag) => new nn.GRU(2, 2, { bias: flag }),
  bidirectional: (flag) => new nn.GRU(2, 2, { bidirectional: flag }),
  batchFirst: (flag) => new nn.LSTM(2, 2, { batchFirst: flag }),
  shuffle: (flag) => new data.DataLoader({ length: 1, get: () => [1, 1] }, { batchSize: 1, shuffle: flag }),
  dropLast: (flag) => new data.DataLoader({ length: 1, get: () => [1, 1] }, { batchSize: 1, dropLast: flag }),
};
for (const [name, take] of Object.entries(switches)) {
  for (const flag of ["false", 0, 1, null, t23()])
    add(`${name}: ${show(flag)}`, () => take(wrong(flag)), new RegExp(`${name.split(" ")[0]} must be true or false`));
}

// Messages of values that have no text of their own.
add("a reduction of 5n", () => new nn.MSELoss({ reduction: wrong(5n) }), /reduction must be .* not 5n/);
add("a gain of 5n", () => new nn.ConvTranspose(1, 1, 1, { gain: wrong(5n) }), /gain must be a finite number/);
add("a gain in lists", () => new nn.Linear(1, 1, { gain: wrong([[1]]) }), /gain must be a finite number/);
add(
  "an axis that is a bare object",
  () => ops.cumSum(t23(), wrong(Object.create(null))),
  /an axis must be an integer, not an object/,
);
add("upsample beyond the largest axis", () => ops.upsample(t(0, 2, 2, 1), 2 ** 31 - 1), /upsample: scale .* too large/);
