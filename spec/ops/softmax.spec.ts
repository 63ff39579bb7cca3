import { expect, test } from "bun:test";
import { nn, ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { Random } from "../support/random.ts";

checkFamily<{ axis?: number }>("softmax", {
  softmax: ({ axis }, a) => ops.softmax(a, axis),
  logSoftmax: ({ axis }, a) => ops.logSoftmax(a, axis),
  loss: (_, logits, labels) => new nn.SoftmaxLoss().forward(logits, labels),
});

onEachDevice("softmax", (device) => {
  const random = new Random(1);
  const logits = { shape: [5, 7], values: random.uniform(35, -3, 3) };

  test("rows sum to one, and the logarithm is the logarithm", () => {
    const x = tensor(random.uniform(1000 * 37, -50, 50), { shape: [1000, 37], device });
    const y = ops.softmax(x);
    close(ops.sum(y, { axes: 1 }), { shape: [1000], values: new Float32Array(1000).fill(1) }, { rtol: 2e-6 });
    close(ops.exp(ops.logSoftmax(x)), { shape: [1000, 37], values: y.toTypedArray() }, { rtol: 1e-5 });
  });

  test("adding a constant to a row changes nothing", () => {
    const x = tensor([[1, 2, 3], [0, 0, 5]], { device }); // prettier-ignore
    close(ops.softmax(ops.add(x, 1000)), { shape: [2, 3], values: ops.softmax(x).toTypedArray() }, { rtol: 1e-4 });
  });

  test("the loss is the mean of -logSoftmax at the labels, and of equal logits the logarithm of their number", () => {
    const labels = [3, 0, 6, 6, 2];
    const x = tensor(logits.values, { shape: [5, 7], device });
    const picked = ops.logSoftmax(x).toTypedArray();
    const mean = labels.reduce((sum, label, row) => sum - picked[row * 7 + label]! / 5, 0);
    const loss = new nn.SoftmaxLoss().forward(x, tensor(labels, { dtype: "int32", device }));
    expect(loss.shape).toEqual([]);
    closeNumber(loss.item(), mean);
    const even = new nn.SoftmaxLoss().forward(tensor([[4, 4, 4]], { device }), tensor([1], { dtype: "int32", device }));
    closeNumber(even.item(), Math.log(3));
  });

  test("the gradient of the loss is scaled by what follows it", () => {
    const x = tensor(logits.values, { shape: [5, 7], device, requiresGrad: true });
    const labels = tensor([3, 0, 6, 6, 2], { dtype: "int32", device });
    const gradient = (factor: number): ArrayLike<number> => {
      x.grad = null;
      ops.mul(new nn.SoftmaxLoss().forward(x, labels), factor).backward();
      return x.grad!.toTypedArray();
    };
    const once = gradient(1);
    close({ shape: [35], values: gradient(-3) }, { shape: [35], values: Array.from(once, (v) => -3 * v) });
  });

  test("gradients agree with finite differences", () => {
    const labels = tensor([3, 0, 6, 6, 2], { dtype: "int32", device });
    checkGradients((x) => ops.softmax(x, 0), [logits], { device });
    checkGradients((x) => ops.logSoftmax(x, 1), [logits], { device });
    checkGradients((x) => new nn.SoftmaxLoss().forward(x, labels), [logits], { device });
  });

  // A device that works asynchronously finds out later: it says so when its results are read.
  test("labels outside the classes are refused, and the row is named", () => {
    for (const label of [7, -1, 2 ** 31 - 1]) {
      const labels = tensor([0, 1, label, 2, 3], { dtype: "int32", device });
      const x = tensor(logits.values, { shape: [5, 7], device });
      expect(() => new nn.SoftmaxLoss().forward(x, labels).item()).toThrow(new RegExp(`${label}`));
    }
  });
});

onEachDevice("of a scalar", (device) => {
  test("softmax is one, and reductions along its axis 0 leave it, as PyTorch's", () => {
    const x = tensor(3, { device, requiresGrad: true });
    expect([x.softmax().item(), x.logSoftmax(0).item(), x.sum(-1).item(), x.mean(0).item()]).toEqual([1, 0, 3, 3]);
    x.softmax().add(x.max(0)).backward();
    expect(x.grad!.item()).toBe(1);
    expect(() => x.softmax(1)).toThrow(/^softmax: axis 1/);
    expect(() => x.sum(1)).toThrow(/^sum: axis 1/);
  });
});
