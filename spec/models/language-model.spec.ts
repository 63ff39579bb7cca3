/** The language model with weights that both sides make by the same rule, against PyTorch in float64. */
import { describe, expect, test } from "bun:test";
import { ArgumentError, init, manualSeed, NDArray, nn, noGrad, optim, ShapeError, Tensor, tensor } from "thimble";
import { LanguageModel } from "thimble/models";
import { epochGeneralPtb, tensorsOf } from "thimble/training";

import { recordedTensor } from "../support/check-op.ts";
import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { hashed } from "../support/random.ts";
import { thrown } from "../support/thrown.ts";

interface Recording {
  model: "rnn" | "lstm" | "gru";
  embed: number;
  hidden: number;
  layers: number;
  tied: boolean;
  text: Recorded;
  length: number;
  bound: number;
  lr: number;
  clip: number;
  losses: number[];
  logits: Recorded;
  state: Recorded[];
  gradients: Recorded[];
}

const WORDS = 11;
const ids = (...shape: number[]) => new Tensor(NDArray.zeros(shape, { dtype: "int32" }));

onEachDevice("LanguageModel", (device) => {
  for (const recording of load<Recording[]>("language-model")) {
    const { model: seqModel, embed, hidden, layers: numLayers, tied: tieWeights, length, lr, clip } = recording;
    const filled = (): LanguageModel => {
      const model = new LanguageModel(embed, WORDS, hidden, { seqModel, numLayers, tieWeights, device });
      model.parameters().forEach((parameter, i) => {
        const values = Float32Array.from(hashed(parameter.shape, i + 1), (u) => recording.bound * u);
        parameter.set(tensor(values, { shape: parameter.shape, device }));
      });
      return model;
    };
    const text = recordedTensor(recording.text, device).data;

    describe(`${numLayers} × ${seqModel} ${hidden} on ${embed}${tieWeights ? ", tied" : ""}`, () => {
      test("logits, states and every gradient are PyTorch's", () => {
        const model = filled();
        const x = new Tensor(text.slice([0, length]));
        const labels = new Tensor(text.slice([1, length + 1]).reshape([-1]));
        const [logits, state] = model.forward(x);
        close(logits, recording.logits, { rtol: 2e-5, atol: 1e-5, what: "logits" });
        const states = state instanceof Tensor ? [state] : state;
        expect(states.length).toBe(recording.state.length);
        states.forEach((each, i) => close(each, recording.state[i]!, { rtol: 2e-5, atol: 1e-5, what: `state ${i}` }));
        const parameters = Object.entries(model.namedParameters());
        expect(parameters.length).toBe(recording.gradients.length);
        const atOnce = model.crossEntropy(x, labels);
        const separate = new nn.SoftmaxLoss().forward(logits, labels);
        closeNumber(atOnce.loss.item(), separate.item(), { rtol: 2e-6 });
        for (const loss of [separate, atOnce.loss]) {
          loss.backward();
          parameters.forEach(([name, parameter], i) => {
            const { grad } = parameter;
            close(grad!, recording.gradients[i]!, { rtol: 5e-5, atol: 1e-5, what: `gradient of ${name}` });
            parameter.grad = null;
          });
        }
        for (const [i, each] of tensorsOf(atOnce.state).entries()) {
          expect(each.toTypedArray()).toEqual(states[i]!.toTypedArray());
        }
      });

      test("the losses of an epoch: clipped SGD, the state carried from chunk to chunk", async () => {
        const model = filled();
        const losses: number[] = [];
        const onStep = ({ batchLoss }: { batchLoss: number }) => losses.push(batchLoss);
        const opt = new optim.SGD(model.parameters(), { lr });
        await epochGeneralPtb(text, model, { seqLen: length, opt, clip, onStep });
        expect(losses.length).toBe(recording.losses.length);
        losses.forEach((loss, i) => closeNumber(loss, recording.losses[i]!, { rtol: 1e-4, what: `loss ${i}` }));
      });
    });
  }

  test("shapes, with and without a state, of all kinds", () => {
    for (const seqModel of ["rnn", "lstm", "gru"] as const) {
      const model = new LanguageModel(6, 9, 4, { numLayers: 3, seqModel, device });
      const words = new Tensor(NDArray.zeros([5, 2], { dtype: "int32", device }));
      const [logits, h] = model.forward(words);
      expect(logits.shape).toEqual([10, 9]);
      for (const state of h instanceof Tensor ? [h] : h) expect(state.shape).toEqual([3, 2, 4]);
      expect(model.forward(words, h)[0].toTypedArray()).not.toEqual(logits.toTypedArray());
    }
  });

  test("starts near uniform: embedding and output from U(-0.1, 0.1), the output's bias 0", () => {
    manualSeed(2);
    const model = new LanguageModel(20, 50, 30, { device });
    const { "embedding.weight": table, "linear.weight": weight, "linear.bias": bias } = model.namedParameters();
    for (const values of [table!, weight!].map((each) => Array.from(each.toTypedArray()))) {
      expect(Math.max(...values)).toBeWithin(0.095, 0.1);
      expect(Math.min(...values)).toBeWithin(-0.1, -0.095);
    }
    expect(bias!.toTypedArray()).toEqual(new Float32Array(50));
    expect([table!.shape, weight!.shape]).toEqual([[50, 20], [30, 50]]); // prettier-ignore
  });

  test("a tied table counts once, is saved under both names, and stays one when moved", () => {
    const tied = new LanguageModel(8, 20, 8, { tieWeights: true, device });
    const names = Object.keys(tied.namedParameters());
    expect(names).toContain("embedding.weight");
    expect(names).not.toContain("linear.weight");
    expect(tied.linear.weight).toBe(tied.embedding.weight);
    expect(Object.keys(tied.stateDict())).toContain("linear.weight");
    const count = (model: nn.Module) => model.parameters().reduce((sum, { size }) => sum + size, 0);
    expect(count(new LanguageModel(8, 20, 8, { device })) - count(tied)).toBe(8 * 20);
    const other = new LanguageModel(8, 20, 8, { tieWeights: true, device });
    other.loadStateDict(tied.stateDict());
    expect(other.linear.weight).toBe(other.embedding.weight);
  });

  test("dropout only in training, and with p = 0 not a random number is drawn", () => {
    const words = new Tensor(init.zeros([6, 3], { device }).data.to({ dtype: "int32" }));
    const values = (model: LanguageModel) => noGrad(() => model.forward(words)[0].toTypedArray());
    const model = new LanguageModel(6, 9, 4, { numLayers: 2, seqModel: "lstm", dropout: 0.5, device });
    expect(values(model)).not.toEqual(values(model));
    model.eval();
    expect(values(model)).toEqual(values(model));
    const plain = new LanguageModel(6, 9, 4, { device });
    manualSeed(3);
    values(plain);
    const next = init.uniform([4]).toTypedArray();
    manualSeed(3);
    expect(init.uniform([4]).toTypedArray()).toEqual(next);
  });
});

describe("a LanguageModel refuses", () => {
  const make =
    (options: Record<string, unknown>, sizes: [number, number, number] = [4, 9, 5]) =>
    () =>
      new LanguageModel(...sizes, options);
  test("what is no model", () => {
    expect(thrown(make({ seqModel: "lru" }))).toBeInstanceOf(ArgumentError);
    expect(make({ seqModel: "lru" })).toThrow(/^LanguageModel: seqModel is "rnn", "lstm" or "gru", not lru/);
    expect(make({ tieWeights: true })).toThrow(
      /^LanguageModel: tieWeights needs embeddingSize = hiddenSize, not 4 and 5/,
    );
    for (const dropout of [-0.1, 1.1, NaN, "0.5"]) expect(make({ dropout })).toThrow(ArgumentError);
    for (const numLayers of [0, 1.5, -1, NaN]) expect(make({ numLayers })).toThrow(ArgumentError);
    for (const size of [0, -1, 1.5, NaN]) {
      for (const at of [0, 1, 2]) {
        const sizes: [number, number, number] = [4, 9, 5];
        sizes[at] = size;
        expect(make({}, sizes)).toThrow(ArgumentError);
      }
    }
  });

  test("words and states that do not fit", () => {
    const [rnn, lstm] = [new LanguageModel(4, 9, 5), new LanguageModel(4, 9, 5, { seqModel: "lstm" })];
    const state = (...shape: number[]) => init.zeros(shape);
    expect(() => rnn.forward(ids(3))).toThrow(ShapeError);
    expect(() => rnn.forward(ids(1, 2, 3))).toThrow(/^LanguageModel: takes words \(L, N\) int32; given \(1, 2, 3\)/);
    expect(() => rnn.forward(tensor([[9]], { dtype: "int32" }))).toThrow(ArgumentError);
    expect(() => rnn.forward(ids(0, 2))).toThrow(ShapeError);
    expect(() => rnn.forward(ids(3, 2), state(1, 3, 5))).toThrow(ShapeError);
    expect(() => rnn.forward(ids(3, 2), [state(1, 2, 5), state(1, 2, 5)])).toThrow(/one tensor, h/);
    const gru = new LanguageModel(4, 9, 5, { seqModel: "gru" });
    expect(() => gru.forward(ids(3, 2), [state(1, 2, 5), state(1, 2, 5)])).toThrow(/one tensor, h/);
    expect(() => lstm.forward(ids(3, 2), state(1, 2, 5))).toThrow(/a pair, \[h, c\]/);
    expect(() => lstm.forward(ids(3, 2), [state(1, 2, 5), state(1, 2, 4)])).toThrow(ShapeError);
  });
});
