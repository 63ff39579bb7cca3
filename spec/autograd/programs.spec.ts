/** Random expression graphs, with shared parts, views and broadcasting: their gradients against finite differences. */
import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { ops } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { Random } from "../support/random.ts";

/** A smooth random function of two (3, 4) tensors; the same seed builds the same one. */
function build(seed: number): { operation: (a: Tensor, b: Tensor) => Tensor; names: string[] } {
  const names: string[] = [];
  const operation = (a: Tensor, b: Tensor): Tensor => {
    names.length = 0;
    const random = new Random(seed);
    // Everything has shape (3, 4), so that any two can be combined.
    const known = [a, b];
    const combinations: Record<string, (x: Tensor, y: Tensor) => Tensor> = {
      add: (x, y) => ops.add(x, y),
      sub: (x, y) => ops.sub(x, y),
      mul: (x, y) => ops.mul(x, y),
      div: (x, y) => ops.div(x, ops.add(ops.mul(y, y), 1)),
      tanh: (x) => ops.tanh(x),
      sigmoid: (x) => ops.sigmoid(x),
      exp: (x) => ops.exp(ops.tanh(x)),
      log: (x) => ops.log(ops.add(ops.mul(x, x), 1)),
      sqrt: (x) => ops.sqrt(ops.add(ops.mul(x, x), 1)),
      pow: (x) => ops.pow(ops.add(ops.sigmoid(x), 0.5), -1.5),
      matmul: (x, y) => ops.matmul(ops.matmul(x, ops.transpose(y)), ops.mul(x, 0.2)),
      softmax: (x) => ops.softmax(x, random.integer(0, 1)),
      logSoftmax: (x) => ops.logSoftmax(x, random.integer(0, 1)),
      sum: (x, y) => ops.mul(ops.tanh(ops.sum(x, { axes: 0 })), y),
      mean: (x, y) => ops.add(ops.mean(x, { axes: 1, keepDims: true }), y),
      logSumExp: (x, y) => ops.sub(y, ops.logSumExp(x, { axes: [1], keepDims: true })),
      flip: (x) => ops.flip(x, [random.integer(0, 1)]),
      reshape: (x) => ops.reshape(ops.transpose(ops.reshape(ops.transpose(x), [2, 6])), [3, 4]),
      slice: (x, y) => ops.concat([ops.slice(x, [1, 3]), ops.slice(y, [0, 1])], 0),
      split: (x, y) => ops.stack([...ops.split(x, 0).slice(0, 2), ops.slice(y, 2)]),
      pad: (x) => ops.pad(ops.slice(x, [0, 2], [1, 4]), [[1, 0], [0, 1]]), // prettier-ignore
      dilate: (x) => ops.slice(ops.dilate(x, [0, 1], 1), [1, 4], [2, 6]),
      broadcast: (x, y) => ops.mul(ops.broadcastTo(ops.slice(x, 0), [3, 4]), y),
    };
    for (let i = 0; i < 10; i++) {
      const [name, f] = random.pick(Object.entries(combinations));
      names.push(name);
      known.push(f(random.pick(known.slice(-5)), random.pick(known)));
    }
    return ops.add(known.at(-1)!, ops.add(known.at(-2)!, known.at(-3)!));
  };
  return { operation, names };
}

onEachDevice("autograd", (device) => {
  test("gradients of random graphs agree with finite differences", () => {
    const used = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed + 1000);
      const inputs = [0, 1].map(() => ({ shape: [3, 4], values: random.uniform(12) }));
      const { operation, names } = build(seed);
      try {
        checkGradients(operation, inputs, { device, step: 4e-3, tolerance: 1e-2, directions: 2 });
      } catch (error) {
        throw new Error(`graph ${seed}: ${names.join(", ")}`, { cause: error });
      }
      names.forEach((name) => used.add(name));
    }
    expect(used.size).toBe(23);
  });
});
