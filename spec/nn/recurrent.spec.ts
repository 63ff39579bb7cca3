/** Recurrent modules against PyTorch's recorded results, and what they promise beyond values. */
import { describe, expect, test } from "bun:test";
import { ArgumentError, init, manualSeed, NDArray, nn, noGrad, ops, ShapeError, Tensor, tidy } from "thimble";

import { recordedTensor } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { composedLstm } from "../support/composed-recurrent.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { liveBytes } from "../support/live-bytes.ts";

interface ModuleCase {
  op: "RNNCell" | "LSTMCell" | "GRUCell" | "RNN" | "LSTM" | "GRU";
  arguments: [number, number];
  options: {
    numLayers?: number;
    bias?: boolean;
    nonlinearity?: ops.Nonlinearity;
    bidirectional?: boolean;
    batchFirst?: boolean;
  };
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

  test("GRU cells step by step are the layers, states and gradients too", () => {
    const model = new nn.GRU(3, 4, { numLayers: 2, device });
    const [x, h0] = [init.normal([5, 2, 3], { device }), init.normal([2, 2, 4], { device })];
    const gradients = (outputs: Tensor, last: Tensor) => {
      outputs.mul(outputs).sum().add(last.sum()).backward();
      const found = [outputs, last, ...model.parameters().map(({ grad }) => grad!)].map((each) => each.toTypedArray());
      for (const parameter of model.parameters()) parameter.grad = null;
      return found;
    };
    let [first, second] = ops.split(h0, 0) as [Tensor, Tensor];
    const steps = ops.split(x, 0).map((step) => {
      first = model.gruCells[0]!.forward(step, first);
      return (second = model.gruCells[1]!.forward(first, second));
    });
    const expected = gradients(ops.stack(steps), ops.stack([first, second]));
    gradients(...model.forward(x, h0)).forEach((values, i) => {
      close(ops.reshape(new Tensor(NDArray.from(values)), [-1]), { shape: [values.length], values: expected[i]! }, { what: `array ${i}`, atol: 1e-5 }); // prettier-ignore
    });
  });

  test("a GRU of a batch of one, hidden of one, one step; and one in two halves, the state carried", () => {
    const cell = new nn.GRUCell(2, 1, { device });
    const x = init.normal([1, 1, 2], { device });
    const one = new nn.GRU(2, 1, { device });
    one.gruCells[0]!.loadStateDict(cell.stateDict());
    const [y, h] = one.forward(x);
    expect([y.shape, h.shape]).toEqual([[1, 1, 1], [1, 1, 1]]); // prettier-ignore
    expect(y.toArray()).toEqual(h.toArray());
    expect(cell.forward(x.reshape([1, 2])).toArray()).toEqual([[y.item()]]);

    const model = new nn.GRU(3, 6, { numLayers: 2, device });
    const words = init.normal([8, 2, 3], { device });
    const [whole, last] = model.forward(words);
    const [early, state] = model.forward(words.slice([0, 5]));
    const [late, end] = model.forward(words.slice([5, 8]), state);
    expect(ops.concat([early, late], 0).toArray()).toEqual(whole.toArray());
    expect(end.toArray()).toEqual(last.toArray());
    expect(model.forward(words.slice(null, [0, 0]))[0].shape).toEqual([8, 0, 6]);
  });

  test.each(["RNN", "LSTM", "GRU"] as const)(
    "%s: the backward direction is the layer of its cells, of the steps reversed",
    (kind) => {
      const both = new nn[kind](3, 4, { bidirectional: true, device });
      const reverse = new nn[kind](3, 4, { device });
      const dict = Object.entries(both.stateDict()).filter(([name]) => name.includes("Reverse"));
      reverse.loadStateDict(Object.fromEntries(dict.map(([name, value]) => [name.replace("Reverse", ""), value])));
      for (const [steps, batch] of [
        [5, 2],
        [1, 1],
        [3, 0],
      ] as const) {
        // prettier-ignore
        const x = init.normal([steps, batch, 3], { device });
        const [y, ...states] = flat(both.forward(x));
        const [expected, ...last] = flat(reverse.forward(ops.flip(x, 0)));
        expect(y!.shape).toEqual([steps, batch, 8]);
        expect(y!.slice(null, null, [4, 8]).toArray()).toEqual(ops.flip(expected!, 0).toArray());
        expect(states.map((state) => state.shape)).toEqual(last.map(() => [2, batch, 4]));
        expect(states.map((state) => state.slice(1).toArray())).toEqual(last.map((state) => state.slice(0).toArray()));
      }
    },
  );

  test("batchFirst turns inputs, of any layout, and outputs, not states", () => {
    const options = { numLayers: 2, bidirectional: true, device };
    const plain = new nn.LSTM(3, 4, options);
    const turned = new nn.LSTM(3, 4, { ...options, batchFirst: true });
    turned.loadStateDict(plain.stateDict());
    const x = init.normal([5, 2, 3], { device });
    const state = [init.normal([4, 2, 4], { device }), init.normal([4, 2, 4], { device })] as const;
    const [y, last] = plain.forward(x, state);
    const [z, end] = turned.forward(x.transpose(0, 1), state);
    expect(z.transpose(0, 1).toArray()).toEqual(y.toArray());
    expect(end.map((each) => each.toArray())).toEqual(last.map((each) => each.toArray()));
    const rows = ops.flip(ops.flip(x.transpose(0, 1)).reshape([2, 5, 3]));
    expect(turned.forward(rows, state)[0].toArray()).toEqual(z.toArray());
  });

  test("dropout between layers zeroes both directions' outputs", () => {
    const options = { numLayers: 2, bidirectional: true, device };
    const model = new nn.GRU(2, 3, { ...options, dropout: 1 });
    const x = init.normal([3, 2, 2], { device });
    const plain = new nn.GRU(2, 3, options);
    plain.loadStateDict(model.stateDict());
    const [first, second] = [0, 1].map((i) => [plain.gruCells[i]!, plain.gruCellsReverse[i]!] as const);
    for (const parameter of first!.flatMap((cell) => cell.parameters())) parameter.set(0);
    const expected = plain.forward(x)[0].toArray(); // cells whose weights are zero give zeros
    expect(model.forward(x)[0].toArray()).toEqual(expected);
    expect(second![1].W_ih.shape).toEqual([6, 9]);
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

  test.each([
    ["LSTM", false],
    ["GRU", false],
    ["RNN", true],
    ["LSTM", true],
    ["GRU", true],
  ] as const)(
    "a loop of an %s, bidirectional: %j, holds no more memory, with and without tidy",
    (kind, bidirectional) => {
      const options = { numLayers: 2, bidirectional, batchFirst: bidirectional, device };
      const model = new nn[kind](4, 8, options);
      const x = init.normal([6, 3, 4], { device });
      const step = () => {
        for (const parameter of model.parameters()) parameter.grad = null;
        const outputs = flat(model.forward(x));
        const loss = outputs[0]!.sum();
        loss.backward();
        return [loss, ...outputs];
      };
      tidy(() => void step());
      const before = liveBytes(device);
      for (let i = 0; i < 10; i++) tidy(() => void step());
      expect(device.memory().live).toBeLessThanOrEqual(before);
      for (const kept of step()) kept.dispose();
      expect(device.memory().live).toBeLessThanOrEqual(before);
    },
  );
});

describe("recurrent modules", () => {
  test("parameters start from U(±1/√hidden)", () => {
    manualSeed(5);
    for (const cell of [new nn.RNNCell(50, 100), new nn.LSTMCell(50, 100), new nn.GRUCell(50, 100)]) {
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
    const both = new nn.LSTM(2, 3, { numLayers: 2, bidirectional: true });
    expect(Object.keys(both.stateDict())).toEqual(
      ["lstmCells", "lstmCellsReverse"].flatMap((cells) =>
        [0, 1].flatMap((i) => ["W_ih", "W_hh", "bias_ih", "bias_hh"].map((name) => `${cells}.${i}.${name}`)),
      ),
    );
    expect([both.lstmCells, both.lstmCellsReverse].map((cells) => cells.map(({ W_ih }) => W_ih.shape))).toEqual([
      [[2, 12], [6, 12]],
      [[2, 12], [6, 12]],
    ]); // prettier-ignore
    const { gruCells } = new nn.GRU(2, 3, { numLayers: 2, bias: false });
    expect(gruCells.map(({ W_ih, W_hh }) => [W_ih.shape, W_hh.shape])).toEqual([[[2, 9], [3, 9]], [[3, 9], [3, 9]]]); // prettier-ignore
    expect(Object.keys(new nn.GRU(2, 3).stateDict())).toEqual(
      ["W_ih", "W_hh", "bias_ih", "bias_hh"].map((name) => `gruCells.0.${name}`),
    );
  });

  test("sizes, options and inputs that do not fit are refused", () => {
    for (const size of [0, -1, 1.5, NaN]) {
      expect(() => new nn.LSTM(size, 2)).toThrow(ArgumentError);
      expect(() => new nn.RNNCell(2, size)).toThrow(ArgumentError);
      expect(() => new nn.RNN(2, 2, { numLayers: size })).toThrow(ArgumentError);
      expect(() => new nn.GRU(2, size)).toThrow(/^GRUCell: hiddenSize/);
      expect(() => new nn.GRU(2, 2, { numLayers: size })).toThrow(/^GRU: numLayers/);
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
    const gru = new nn.GRU(3, 2, { numLayers: 2 });
    expect(() => gru.forward(init.zeros([0, 1, 3]))).toThrow(/^GRU: .*at least one step/);
    expect(() => gru.forward(init.zeros([4, 1, 2]))).toThrow(/^GRU: .*\(L, N, 3\).*\(4, 1, 2\)/);
    expect(() => gru.forward(init.zeros([4, 1, 3]), wrong)).toThrow(/^GRU: .*\(2, 1, 2\)/);
    expect(() => new nn.GRUCell(3, 2).forward(init.zeros([1, 2]))).toThrow(/^GRUCell: .*\(N, 3\)/);
    expect(() => new nn.GRUCell(3, 2).forward(init.zeros([1, 3]), init.zeros([2, 2]))).toThrow(ShapeError);
    const both = new nn.GRU(3, 2, { bidirectional: true, batchFirst: true });
    expect(() => both.forward(init.zeros([1, 0, 3]))).toThrow(
      /^GRU: takes a sequence \(N, L, 3\) of at least one step/,
    );
    expect(() => both.forward(init.zeros([4, 1, 3]), init.zeros([2, 1, 2]))).toThrow(/^GRU: .*\(2, 4, 2\)/);
    expect(() => both.forward(init.zeros([4, 1, 3]), init.zeros([1, 4, 2]))).toThrow(/^GRU: .*\(2, 4, 2\)/);
    expect(both.forward(init.zeros([4, 1, 3]), init.zeros([2, 4, 2]))[0].shape).toEqual([4, 1, 4]);
    for (const name of ["bidirectional", "batchFirst"])
      for (const Layer of [nn.RNN, nn.LSTM, nn.GRU])
        expect(() => Reflect.construct(Layer, [3, 2, { [name]: 1 }])).toThrow(
          new RegExp(`^${Layer.name}: ${name} must be true or false`),
        );
    expect(() => Reflect.construct(nn.GRUCell, [3, 2, { bidirectional: true }])).toThrow(/no option 'bidirectional'/);
    const unknown: object = { nonlinearity: "tanh" };
    expect(() => new nn.GRU(3, 2, unknown)).toThrow(/^GRU: there is no option .?nonlinearity/);
    expect(() => noGrad(() => new nn.RNNCell(3, 2).forward(init.zeros([1, 3]), init.zeros([2, 2])))).toThrow(
      ShapeError,
    );
  });
});
