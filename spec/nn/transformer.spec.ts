/** TransformerEncoderLayer against PyTorch's, with its weights transposed. */
import { expect, test } from "bun:test";
import { ArgumentError, manualSeed, NDArray, nn, optim, tensor } from "thimble";

import { recordedTensor } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { liveBytes } from "../support/live-bytes.ts";

interface Case {
  arguments: [number, number];
  options: nn.TransformerEncoderLayerOptions;
  call: { causal: boolean };
  input: Recorded;
  output: Recorded;
  seed: Recorded;
  parameters: Record<string, Recorded>;
  gradients: Record<string, Recorded>;
  inputGradient: Recorded;
}

onEachDevice("TransformerEncoderLayer", (device) => {
  for (const recorded of load<Case[]>("transformer")) {
    const { arguments: sizes, options, call } = recorded;
    test(`(${sizes.join(", ")}), ${JSON.stringify({ ...options, ...call })}`, () => {
      const layer = new nn.TransformerEncoderLayer(...sizes, { ...options, dropout: 0, device });
      const parameters = layer.namedParameters();
      expect(new Set(Object.keys(parameters))).toEqual(new Set(Object.keys(recorded.gradients)));
      for (const [name, parameter] of Object.entries(parameters))
        parameter.set(recordedTensor(recorded.parameters[name]!, device));
      const x = recordedTensor(recorded.input, device, true);
      const y = layer.forward(x, call);
      close(y, recorded.output, { atol: 1e-5, what: "output" });
      y.backward(recordedTensor(recorded.seed, device));
      close(x.grad!, recorded.inputGradient, { atol: 2e-5, what: "input" });
      for (const [name, parameter] of Object.entries(parameters))
        close(parameter.grad!, recorded.gradients[name]!, { rtol: 1e-4, atol: 2e-5, what: name });
    });
  }

  const x = () =>
    tensor(
      NDArray.from(
        new Float32Array(24).map((_, i) => Math.sin(i)),
        { shape: [2, 3, 4], device },
      ),
    );

  test("dropout is for training, and a step's memory comes back", () => {
    const layer = new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 8, dropout: 0.5, device });
    expect(layer.forward(x()).toArray()).not.toEqual(layer.forward(x()).toArray());
    layer.eval();
    expect(layer.forward(x()).toArray()).toEqual(layer.forward(x()).toArray());
    layer.train();
    const given = x();
    const step = () => {
      using y = layer.forward(given, { causal: true });
      using loss = y.sum();
      loss.backward();
      for (const parameter of layer.parameters()) parameter.grad = null;
    };
    step();
    const before = liveBytes(device);
    step();
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });

  test("a stack of them learns to say its input one position later", () => {
    manualSeed(3);
    const options = { dimFeedforward: 32, dropout: 0, normFirst: true, activation: "gelu", device } as const;
    const layers = [new nn.TransformerEncoderLayer(16, 2, options), new nn.TransformerEncoderLayer(16, 2, options)];
    const embedding = new nn.Embedding(5, 16, { device });
    const places = new nn.Embedding(6, 16, { device });
    const head = new nn.Linear(16, 5, { device });
    const all = [...layers, embedding, places, head].flatMap((module) => module.parameters());
    const words = [[1, 2, 3, 4, 0, 1], [2, 4, 1, 3, 3, 0], [4, 4, 0, 2, 1, 1]]; // prettier-ignore
    const ids = tensor(words, { dtype: "int32", device });
    const labels = tensor(words.flatMap((row) => [0].concat(row.slice(0, -1))), { dtype: "int32", device }); // prettier-ignore
    const order = tensor([0, 1, 2, 3, 4, 5], { dtype: "int32", device });
    const opt = new optim.Adam(all, { lr: 0.01 });
    let last = Infinity;
    for (let i = 0; i < 60; i++) {
      opt.zeroGrad();
      const start = embedding.forward(ids).add(places.forward(order));
      const y = layers.reduce((h, layer) => layer.forward(h, { causal: true }), start);
      const loss = new nn.SoftmaxLoss().forward(head.forward(y).reshape([-1, 5]), labels);
      loss.backward();
      opt.step();
      last = loss.item();
    }
    expect(last).toBeLessThan(0.3);
  }, 60_000);

  test("errors say what is wrong", () => {
    const make = (options: object) => () => new nn.TransformerEncoderLayer(4, 2, { ...options, device });
    expect(make({ activation: "tanh" })).toThrow(/activation is "relu" or "gelu"/);
    expect(make({ normFirst: 1 })).toThrow(/normFirst/);
    expect(make({ dropout: 2 })).toThrow(ArgumentError);
    expect(make({ dimFeedforward: 0 })).toThrow(/dimFeedforward/);
    expect(make({ heads: 2 })).toThrow(/no option 'heads'/);
    expect(() => new nn.TransformerEncoderLayer(5, 2, { device })).toThrow(/no multiple of numHeads/);
  });
});
