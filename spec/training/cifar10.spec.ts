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
