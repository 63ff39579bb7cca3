import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { ops, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { convolve, dot, Oracle, product } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

interface Options {
  stride: number;
  padding: number;
}

checkFamily<Options>("conv", { conv: (options, x, w) => ops.conv(x, w, options) }, { rtol: 1e-5, atol: 4e-6 });

/** Convolution from other operations: one matrix product for each tap of the kernel. */
function composed(x: Tensor, w: Tensor, stride: number, padding: number): Tensor {
  const padded = ops.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]]); // prettier-ignore
  const [k, , , filters] = w.shape as [number, number, number, number];
  const out = (size: number): number => Math.floor((size - k) / stride) + 1;
  const [n, height, width, channels] = padded.shape as [number, number, number, number];
  const [rows, columns] = [out(height), out(width)];
  let sum: Tensor | null = null;
  for (let dy = 0; dy < k; dy++) {
    for (let dx = 0; dx < k; dx++) {
      const taken = (d: number, count: number): [number, number, number] => [d, d + (count - 1) * stride + 1, stride];
      const pixels = ops.slice(padded, null, taken(dy, rows), taken(dx, columns), null);
      const tap = ops.matmul(ops.reshape(pixels, [-1, channels]), ops.slice(w, dy, dx));
      sum = sum === null ? tap : ops.add(sum, tap);
    }
  }
  return ops.reshape(sum!, [n, rows, columns, filters]);
}

onEachDevice("conv", (device) => {
  // n, h, w, in, k, out, stride, padding: the layers of ResNet-9, and sizes around the kernels' blocks.
  const geometries = [
    [2, 32, 32, 3, 7, 16, 4, 3], [3, 8, 8, 16, 3, 32, 2, 1], [3, 4, 4, 32, 3, 32, 1, 1], [3, 4, 4, 32, 3, 64, 2, 1],
    [5, 2, 2, 64, 3, 128, 2, 1], [16, 1, 1, 128, 3, 128, 1, 1], [1, 17, 19, 5, 3, 31, 1, 1], [2, 16, 16, 8, 3, 8, 1, 1],
    [1, 30, 7, 2, 5, 9, 3, 2], [1, 13, 13, 33, 1, 17, 1, 0], [20, 3, 3, 4, 2, 5, 1, 1], [1, 40, 40, 1, 3, 1, 1, 1],
  ] as const; // prettier-ignore
  for (const [n, h, w, c, k, f, stride, padding] of geometries) {
    test(`(${n}, ${h}, ${w}, ${c}) by (${k}, ${k}, ${c}, ${f}), stride ${stride}, padding ${padding}`, () => {
      const random = new Random(n * h + c * k);
      const make = (shape: number[]): Oracle => Oracle.of(shape, random.uniform(product(shape)));
      const leaf = (array: Oracle): Tensor => tensor(array.read(), { shape: array.shape, device, requiresGrad: true });
      const [x, weight] = [make([n, h, w, c]), make([k, k, c, f])];
      const expected = convolve(x, weight, stride, padding);
      const scale = Math.sqrt(k * k * c);
      const [input, kernel] = [leaf(x), leaf(weight)];
      const y = ops.conv(input, kernel, { stride, padding });
      close(y, { shape: expected.shape, values: expected.read() }, { rtol: 1e-5, atol: 1e-6 * scale });

      // Backward is the adjoint of forward: <conv(x', w), g> = <x', dx> for every x', and likewise for w.
      const g = random.uniform(y.size);
      y.backward(tensor(g, { shape: y.shape, device }));
      for (let probe = 0; probe < 2; probe++) {
        const [x2, w2] = [make(x.shape as number[]), make(weight.shape as number[])];
        const norm = Math.sqrt(y.size) * scale;
        const forX = dot(convolve(x2, weight, stride, padding).read(), g);
        closeNumber(dot(input.grad!.toTypedArray(), x2.read()), forX, { atol: 2e-6 * norm, what: "gradient of x" });
        const forW = dot(convolve(x, w2, stride, padding).read(), g);
        closeNumber(dot(kernel.grad!.toTypedArray(), w2.read()), forW, { atol: 2e-6 * norm, what: "gradient of w" });
      }
    });
  }

  test("agrees with the composition of pad, slice and matmul in everything", () => {
    const random = new Random(9);
    for (const [n, h, w, c, k, f, stride, padding] of [
      [2, 6, 5, 3, 3, 4, 2, 1],
      [1, 7, 7, 2, 5, 3, 1, 2],
      [3, 4, 4, 1, 2, 2, 1, 0],
    ] as const) {
      // prettier-ignore
      const [values, weights] = [random.uniform(n * h * w * c), random.uniform(k * k * c * f)];
      const run = (convolution: (x: Tensor, w: Tensor) => Tensor): Tensor[] => {
        const x = tensor(values, { shape: [n, h, w, c], device, requiresGrad: true });
        const kernel = tensor(weights, { shape: [k, k, c, f], device, requiresGrad: true });
        const y = convolution(x, kernel);
        ops.sum(ops.mul(y, y)).backward();
        return [y, x.grad!, kernel.grad!];
      };
      const expected = run((x, kernel) => composed(x, kernel, stride, padding));
      run((x, kernel) => ops.conv(x, kernel, { stride, padding })).forEach((result, at) =>
        close(result, { shape: expected[at]!.shape, values: expected[at]!.toTypedArray() }, { atol: 2e-5 }),
      );
    }
  });

  test("a bias is added to every pixel; its gradient is the sum over them, wanted alone or with the others", () => {
    const random = new Random(12);
    const [x, w, b] = [random.uniform(96), random.uniform(72), random.uniform(4)];
    for (const [needsX, needsW] of [
      [true, true],
      [false, false],
      [true, false],
      [false, true],
    ]) {
      // prettier-ignore
      const leaf = (values: Float32Array, shape: number[], requiresGrad = false): Tensor =>
        tensor(values, { shape, device, requiresGrad });
      const run = (fused: boolean): (Tensor | null)[] => {
        const inputs = [leaf(x, [2, 4, 6, 2], needsX), leaf(w, [3, 3, 2, 4], needsW), leaf(b, [4], true)] as const;
        const [image, kernel, bias] = inputs;
        const y = fused
          ? ops.conv(image, kernel, { padding: 1, bias })
          : ops.add(ops.conv(image, kernel, { padding: 1 }), bias);
        ops.sum(ops.mul(y, y)).backward();
        return [y, ...inputs.map(({ grad }) => grad)];
      };
      const [found, expected] = [run(true), run(false)];
      found.forEach((result, i) => {
        const wanted = expected[i]!;
        if (wanted === null) expect(result).toBeNull();
        else close(result!, { shape: wanted.shape, values: wanted.toTypedArray() }, { atol: 2e-5 });
      });
    }
  });

  test("strides and padding default to 1 and 0", () => {
    const x = tensor(new Float32Array(25).fill(1), { shape: [1, 5, 5, 1], device });
    const y = ops.conv(x, tensor(new Float32Array(9).fill(1), { shape: [3, 3, 1, 1], device }));
    expect([y.shape, y.toTypedArray()]).toEqual([[1, 3, 3, 1], new Float32Array(9).fill(9)]);
  });

  test("it is cross-correlation: the kernel is not flipped", () => {
    const x = tensor([0, 0, 1, 0, 0], { shape: [1, 1, 5, 1], device });
    const padded = ops.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]]); // prettier-ignore
    const w = tensor([0, 0, 0, 1, 2, 3, 0, 0, 0], { shape: [3, 3, 1, 1], device });
    expect(ops.conv(padded, w).toTypedArray()).toEqual(new Float32Array([3, 2, 1]));
  });

  test("NaN reaches exactly the outputs whose window it is in", () => {
    const values = new Float32Array(49).fill(1);
    values[24] = NaN;
    const x = tensor(values, { shape: [1, 7, 7, 1], device });
    const y = ops.conv(x, tensor(new Float32Array(9).fill(1), { shape: [3, 3, 1, 1], device }), { padding: 1 });
    const found = Array.from(y.toTypedArray(), Number.isNaN);
    expect(found).toEqual(
      Array.from({ length: 49 }, (_, i) => Math.abs((i % 7) - 3) < 2 && Math.abs(Math.floor(i / 7) - 3) < 2),
    );
  });

  test("gradients agree with finite differences", () => {
    const random = new Random(10);
    const inputs = [
      { shape: [2, 5, 4, 3], values: random.uniform(120) },
      { shape: [3, 3, 3, 2], values: random.uniform(54) },
    ];
    checkGradients((x, w) => ops.conv(x, w, { stride: 2, padding: 1 }), inputs, { device });
  });
});
