/** MultiheadAttention against PyTorch's, with its weights transposed. */
import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { ArgumentError, manualSeed, NDArray, nn, noGrad, ShapeError, tensor } from "thimble";

import { recordedTensor } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { liveBytes } from "../support/live-bytes.ts";

interface Case {
  arguments: [number, number];
  options: { bias: boolean };
  inputs: [Recorded, ...Recorded[]];
  call: { causal: boolean };
  mask: Recorded | null;
  parameters: Record<string, Recorded>;
  output: Recorded;
  seed: Recorded;
  gradients: Record<string, Recorded>;
  inputGradients: Recorded[];
}

onEachDevice("MultiheadAttention", (device) => {
  const cases = load<Case[]>("attention-modules");
  cases.forEach((recorded, at) => {
    const { arguments: sizes, options, inputs, call } = recorded;
    test(`${at}: (${sizes.join(", ")}) of ${inputs.length} inputs, ${JSON.stringify({ ...options, ...call })}`, () => {
      const module = new nn.MultiheadAttention(...sizes, { ...options, device });
      const parameters = module.namedParameters();
      expect(Object.keys(parameters)).toEqual(Object.keys(recorded.gradients).sort(byPlace));
      for (const [name, parameter] of Object.entries(parameters)) {
        parameter.set(recordedTensor(recorded.parameters[name]!, device));
      }
      const [query, ...others] = inputs.map((input) => recordedTensor(input, device, true)) as [Tensor, ...Tensor[]];
      const mask = recorded.mask === null ? null : recordedTensor(recorded.mask, device);
      const y = module.forward(query, others[0], others[1], { ...call, mask });
      close(y, recorded.output, { what: "output" });
      y.backward(recordedTensor(recorded.seed, device));
      [query, ...others].forEach((x, i) =>
        close(x.grad!, recorded.inputGradients[i]!, { atol: 1e-5, what: `input ${i}` }),
      );
      for (const [name, parameter] of Object.entries(parameters)) {
        close(parameter.grad!, recorded.gradients[name]!, { atol: 1e-5, what: name });
      }
    });
  });

  test("starts as PyTorch's: Xavier-uniform, U(±1/√E), no bias", () => {
    manualSeed(1);
    const { inProj, outProj } = new nn.MultiheadAttention(64, 4, { device });
    const span = (t: Tensor) => Math.max(...t.toTypedArray().map(Math.abs));
    expect(span(inProj.weight) / Math.sqrt(6 / 256)).toBeGreaterThan(0.99);
    expect(span(inProj.weight) / Math.sqrt(6 / 256)).toBeLessThanOrEqual(1.000001);
    expect(span(outProj.weight) * 8).toBeGreaterThan(0.99);
    expect(span(outProj.weight) * 8).toBeLessThanOrEqual(1.000001);
    expect([span(inProj.bias!), span(outProj.bias!)]).toEqual([0, 0]);
    const bare = new nn.MultiheadAttention(4, 2, { bias: false, device });
    expect(Object.keys(bare.namedParameters())).toEqual(["inProj.weight", "outProj.weight"]);
  });

  test("dropout is for training; a container runs it as a layer, and memory comes back", () => {
    const model = new nn.Sequential(
      new nn.Linear(4, 4, { device }),
      new nn.MultiheadAttention(4, 2, { dropout: 0.5, device }),
    );
    const x = tensor(
      NDArray.from(
        new Float32Array(24).map((_, i) => Math.sin(i)),
        { shape: [2, 3, 4], device },
      ),
    );
    expect(model.forward(x).toArray()).not.toEqual(model.forward(x).toArray());
    model.eval();
    expect(model.forward(x).toArray()).toEqual(model.forward(x).toArray());
    const step = () => {
      using y = model.forward(x);
      y.backward(NDArray.ones([2, 3, 4], { device }));
      for (const p of model.parameters()) p.grad = null;
      noGrad(() => model.forward(x)).dispose();
    };
    step();
    const before = liveBytes(device);
    step();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });

  test("keyMask hides keys of each batch, together with a mask of either type and with causal", () => {
    const module = new nn.MultiheadAttention(4, 2, { device });
    const x = tensor(
      NDArray.from(
        new Float32Array(36).map((_, i) => Math.sin(i)),
        { shape: [3, 3, 4], device },
      ),
    );
    const keyMask = tensor([[1, 0, 1], [1, 1, 0], [1, 1, 1]], { dtype: "int32", device }); // prettier-ignore
    const pairs = [[1, 1, 0], [0, 1, 1], [1, 0, 1]]; // prettier-ignore
    const keys = keyMask.toArray() as number[][];
    const both = keys.map((row) => [pairs.map((pair) => pair.map((p, j) => p * row[j]!))]);
    const by = (options: nn.MultiheadAttentionCall) => module.forward(x, x, x, options).toArray();
    expect(by({ keyMask })).toEqual(by({ mask: keyMask.reshape([3, 1, 1, 3]) }));
    expect(by({ keyMask, causal: true })).toEqual(by({ mask: keyMask.reshape([3, 1, 1, 3]), causal: true }));
    const expected = by({ mask: tensor(both, { dtype: "int32", device }) });
    expect(expected).not.toEqual(by({ keyMask }));
    expect(by({ keyMask, mask: tensor(pairs, { dtype: "int32", device }) })).toEqual(expected);
    const added = tensor(pairs.map((row) => row.map((p) => (p === 1 ? 0 : -Infinity))), { device }); // prettier-ignore
    expect(by({ keyMask, mask: added })).toEqual(expected);
    expect(by({ keyMask: null })).toEqual(by({}));
  });

  test("errors say what is wrong", () => {
    const module = new nn.MultiheadAttention(4, 2, { device });
    const x = tensor(NDArray.zeros([2, 3, 4], { device }));
    expect(() => new nn.MultiheadAttention(5, 2)).toThrow("embedDim 5 is no multiple of numHeads 2");
    expect(() => new nn.MultiheadAttention(4, 0)).toThrow(ArgumentError);
    expect(() => new nn.MultiheadAttention(4, 2, { dropout: 2 })).toThrow("dropout");
    // @ts-expect-error: PyTorch's name
    expect(() => new nn.MultiheadAttention(4, 2, { batchFirst: true })).toThrow("no option 'batchFirst'");
    // @ts-expect-error: PyTorch's name
    expect(() => module.forward(x, x, x, { isCausal: true })).toThrow("no option 'isCausal'");
    expect(() => module.forward(x.reshape([6, 4]))).toThrow("takes a query (N, length, 4)");
    expect(() => module.forward(x, x.reshape([3, 2, 4]))).toThrow("key and value (N, S, E)");
    expect(() => module.forward(x, x, x, { mask: tensor(NDArray.ones([2, 3, 3], { device })) })).toThrow(ShapeError);
    expect(() => module.forward(x, x, x, { mask: tensor(NDArray.ones([4, 3], { device })) })).toThrow(
      "(N, S), is the option keyMask",
    );
    const keys = (shape: number[]) => tensor(NDArray.ones(shape, { dtype: "int32", device }));
    expect(() => module.forward(x, x, x, { keyMask: keys([3, 2]) })).toThrow("takes a keyMask (N, S), here (2, 3)");
    expect(() => module.forward(x, x, x, { keyMask: keys([3]) })).toThrow(ShapeError);
    expect(() => module.forward(x, x, x, { keyMask: tensor(NDArray.ones([2, 3], { device })) })).toThrow(
      "keyMask must be int32",
    );
    // @ts-expect-error: no tensor
    expect(() => module.forward(x, x, x, { keyMask: [[1, 1, 1]] })).toThrow("keyMask must be a Tensor");
  });
});

const PLACES = ["inProj.weight", "inProj.bias", "outProj.weight", "outProj.bias"];
const byPlace = (a: string, b: string) => PLACES.indexOf(a) - PLACES.indexOf(b);
