/** Recurrent modules against PyTorch's recorded results, and what they promise beyond values. */
import { describe, expect, test } from "bun:test";
import { ArgumentError, init, manualSeed, nn, noGrad, ops, ShapeError, Tensor, tidy } from "thimble";

import { recordedTensor } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { composedLstm } from "../support/composed-recurrent.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { liveBytes } from "../support/live-bytes.ts";

interface ModuleCase {
  op: "RNNCell" | "LSTMCell" | "RNN" | "LSTM";
  arguments: [number, number];
  options: { numLayers?: number; bias?: boolean; nonlinearity?: ops.Nonlinearity };
  parameters: Record<string, Recorded>;
  inputs: Recorded[];
  outputs: Recorded[];
  seeds: Recorded[];
  inputGradients: Recorded[];
  gradients: Record<string, Recorded>;
}

const flat = (result: unknown): Tensor[] =>
  result instanceof Tensor ? [result] : Array.isArray(result) ? result.flatMap(flat) : [];

onEachDevice("recurrent modules", (device) => {
  load<ModuleCase[]>("recurrent-modules").forEach((recorded) => {
    const { op, options } = recorded;
    test(`${op}(${recorded.arguments.join(", ")}, ${JSON.stringify(options)}) is PyTorch's`, () => {
      const module = new nn[op](...recorded.arguments, { ...options, device });
      const parameters = module.namedParameters();
      expect(Object.keys(parameters).toSorted()).toEqual(Object.keys(recorded.parameters).toSorted());
      for (const [name, parameter] of Object.entries(parameters)) {
        expect(parameter.shape).toEqual(recorded.parameters[name]!.shape);
        parameter.set(recordedTensor(recorded.parameters[name]!, device));
      }
      const [x, h, c] = recorded.inputs.map((input) => recordedTensor(input, device, true));
      const state = h === undefined ? undefined : h;
      const outputs = flat(
        module instanceof nn.LSTM || module instanceof nn.LSTMCell
          ? module.forward(x!, h && c && [h, c])
          : module.forward(x!, state),
      );
      outputs.forEach((output, i) => close(output, recorded.outputs[i]!, { what: `output ${i}`, atol: 1e-5 }));
      outputs
        .map((output, i) => output.mul(recordedTensor(recorded.seeds[i]!, device)).sum())
        .reduce((a, b) => a.add(b))
        .backward();
      [x, h, c].forEach((input, i) => {
        if (input) close(input.grad!, recorded.inputGradients[i]!, { what: `gradient of input ${i}`, atol: 2e-5 });
      });
      for (const [name, { grad }] of Object.entries(parameters)) {
        close(grad!, recorded.gradients[name]!, { what: `gradient of ${name}`, rtol: 2e-5, atol: 5e-5 });
      }
    });
  });

  test("a sequence in two halves, the state carried, is the whole sequence", () => {
    const model = new nn.LSTM(3, 6, { numLayers: 2, device });
    const x = init.normal([8, 2, 3], { device });
    const [whole, [h, c]] = model.forward(x);
    const [first, state] = model.forward(x.slice([0, 5]));
    const [second, [h2, c2]] = model.forward(x.slice([5, 8]), state);
    expect(ops.concat([first, second], 0).toArray()).toEqual(whole.toArray());
    expect([h2.toArray(), c2.toArray()]).toEqual([h.toArray(), c.toArray()]);
  });

  test("cells step by step are the layer", () => {
    const layer = new nn.LSTM(3, 4, { device });
    const cell = layer.lstmCells[0]!;
    const x = init.normal([5, 2, 3], { device });
    let state: nn.LSTMState | undefined;
    const outputs = ops.split(x, 0).map((step) => (state = cell.forward(step, state))[0]);
    close(ops.stack(outputs), { shape: [5, 2, 4], values: layer.forward(x)[0].toTypedArray() });
  });

  test("dropout between layers zeroes and scales what the next layer sees, in training only", () => {
    manualSeed(3);
    const model = new nn.LSTM(2, 64, { numLayers: 2, dropout: 0.5, device });
    const plain = new nn.LSTM(2, 64, { numLayers: 2, device });
    plain.loadStateDict(model.stateDict());
    const x = init.normal([3, 4, 2], { device });
    const trained = model.forward(x)[0].toArray();
    expect(trained).not.toEqual(model.forward(x)[0].toArray());
    expect(trained).not.toEqual(plain.forward(x)[0].toArray());
    expect(model.eval().forward(x)[0].toArray()).toEqual(plain.forward(x)[0].toArray());

    // What dropout did, from the same random numbers: the first layer's outputs, and not those of the last one.
    model.train();
    manualSeed(4);
    const [found, [hN]] = model.forward(x);
    manualSeed(4);
    const [inner] = composedLstm(x, null, model.lstmCells[0]!);
    const [expected] = composedLstm(ops.dropout(inner, 0.5), null, model.lstmCells[1]!);
    close(found, { shape: found.shape, values: expected.toTypedArray() }, { atol: 1e-5 });
    close(hN.slice(1), { shape: [4, 64], values: expected.slice(-1).toTypedArray() }, { atol: 1e-5 });
  });

  test("a loop holds no more memory from step to step, with and without tidy", () => {
    const model = new nn.LSTM(4, 8, { numLayers: 2, device });
    const x = init.normal([6, 3, 4], { device });
    const step = () => {
      for (const parameter of model.parameters()) parameter.grad = null;
      const [y, state] = model.forward(x);
      const loss = y.sum();
      loss.backward();
      return [y, loss, ...state];
    };
    tidy(() => void step());
    const before = liveBytes(device);
    for (let i = 0; i < 10; i++) tidy(() => void step());
    expect(device.memory().live).toBeLessThanOrEqual(before);
    for (const kept of step()) kept.dispose();
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });
});

describe("recurrent modules", () => {
  test("parameters start from U(±1/√hidden)", () => {
    manualSeed(5);
    for (const cell of [new nn.RNNCell(50, 100), new nn.LSTMCell(50, 100)]) {
      for (const [name, parameter] of Object.entries(cell.namedParameters())) {
        const values = Array.from(parameter.toTypedArray());
        const largest = Math.max(...values.map(Math.abs));
        expect(largest).toBeLessThanOrEqual(0.1);
        expect(largest).toBeGreaterThan(0.09);
        const variance = values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
        if (name.startsWith("W")) expect(Math.abs(variance / (0.01 / 3) - 1)).toBeLessThan(0.1);
      }
    }
  });

  test("names of parameters, and which there are", () => {
    expect(Object.keys(new nn.LSTM(2, 3, { numLayers: 2 }).stateDict())).toEqual(
      [0, 1].flatMap((i) => ["W_ih", "W_hh", "bias_ih", "bias_hh"].map((name) => `lstmCells.${i}.${name}`)),
    );
    expect(Object.keys(new nn.RNN(2, 3, { bias: false }).stateDict())).toEqual(["rnnCells.0.W_ih", "rnnCells.0.W_hh"]);
    expect(new nn.LSTM(2, 3, { numLayers: 2 }).lstmCells[1]!.W_ih.shape).toEqual([3, 12]);
  });

  test("sizes, options and inputs that do not fit are refused", () => {
    for (const size of [0, -1, 1.5, NaN]) {
      expect(() => new nn.LSTM(size, 2)).toThrow(ArgumentError);
      expect(() => new nn.RNNCell(2, size)).toThrow(ArgumentError);
      expect(() => new nn.RNN(2, 2, { numLayers: size })).toThrow(ArgumentError);
    }
    for (const p of [-0.1, 1.1, NaN]) expect(() => new nn.LSTM(2, 2, { dropout: p })).toThrow(ArgumentError);
    const odd: { nonlinearity?: "relu" } = JSON.parse('{ "nonlinearity": "gelu" }');
    expect(() => new nn.RNN(2, 2, odd)).toThrow(/gelu/);
    const model = new nn.LSTM(3, 2, { numLayers: 2 });
    expect(() => model.forward(init.zeros([4, 3]))).toThrow(/LSTM.*\(4, 3\)/);
    expect(() => model.forward(init.zeros([0, 1, 3]))).toThrow(ShapeError);
    expect(() => model.forward(init.zeros([4, 1, 2]))).toThrow(/\(L, N, 3\).*\(4, 1, 2\)/);
    const [h, wrong] = [init.zeros([2, 1, 2]), init.zeros([1, 1, 2])];
    expect(() => model.forward(init.zeros([4, 1, 3]), [h, wrong])).toThrow(/\(2, 1, 2\)/);
    expect(() => new nn.LSTMCell(3, 2).forward(init.zeros([1, 2, 3]))).toThrow(/LSTMCell.*\(N, 3\)/);
    expect(() => noGrad(() => new nn.RNNCell(3, 2).forward(init.zeros([1, 3]), init.zeros([2, 2])))).toThrow(
      ShapeError,
    );
  });
});
