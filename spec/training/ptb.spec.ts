/** The training loops of language models: what they average, carry, repeat, free and refuse. */
import { describe, expect, test } from "bun:test";
import { ArgumentError, init, manualSeed, NDArray, nn, optim, type Tensor } from "thimble";
import { batchify, GeneratedText } from "thimble/datasets";
import { LanguageModel } from "thimble/models";
import {
  type ChunkReport,
  chunksOf,
  epochGeneralPtb,
  evaluatePtb,
  type HiddenState,
  tensorsOf,
  trainPtb,
} from "thimble/training";

import { onEachDevice } from "../support/devices.ts";

const texts = new GeneratedText({ sentences: 300 });
const words = texts.dictionary.length;

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (reason: unknown) => reason,
  );
}

onEachDevice("language-model training", (device) => {
  const text = batchify(texts.train, 8, { device });
  const make = (seed = 1, dropout = 0) => {
    manualSeed(seed);
    return new LanguageModel(12, words, 12, { seqModel: "lstm", numLayers: 2, dropout, device });
  };
  const valuesOf = (model: nn.Module) => model.parameters().map((parameter) => parameter.toTypedArray());

  test("learns, and a seed repeats bit for bit", async () => {
    const train = async () => {
      const model = make(3, 0.1);
      const reports: number[] = [];
      const onEpoch = (_: number, { loss }: { loss: number }) => reports.push(loss);
      const adam = { optimizer: optim.Adam, lr: 0.01 };
      await trainPtb(model, text, { ...adam, seqLen: 10, epochs: 4, clip: 0.5, onEpoch });
      return { reports, values: valuesOf(model) };
    };
    const first = await train();
    expect(first.reports.length).toBe(4);
    expect(first.reports[0]!).toBeLessThan(Math.log(words));
    expect(first.reports[3]!).toBeLessThan(first.reports[0]! - 0.5);
    expect(await train()).toEqual(first);
  });

  test("averages over words; without an optimizer nothing changes", async () => {
    const model = make();
    const before = valuesOf(model);
    const reports: ChunkReport[] = [];
    const result = await evaluatePtb(model, text, { seqLen: 16, onStep: (report) => reports.push({ ...report }) });
    const rows = text.shape[0]!;
    expect(reports.length).toBe(chunksOf(text, 16));
    expect(reports.at(-1)!.examples).toBe((rows - 1) * 8);
    const sizes = reports.map(({ examples }, i) => examples - (reports[i - 1]?.examples ?? 0));
    const sum = reports.reduce((total, { batchLoss }, i) => total + batchLoss * sizes[i]!, 0);
    expect(result.loss).toBeCloseTo(sum / ((rows - 1) * 8), 10);
    expect(Math.abs(result.loss - Math.log(words))).toBeLessThan(0.1);
    expect(valuesOf(model)).toEqual(before);
    expect(model.training).toBe(true);
    const longer = await evaluatePtb(model, text, { seqLen: rows }); // the state is carried: chunks change nothing
    expect(longer.loss).toBeCloseTo(result.loss, 4);
    expect(longer.accuracy).toBeCloseTo(result.accuracy, 4);
  });

  test("the model's own loss, a loss that is given, and the loss of a subclass with logits of its own", async () => {
    class Flat extends LanguageModel {
      override forward(x: Tensor, h?: HiddenState | null): [Tensor, HiddenState] {
        const [logits, state] = super.forward(x, h);
        return [logits.mul(0), state];
      }
    }
    const model = make();
    const own = await evaluatePtb(model, text, { seqLen: 16 });
    const given = await evaluatePtb(model, text, { seqLen: 16, lossFn: new nn.SoftmaxLoss() });
    expect(given.loss).toBeCloseTo(own.loss, 5);
    expect(given.accuracy).toBeCloseTo(own.accuracy, 6);
    const twice = { forward: (logits: Tensor, y: Tensor) => new nn.SoftmaxLoss().forward(logits, y).mul(2) };
    expect((await evaluatePtb(model, text, { seqLen: 16, lossFn: twice })).loss).toBeCloseTo(2 * own.loss, 4);
    const flat = await evaluatePtb(new Flat(12, words, 12, { device }), text, { seqLen: 16 });
    expect(flat.loss).toBeCloseTo(Math.log(words), 5);
  });

  test("goes on within an epoch bit for bit, dropout included", async () => {
    const lr = { lr: 5 };
    const options = { seqLen: 10, clip: 0.5 };
    const whole = make(5, 0.2);
    const losses: number[] = [];
    const onStep = ({ batchLoss }: ChunkReport) => losses.push(batchLoss);
    await epochGeneralPtb(text, whole, { ...options, opt: new optim.SGD(whole.parameters(), lr), onStep });

    const parted = make(5, 0.2);
    const opt = new optim.SGD(parted.parameters(), lr);
    const stop = new AbortController();
    const partLosses: number[] = [];
    let at: { chunk: number; hidden: HiddenState | null } = { chunk: 0, hidden: null };
    const follow = ({ batchLoss, chunk, hidden }: ChunkReport) => {
      partLosses.push(batchLoss);
      at = { chunk, hidden };
      if (chunk === 7) stop.abort("enough");
    };
    const first = epochGeneralPtb(text, parted, { ...options, opt, onStep: follow, signal: stop.signal });
    expect(await failure(first)).toBe("enough");
    expect(at.chunk).toBe(7);
    const copies = tensorsOf(at.hidden!).map((state) => init.zeros(state.shape, { device }).set(state));
    const [h, c] = copies;
    const start = { chunk: 7, hidden: [h!, c!] as const };
    await epochGeneralPtb(text, parted, { ...options, opt, onStep: follow, start });
    expect(at.chunk).toBe(chunksOf(text, 10));
    expect(partLosses).toEqual(losses);
    expect(valuesOf(parted)).toEqual(valuesOf(whole));
    expect(h!.toTypedArray().length).toBe(2 * 8 * 12); // what the caller gave is still the caller's
  });

  test("memory stays flat", async () => {
    const model = make();
    const opt = new optim.SGD(model.parameters(), { lr: 1 });
    const live: number[] = [];
    const onStep = () => live.push(device.memory().live);
    await epochGeneralPtb(text, model, { seqLen: 7, opt, clip: 1, onStep });
    expect(Math.max(...live)).toBeLessThanOrEqual(live[1]! + 64 * 1024); // gradients are there after the first step
  });
});

describe("the loop", () => {
  const text = batchify(texts.train, 8);
  const model = new LanguageModel(6, words, 6);

  test("lets the event loop run between steps, and stops after the running one", async () => {
    let ticks = 0;
    const tick = () => {
      ticks++;
      turn = setImmediate(tick);
    };
    let turn = setImmediate(tick);
    const stop = new AbortController();
    const steps: number[] = [];
    const onStep = ({ step }: ChunkReport) => {
      steps.push(step);
      if (step === 20) stop.abort(new Error("stop"));
    };
    const reason = await failure(evaluatePtb(model, text, { seqLen: 5, onStep, signal: stop.signal }));
    clearImmediate(turn);
    expect(reason).toBe(stop.signal.reason);
    expect(steps.length).toBe(20);
    expect(ticks).toBeGreaterThan(0);
    expect(model.training).toBe(true);
  });

  test("clips the gradients that the step uses", async () => {
    const trained = new LanguageModel(6, words, 6);
    const before = trained.parameters().map((parameter) => parameter.toTypedArray());
    const opt = new optim.SGD(trained.parameters(), { lr: 1 });
    await epochGeneralPtb(text.slice([0, 6]), trained, { seqLen: 5, opt, clip: 1e-3 });
    const squares = trained.parameters().flatMap((parameter, i) => {
      return Array.from(parameter.toTypedArray(), (value, j) => (value - before[i]![j]!) ** 2);
    });
    const moved = squares.reduce((sum, square) => sum + square, 0);
    expect(Math.sqrt(moved)).toBeWithin(0.9e-3, 1.1e-3);
  });

  test("takes another loss function and any module of the right form", async () => {
    class Constant extends nn.Module {
      override forward(x: Tensor): [Tensor, Tensor] {
        return [init.zeros([x.size, words]), init.zeros([1])];
      }
    }
    const lossFn = { forward: () => init.constant([], 2.5) };
    expect((await evaluatePtb(new Constant(), text, { lossFn })).loss).toBe(2.5);
  });

  test("refuses what makes no sense, by name", async () => {
    const opt = new optim.SGD(model.parameters(), { lr: 1 });
    for (const data of [null, [1, 2], NDArray.zeros([4, 4]), NDArray.zeros([8], { dtype: "int32" })]) {
      const error = await failure(epochGeneralPtb(data as never, model));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(String(error)).toContain("epochGeneralPtb: takes ids (rows, columns) int32");
    }
    const oneRow = batchify(texts.train.subarray(0, 8), 8);
    expect(await failure(evaluatePtb(model, oneRow))).toBeInstanceOf(ArgumentError);
    for (const seqLen of [0, -1, 1.5, NaN]) {
      expect(await failure(evaluatePtb(model, text, { seqLen }))).toBeInstanceOf(ArgumentError);
    }
    for (const chunk of [-1, 0.5, NaN, chunksOf(text, 40)]) {
      const error = await failure(epochGeneralPtb(text, model, { start: { chunk, hidden: null } }));
      expect(String(error)).toContain("start.chunk");
    }
    expect(await failure(epochGeneralPtb(text, model, { opt, clip: -1 }))).toBeInstanceOf(ArgumentError);
    for (const epochs of [0, 1.5, NaN]) {
      expect(String(await failure(trainPtb(model, text, { epochs })))).toContain("trainPtb: epochs");
    }
  });
});
