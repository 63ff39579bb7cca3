/** The training loops of classifiers: what they average, restore and refuse. */
import { expect, test } from "bun:test";
import { ArgumentError, data, manualSeed, nn, optim } from "thimble";
import { GeneratedImages } from "thimble/datasets";
import { epochGeneralCifar10, evaluateCifar10, type StepReport, trainCifar10 } from "thimble/training";

const images = new GeneratedImages({ count: 90 });
const loader = () => new data.DataLoader(images, { batchSize: 32, shuffle: true, seed: 4 });
const make = () => {
  manualSeed(2);
  return new nn.Sequential(new nn.Flatten(), new nn.Linear(3072, 16), new nn.Dropout(0.1), new nn.Linear(16, 10));
};

test("trains with Adam, reports every step, and repeats bit for bit", async () => {
  const train = async () => {
    const epochs: number[] = [];
    const result = await trainCifar10(make(), loader(), { epochs: 8, onEpoch: (_, { loss }) => epochs.push(loss) });
    expect(result.loss).toBe(epochs.at(-1)!);
    return epochs;
  };
  const epochs = await train();
  expect(epochs.length).toBe(8);
  expect(epochs.at(-1)!).toBeLessThan(epochs[0]! - 0.3);
  expect(await train()).toEqual(epochs);
});

test("averages over examples, and evaluation changes nothing but repeats", async () => {
  const model = make();
  const reports: StepReport[] = [];
  const result = await evaluateCifar10(model, loader(), { onStep: (report) => reports.push(report) });
  expect(reports.map(({ step, steps, examples }) => [step, steps, examples])).toEqual([[1, 3, 32], [2, 3, 64], [3, 3, 90]]); // prettier-ignore
  const [a, b, c] = reports.map(({ batchLoss }) => batchLoss);
  expect(result.loss).toBeCloseTo((32 * a! + 32 * b! + 26 * c!) / 90, 10);
  expect(model.training).toBe(true);
  expect((await evaluateCifar10(model, loader())).loss).toBeCloseTo(result.loss, 5);
});

test("clips gradients where that is asked for", async () => {
  const model = make();
  const before = model.parameters().map((parameter) => parameter.toTypedArray());
  const opt = new optim.SGD(model.parameters(), { lr: 1 });
  const once = new data.DataLoader(images, { batchSize: 90 });
  await epochGeneralCifar10(once, model, { opt, clip: 1e-3 });
  const squares = model.parameters().flatMap((parameter, i) => {
    return Array.from(parameter.toTypedArray(), (value, j) => (value - before[i]![j]!) ** 2);
  });
  expect(Math.sqrt(squares.reduce((sum, square) => sum + square, 0))).toBeWithin(0.9e-3, 1.1e-3);
});

test("refuses no batches and no epochs, by name", async () => {
  const none = { length: 0, [Symbol.iterator]: () => [][Symbol.iterator]() };
  expect(evaluateCifar10(make(), none)).rejects.toThrow("epochGeneralCifar10: there were no batches");
  expect(trainCifar10(make(), loader(), { epochs: 0 })).rejects.toBeInstanceOf(ArgumentError);
});

test("each module is as it was afterwards, a frozen normalisation too", async () => {
  const norm = new nn.BatchNorm1d(16);
  const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(3072, 16), norm, new nn.Linear(16, 10));
  norm.eval();
  await evaluateCifar10(model, loader());
  await trainCifar10(model, loader());
  expect([model.training, norm.training]).toEqual([true, false]);
});

test("a model that is evaluated while it trains trains as if it were not", async () => {
  const train = async (meanwhile: (model: nn.Sequential) => Promise<unknown>) => {
    const model = make();
    const opt = new optim.SGD(model.parameters(), { lr: 0.01 });
    const evaluated: Promise<unknown>[] = [];
    const onStep = ({ step }: StepReport) => step === 1 && evaluated.push(meanwhile(model));
    const { loss } = await epochGeneralCifar10(loader(), model, { opt, onStep });
    return [loss, ...(await Promise.all(evaluated))];
  };
  const [alone] = await train(async () => null);
  const [together, evaluation] = await train((model) => evaluateCifar10(model, loader()));
  expect(together).toBe(alone);
  expect(evaluation).toHaveProperty("loss");
});

test("what onStep freezes stays frozen for the next steps", async () => {
  const norm = new nn.BatchNorm1d(16);
  const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(3072, 16), norm, new nn.Linear(16, 10));
  const opt = new optim.SGD(model.parameters(), { lr: 0.01 });
  const means: unknown[] = [];
  const onStep = () => {
    norm.eval();
    means.push(norm.runningMean.toArray());
  };
  await epochGeneralCifar10(loader(), model, { opt, onStep });
  expect(means[0]).not.toEqual(new Array(16).fill(0));
  expect([means[1], means[2]]).toEqual([means[0], means[0]]);
});

test("batches of the caller's stay the caller's", async () => {
  const batches = [...loader()];
  await trainCifar10(make(), batches, { epochs: 2 });
  expect(batches[0]![0].toArray()).toHaveLength(32);
});

test("what is no model, loss, optimizer or batches is named", async () => {
  const model = make();
  const wrong = (value: unknown): never => value as never;
  const misuse: [() => Promise<unknown>, RegExp][] = [
    [() => trainCifar10(wrong(loader()), wrong(model)), /^trainCifar10: the model must be a Module, not DataLoader/],
    [() => evaluateCifar10(wrong(loader()), wrong(model)), /^epochGeneralCifar10: the model must be a Module/],
    [() => evaluateCifar10(model, wrong(null)), /^epochGeneralCifar10: takes batches, such as a DataLoader, not null/],
    [
      () => trainCifar10(model, loader(), { optimizer: wrong("adam") }),
      /^trainCifar10: optimizer must be a class.*adam/,
    ],
    [() => trainCifar10(model, loader(), wrong(3)), /^trainCifar10: options must be an object, not 3/],
    [
      () => epochGeneralCifar10(loader(), model, { lossFn: wrong(nn.SoftmaxLoss) }),
      /lossFn must have a method forward.*SoftmaxLoss/,
    ],
    [() => epochGeneralCifar10(loader(), model, { opt: wrong(optim.Adam) }), /opt must be an optimizer.*Adam/],
  ];
  for (const [run, message] of misuse) {
    await expect(run()).rejects.toThrow(message);
    await expect(run()).rejects.toBeInstanceOf(ArgumentError);
  }
});
