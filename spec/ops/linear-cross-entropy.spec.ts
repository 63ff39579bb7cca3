/** The linear layer with its cross-entropy in one, against the two operations one after the other. */
import { expect, test } from "bun:test";
import { nn, noGrad, ops, type Tensor, tensor, tidy } from "thimble";

import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";

interface Sizes {
  rows: number;
  features: number;
  classes: number;
  /** The weight is a transposed view, as where it is an embedding's table. */
  tied?: boolean;
  bias?: boolean;
  /** Of the weight: large ones give probabilities of 0 and 1. */
  scale?: number;
}

onEachDevice("linearCrossEntropy", (device) => {
  const make = ({ rows, features, classes, tied = false, bias = true, scale = 1 }: Sizes) => {
    const random = new Random(rows + features + classes);
    const leaf = (...shape: number[]) =>
      tensor(
        random.uniform(
          shape.reduce((a, b) => a * b),
          -scale,
          scale,
        ),
        { shape, device, requiresGrad: true },
      );
    const [x, table] = [leaf(rows, features), tied ? leaf(classes, features) : leaf(features, classes)];
    const labels = tensor(
      Int32Array.from({ length: rows }, (_, row) => (row * 7919) % classes),
      { device },
    );
    return { x, table, weight: tied ? table.transpose() : table, b: bias ? leaf(classes) : null, labels };
  };
  const gradientsOf = (loss: Tensor, leaves: readonly (Tensor | null)[]) => {
    loss.backward();
    return leaves.map((leaf) => {
      if (leaf === null) return null;
      const { shape } = leaf.grad!;
      const values = leaf.grad!.toTypedArray();
      leaf.grad = null;
      return { shape, values };
    });
  };

  const problems: Sizes[] = [
    { rows: 1, features: 1, classes: 1 },
    { rows: 5, features: 3, classes: 2, bias: false },
    { rows: 33, features: 17, classes: 100, tied: true },
    { rows: 7, features: 450, classes: 65 }, // more than one run of K
    { rows: 401, features: 8, classes: 70 }, // more than one block of rows
    { rows: 401, features: 8, classes: 70, tied: true, bias: false },
    { rows: 20, features: 30, classes: 333, scale: 8 },
  ];
  for (const sizes of problems) {
    const { rows, features, classes, tied, bias = true, scale = 1 } = sizes;
    const name = `${rows} × ${features} to ${classes}${tied ? ", tied" : ""}${bias ? "" : ", no bias"}`;
    test(`${name}: loss, rows that are right, and gradients are those of the two operations`, () => {
      const { x, table, weight, b, labels } = make(sizes);
      const logits = ops.linear(x, weight, b);
      const separate = ops.crossEntropy(logits, labels);
      const right = logits.data.argMax({ axes: 1 }).equal(labels.data).sum().item();
      const expected = gradientsOf(separate, [x, table, b]);
      const { loss, correct } = ops.linearCrossEntropy(x, tied ? table.transpose() : table, b, labels);
      closeNumber(loss.item(), separate.item(), { rtol: 1e-5 });
      expect([loss.shape, correct.shape, correct.requiresGrad, correct.item()]).toEqual([[], [], false, right]);
      const tolerance = { rtol: 1e-4, atol: (2e-6 * scale * scale) / Math.min(rows, 20) };
      gradientsOf(loss, [x, table, b]).forEach((gradient, i) => {
        if (gradient !== null) close(gradient, expected[i]!, { ...tolerance, what: `gradient ${i}` });
      });
    });
  }

  test("gradients agree with finite differences", () => {
    const random = new Random(3);
    const values = (...shape: number[]) => ({
      shape,
      values: random.uniform(
        shape.reduce((a, b) => a * b),
        -1,
        1,
      ),
    });
    const labels = tensor([3, 0, 6, 6, 2], { dtype: "int32", device });
    const loss = (x: Tensor, w: Tensor, b: Tensor) => ops.linearCrossEntropy(x, w, b, labels).loss;
    checkGradients(loss, [values(5, 4), values(4, 7), values(7)], { device });
  });

  test("only what needs a gradient gets one, scaled by what follows, and added to what is there", () => {
    const { x, weight, labels } = make({ rows: 6, features: 4, classes: 9 });
    x.requiresGrad = false;
    const once = () => ops.linearCrossEntropy(x, weight, null, labels).loss;
    once().backward();
    const first = Array.from(weight.grad!.toTypedArray());
    expect(x.grad).toBe(null);
    once().mul(-3).backward();
    close(weight.grad!, { shape: [4, 9], values: first.map((g) => -2 * g) }, { rtol: 1e-5 });
    noGrad(() => expect(once().requiresGrad).toBe(false));
  });

  test("operands that are views", () => {
    const { x, weight, b, labels } = make({ rows: 12, features: 6, classes: 40 });
    const [rows, columns] = [x.slice([0, 12, 2]), weight.slice(null, [3, 30])]; // each has gaps
    const part = labels.slice([0, 6]);
    for (const w of [columns, weight.flip(1).slice(null, [0, 27])]) {
      const expected = ops.crossEntropy(ops.linear(rows, w, b!.slice([5, 32])), clamp(part, 27));
      closeNumber(ops.linearCrossEntropy(rows, w, b!.slice([5, 32]), clamp(part, 27)).loss.item(), expected.item());
    }
  });
  const clamp = (labels: Tensor, classes: number): Tensor =>
    tensor(
      Int32Array.from(labels.toTypedArray(), (label) => label % classes),
      { device },
    );

  test("ties and NaN: the first largest logit is what a row is taken for", () => {
    const zeros = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b)), { shape, device });
    const labels = tensor([0, 1, 39], { dtype: "int32", device });
    const { loss, correct } = ops.linearCrossEntropy(zeros(3, 2), zeros(2, 40), null, labels);
    closeNumber(loss.item(), Math.log(40));
    expect(correct.item()).toBe(1);
    const bad = tensor([[NaN, 0], [0, 0], [0, 0]], { device }); // prettier-ignore
    expect(ops.linearCrossEntropy(bad, zeros(2, 40), null, labels).loss.item()).toBe(NaN);
  });

  test("labels outside the classes are refused, and the row is named", () => {
    const { x, weight, b } = make({ rows: 5, features: 3, classes: 7 });
    for (const label of [7, -1]) {
      const labels = tensor([0, 1, label, 2, 3], { dtype: "int32", device });
      expect(() => ops.linearCrossEntropy(x, weight, b, labels).loss.item()).toThrow(new RegExp(`${label} of row 2`));
    }
  });

  test("the logits are never all in arrays at once", () => {
    const { x, table, b, labels } = make({ rows: 400, features: 2, classes: 1000 });
    const peakOf = (run: () => Tensor): number => {
      const before = liveBytes(device);
      device.resetPeakMemory();
      tidy(() => void run());
      return device.memory().peak - before;
    };
    const logitBytes = 4 * 400 * 1000;
    expect(peakOf(() => ops.crossEntropy(ops.linear(x, table, b), labels))).toBeGreaterThan(2 * logitBytes);
    expect(peakOf(() => ops.linearCrossEntropy(x, table, b, labels).loss)).toBeLessThan(logitBytes / 4);
  });

  test("as the method of Linear", () => {
    const linear = new nn.Linear(3, 7, { device });
    const { x, labels } = make({ rows: 5, features: 3, classes: 7 });
    const { loss } = linear.crossEntropy(x, labels);
    closeNumber(loss.item(), ops.crossEntropy(linear.forward(x), labels).item());
    loss.backward();
    expect([linear.weight.grad?.shape, linear.bias?.grad?.shape]).toEqual([[3, 7], [7]]);
  });
});

test("the bias's gradient loses nothing over many rows", () => {
  const [rows, classes] = [200_000, 3];
  const random = new Random(3);
  const x = tensor(random.uniform(rows), { shape: [rows, 1] });
  const bias = tensor([0, 0.5, 1], { requiresGrad: true });
  const labels = tensor(new Int32Array(rows));
  ops.linearCrossEntropy(x, tensor([[1, -1, 0.5]]), bias, labels).loss.backward(); // prettier-ignore
  const expected = new Array<number>(classes).fill(0);
  for (const value of x.toTypedArray()) {
    const powers = [1, -1, 0.5].map((w, k) => Math.exp(w * value + k / 2));
    const sum = powers.reduce((a, b) => a + b);
    for (let k = 0; k < classes; k++) expected[k]! += (powers[k]! / sum - (k === 0 ? 1 : 0)) / rows;
  }
  close(bias.grad!, { shape: [classes], values: expected }, { rtol: 1e-6, atol: 0 });
});
