import { expect, test } from "bun:test";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { product } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

checkFamily("matmul", { matmul: (_, a, b) => ops.matmul(a, b) });

onEachDevice("matmul", (device) => {
  test("gradients agree with finite differences, batches and broadcasting included", () => {
    const random = new Random(1);
    for (const [a, b] of [
      [
        [4, 3],
        [3, 5],
      ],
      [
        [2, 4, 3],
        [3, 5],
      ],
      [
        [4, 3],
        [2, 3, 2],
      ],
      [
        [2, 1, 2, 3],
        [3, 3, 2],
      ],
    ] as const) {
      // prettier-ignore
      const inputs = [a, b].map((shape) => ({ shape, values: random.uniform(product(shape)) }));
      checkGradients((x, y) => ops.matmul(x, y), inputs, { device });
    }
  });

  test("a matrix times itself, and times its transpose", () => {
    const x = tensor([[1, 2], [3, 4]], { device, requiresGrad: true }); // prettier-ignore
    ops.sum(ops.matmul(x, x)).backward();
    expect(x.grad!.toArray()).toEqual([[7, 11], [9, 13]]); // prettier-ignore
    x.grad = null;
    const gram = ops.matmul(x, ops.transpose(x));
    expect(gram.toArray()).toEqual([[5, 11], [11, 25]]); // prettier-ignore
    ops.sum(gram).backward();
    expect(x.grad!.toArray()).toEqual([[8, 12], [8, 12]]); // prettier-ignore
  });

  test("large gradients: the sum over a long axis", () => {
    const [a, b] = [new Random(2).uniform(3 * 5000), new Random(3).uniform(5000 * 2)];
    const x = tensor(a, { shape: [3, 5000], device, requiresGrad: true });
    const y = tensor(b, { shape: [5000, 2], device, requiresGrad: true });
    ops.sum(ops.matmul(x, y)).backward();
    close(x.grad!, {
      shape: [3, 5000],
      values: Float32Array.from(a, (_, at) => b[(at % 5000) * 2]! + b[(at % 5000) * 2 + 1]!),
    });
    const columns = Float32Array.from({ length: 5000 }, (_, i) => a[i]! + a[5000 + i]! + a[10000 + i]!);
    close(y.grad!, { shape: [5000, 2], values: Float32Array.from(b, (_, at) => columns[at >> 1]!) });
  });
});

onEachDevice("a vector in a product", (device) => {
  test.each([
    [[3], [3], []],
    [[2], [2, 4], [4]],
    [[4, 2], [2], [4]],
    [[2], [5, 2, 3], [5, 3]],
    [[2], [1, 2, 1], [1, 1]],
    [[5, 3, 2], [2], [5, 3]],
    [[1, 1, 2], [2], [1, 1]],
  ])("%p · %p has the shape %p, and its gradients", (a, b, expected) => {
    const random = new Random(2);
    const inputs = [a, b].map((shape) => ({ shape, values: random.uniform(product(shape)) }));
    checkGradients((x, y) => ops.matmul(x, y), inputs, { device });
    const [x, y] = inputs.map(({ shape, values }) => tensor(values, { shape, device }));
    const live = device.memory().live;
    const z = ops.matmul(x!, y!);
    expect(z.shape).toEqual(expected);
    const ofArrays = x!.data.matmul(y!.data);
    expect([ofArrays.shape, ofArrays.toArray()]).toEqual([z.shape, z.toArray()]);
    ofArrays.dispose();
    z.dispose();
    expect(device.memory().live).toBeLessThanOrEqual(live);
  });
});
