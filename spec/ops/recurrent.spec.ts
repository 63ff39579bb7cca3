/** Recurrent layers against PyTorch's recorded results, the composed form, and finite differences. */
import { expect, test } from "bun:test";
import { AutogradError, NDArray, nn, noGrad, ops, ShapeError, Tensor, tensor, tidy } from "thimble";

import { checkFamily, type Operation } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { composedGru, composedLstm, composedRnn } from "../support/composed-recurrent.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { product } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

interface Options {
  bias: boolean;
  state: boolean;
  nonlinearity?: ops.Nonlinearity | undefined;
}

/** x, W_ih, W_hh, then the biases and the initial state where there are any. */
function operandsOf({ bias, state }: Options, [x, W_ih, W_hh, ...rest]: readonly Tensor[]) {
  const [bias_ih, bias_hh] = bias ? rest : [];
  const [h0 = null, c0 = null] = state ? rest.slice(bias ? 2 : 0) : [];
  return { x: x!, weights: { W_ih: W_ih!, W_hh: W_hh!, bias_ih, bias_hh }, h0, c0 };
}

type Op = "rnn" | "lstm" | "gru";

/** The native operations and the composed ones, with one signature. */
const forms = {
  native: { rnn: ops.rnn, lstm: ops.lstm, gru: ops.gru },
  composed: { rnn: composedRnn, lstm: composedLstm, gru: composedGru },
};
const layer =
  (form: keyof typeof forms, op: Op): Operation<Options> =>
  (options, ...inputs) => {
    const { x, weights, h0, c0 } = operandsOf(options, inputs);
    if (op === "rnn") return forms[form].rnn(x, h0, weights, options.nonlinearity ?? "tanh");
    if (op === "gru") return forms[form].gru(x, h0, weights);
    return forms[form].lstm(x, h0 && c0 && [h0, c0], weights);
  };

const operations = { rnn: layer("native", "rnn"), lstm: layer("native", "lstm"), gru: layer("native", "gru") };
checkFamily("recurrent", operations, { rtol: 2e-5, atol: 2e-5 });

onEachDevice("recurrent layers", (device) => {
  type Sizes = readonly [steps: number, batch: number, inputs: number, hidden: number];

  /** Operands of a layer, in the order of `operandsOf`, with weights small enough for long sequences. */
  function operands(op: Op, [steps, batch, inputs, hidden]: Sizes, seed = 1): Tensor[] {
    const columns = { rnn: 1, lstm: 4, gru: 3 }[op] * hidden;
    const state = [batch, hidden];
    const shapes = [[steps, batch, inputs], [inputs, columns], [hidden, columns], [columns], [columns], state];
    if (op === "lstm") shapes.push(state);
    const random = new Random(seed);
    return shapes.map((shape, i) => {
      const bound = i === 1 || i === 2 ? 1 / Math.sqrt(hidden) : 1;
      return tensor(random.uniform(product(shape), -bound, bound), { shape, device, requiresGrad: true });
    });
  }

  const flat = (result: Tensor | readonly Tensor[]): Tensor[] => (result instanceof Tensor ? [result] : [...result]);

  // Odd sizes, more than one tile of rows, more than one panel of units, rows that collide in a cache, a long sequence.
  const sizes: readonly Sizes[] = [[6, 3, 5, 7], [3, 33, 4, 37], [2, 4, 3, 256], [60, 2, 3, 16], [1, 1, 1, 1]]; // prettier-ignore
  for (const op of ["rnn", "lstm", "gru"] as const) {
    for (const nonlinearity of op === "rnn" ? (["tanh", "relu"] as const) : [undefined]) {
      for (const size of sizes) {
        test(`${op} ${nonlinearity ?? ""} of (L, N, in, hidden) = (${size.join(", ")}) is its composed form`, () => {
          const options = { bias: true, state: true, nonlinearity };
          const results = (["composed", "native"] as const).map((form) => {
            const inputs = operands(op, size) as [Tensor, Tensor, ...Tensor[]];
            const outputs = flat(layer(form, op)(options, ...inputs));
            const seeds = outputs.map(({ shape }, i) => {
              return tensor(new Random(i + 7).uniform(product(shape)), { shape, device });
            });
            outputs.map((output, i) => output.mul(seeds[i]!).sum()).reduce((a, b) => a.add(b)).backward(); // prettier-ignore
            return outputs.concat(inputs.map(({ grad }) => grad!));
          });
          results[0]!.forEach((array, i) => {
            const expected = { shape: array.shape, values: array.toTypedArray() };
            close(results[1]![i]!, expected, { what: `array ${i}`, rtol: 1e-4, atol: 2e-5 });
          });
        });
      }
    }
  }

  test("gradients agree with finite differences", () => {
    for (const op of ["rnn", "lstm", "gru"] as const) {
      const inputs = operands(op, [4, 2, 3, 5]).map((t) => ({ shape: t.shape, values: t.toTypedArray() }));
      const run = layer("native", op);
      checkGradients(
        (a, b, ...rest) => {
          const [y, c] = flat(run({ bias: true, state: true }, a!, b!, ...rest));
          return c === undefined ? y! : ops.concat([y!.reshape([-1]), c.reshape([-1])], 0);
        },
        inputs,
        { device, step: 5e-3 },
      );
    }
  });

  test("an output that is used twice, and the last cells alone", () => {
    const inputs = operands("lstm", [3, 2, 2, 3]);
    const { x, weights, h0, c0 } = operandsOf({ bias: true, state: true }, inputs);
    const [h, c] = ops.lstm(x, [h0!, c0!], weights);
    h.sum().add(h.slice(-1).sum()).add(c.sum()).add(c.sum()).backward();
    const found = inputs.map(({ grad }) => grad!);
    for (const input of inputs) input.grad = null;
    const [h2, c2] = composedLstm(x, [h0!, c0!], weights);
    h2.sum().add(h2.slice(-1).sum()).add(c2.sum().mul(2)).backward();
    inputs.forEach(({ grad, shape }, i) => close(found[i]!, { shape, values: grad!.toTypedArray() }, { atol: 1e-5 }));

    for (const input of inputs) input.grad = null;
    ops.lstm(x, [h0!, c0!], weights)[1].sum().backward();
    const alone = inputs.map(({ grad }) => grad!);
    for (const input of inputs) input.grad = null;
    composedLstm(x, [h0!, c0!], weights)[1].sum().backward();
    inputs.forEach(({ grad, shape }, i) => close(alone[i]!, { shape, values: grad!.toTypedArray() }, { atol: 1e-5 }));
  });

  test("backward of the second output by itself", () => {
    const inputs = operands("lstm", [2, 2, 2, 2]);
    const { x, weights } = operandsOf({ bias: true, state: false }, inputs);
    const [, c] = ops.lstm(x, null, weights);
    c.backward(tensor([[1, 0], [0, 0]], { device })); // prettier-ignore
    expect(x.grad!.shape).toEqual([2, 2, 2]);
    expect(x.grad!.slice(null, 1).toTypedArray().every((value) => value === 0)).toBe(true); // prettier-ignore
    expect(() => c.backward(tensor([[1, 0], [0, 0]], { device }))).toThrow(AutogradError); // prettier-ignore
    expect(() => (c.requiresGrad = false)).toThrow(AutogradError);
  });

  test("a GRU whose states are used twice, from operands that are views with gradients of their own", () => {
    const made = operands("gru", [3, 4, 5, 6]);
    const run = (form: keyof typeof forms) => {
      for (const each of made) each.grad = null;
      const { x, weights, h0 } = operandsOf({ bias: true, state: true }, made);
      const turned = ops.transpose(x.slice(null, null, [0, 3]), 0, 1);
      const y = forms[form].gru(turned, h0!.slice([0, 3]), { ...weights, W_ih: weights.W_ih.slice([0, 3]) });
      y.mul(y).sum().add(y.slice(-1).sum()).backward();
      return [y, ...made.map(({ grad }) => grad!)].map((each) => each.toTypedArray());
    };
    const expected = run("composed");
    run("native").forEach((values, i) => {
      close(tensor(values), { shape: [values.length], values: expected[i]! }, { what: `array ${i}`, atol: 2e-5 });
    });
  });

  test("a GRU's biases for n are not one: each gradient alone, and with both", () => {
    const { x, weights } = operandsOf({ bias: true, state: true }, operands("gru", [4, 2, 3, 5]));
    const gradients = (ih: boolean, hh: boolean) => {
      const [bias_ih, bias_hh] = [weights.bias_ih!.detach(), weights.bias_hh!.detach()];
      [bias_ih.requiresGrad, bias_hh.requiresGrad] = [ih, hh];
      ops
        .gru(x.detach(), null, { ...weights, bias_ih, bias_hh })
        .sum()
        .backward();
      return [bias_ih.grad?.toTypedArray(), bias_hh.grad?.toTypedArray()];
    };
    const [ofInput, ofState] = gradients(true, true);
    expect(gradients(true, false)).toEqual([ofInput, undefined]);
    expect(gradients(false, true)).toEqual([undefined, ofState]);
    expect(ofInput!.slice(0, 10)).toEqual(ofState!.slice(0, 10));
    expect(ofInput!.slice(10)).not.toEqual(ofState!.slice(10));
  });

  test("an empty batch has empty outputs and zero gradients", () => {
    for (const op of ["rnn", "lstm", "gru"] as const) {
      const inputs = operands(op, [3, 0, 2, 4]);
      const [y] = flat(layer("native", op)({ bias: true, state: true }, inputs[0]!, inputs[1]!, ...inputs.slice(2)));
      expect(y!.shape).toEqual([3, 0, 4]);
      y!.sum().backward();
      expect(inputs[1]!.grad!.abs().sum().item()).toBe(0);
    }
  });

  test.each(["lstm", "gru"] as const)("what %s saved survives tidy and dispose, and is freed by backward", (op) => {
    const [x, ...inputs] = operands(op, [5, 4, 3, 8]) as [Tensor, Tensor, ...Tensor[]];
    const step = () =>
      tidy(() => {
        for (const input of [x, ...inputs]) input.grad = null;
        const [h] = tidy(() => flat(layer("native", op)({ bias: true, state: true }, x.mul(1), ...inputs)));
        const loss = h!.sum();
        h!.dispose();
        loss.backward();
        return loss.item();
      });
    const first = step();
    const live = liveBytes(device);
    for (let i = 0; i < 20; i++) expect(step()).toBe(first);
    expect(device.memory().live).toBeLessThanOrEqual(live);
  });

  test("without gradients nothing is recorded, and the result is the same", () => {
    const { x, weights } = operandsOf({ bias: true, state: false }, operands("lstm", [3, 2, 2, 3]));
    const [recorded] = ops.lstm(x, null, weights);
    const [plain, c] = noGrad(() => ops.lstm(x, null, weights));
    expect([plain.requiresGrad, c.requiresGrad]).toEqual([false, false]);
    expect(plain.toArray()).toEqual(recorded.toArray());
  });

  test("operands that do not fit are named with their shapes", () => {
    const { x, weights, h0, c0 } = operandsOf({ bias: true, state: true }, operands("lstm", [3, 2, 4, 5]));
    const refuse = (run: () => unknown, message: RegExp, type = ShapeError) => {
      expect(run).toThrow(type);
      expect(run).toThrow(message);
    };
    refuse(() => ops.lstm(x.reshape([6, 4]), null, weights), /\(6, 4\)/);
    refuse(() => ops.lstm(x.slice([0, 0]), null, weights), /at least one step/);
    refuse(() => ops.lstm(x.slice(null, null, [0, 3]), null, weights), /W_ih must have shape \(3, 20\)/);
    refuse(() => ops.lstm(x, [h0!, h0!.slice([0, 1])], weights), /initial state must have shape \(2, 5\)/);
    refuse(() => ops.rnn(x, null, weights), /W_ih must have shape \(4, 5\)/);
    refuse(() => ops.gru(x, null, weights), /W_ih must have shape \(4, 15\)/);
    const gru = operandsOf({ bias: true, state: true }, operands("gru", [3, 2, 4, 5]));
    refuse(() => ops.gru(gru.x.slice([0, 0]), null, gru.weights), /^gru: .*at least one step/);
    refuse(() => ops.gru(gru.x, x, gru.weights), /^gru: the initial state must have shape \(2, 5\)/);
    refuse(() => ops.gru(gru.x, null, { ...gru.weights, bias_ih: h0 }), /bias_ih must have shape \(15\)/);
    expect(() => ops.gru(gru.x, null, { ...gru.weights, bias_ih: null })).toThrow(/both biases/);
    refuse(() => ops.lstm(x, [h0!, c0!], { ...weights, bias_hh: h0 }), /bias_hh must have shape \(20\)/);
    expect(() => ops.lstm(x, null, { ...weights, bias_hh: null })).toThrow(/both biases/);
    expect(() => ops.lstm(tensor([[[1]]], { dtype: "int32", device }), null, weights)).toThrow(/float32/);
  });
});

onEachDevice("a sequence whose operands' data are replaced after it ran", (device) => {
  test.each(["LSTM", "RNN", "GRU"] as const)("%s: gradients have the shapes of what it ran on", (kind) => {
    const model = new nn[kind](6, 5, { device });
    const x = tensor(new Float32Array(4 * 3 * 6), { shape: [4, 3, 6], device, requiresGrad: true });
    const [y] = model.forward(x);
    x.data = NDArray.zeros([1, 1, 1], { device });
    y.sum().backward();
    expect(x.grad!.shape).toEqual([4, 3, 6]);
  });
});
