import { expect, test } from "bun:test";
import { ops, type Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { product } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

checkFamily<ops.ConvTransposeOptions>(
  "conv-transpose",
  { convTranspose: (options, x, w) => ops.convTranspose(x, w, options) },
  { rtol: 1e-5, atol: 4e-6 },
);

onEachDevice("transposed convolution", (device) => {
  const random = new Random(8);
  const leaf = (shape: number[], requiresGrad = true): Tensor =>
    tensor(random.uniform(product(shape)), { shape, device, requiresGrad });

  test("is the gradient of a convolution", () => {
    // n, h, w, out, k, in, stride, padding, output padding; h and w of the result.
    for (const [n, h, w, c, k, f, stride, padding, outputPadding] of [
      [2, 9, 7, 5, 3, 7, 2, 1, 0],
      [2, 8, 6, 5, 3, 7, 2, 1, 1],
      [3, 16, 16, 16, 4, 32, 2, 1, 0],
      [1, 7, 7, 3, 3, 4, 1, 0, 0],
      [4, 8, 8, 24, 2, 16, 2, 0, 0],
    ] as const) {
      const [image, kernel] = [leaf([n, h, w, c]), leaf([k, k, c, f])];
      const y = ops.conv(image, kernel, { stride, padding });
      const dy = leaf([...y.shape], false);
      y.backward(dy);
      const found = ops.convTranspose(dy, kernel, { stride, padding, outputPadding });
      close(found, { shape: image.shape, values: image.grad!.toTypedArray() }, { atol: 1e-5 });
    }
  });

  test("every pixel stamps the kernel, not flipped", () => {
    const x = tensor([1, 10], { shape: [1, 1, 2, 1], device });
    const w = tensor([1, 2, 3, 4], { shape: [2, 2, 1, 1], device });
    const y = ops.convTranspose(x, w);
    expect([y.shape, y.toTypedArray()]).toEqual([[1, 2, 3, 1], new Float32Array([1, 12, 20, 3, 34, 40])]);
    const apart = ops.convTranspose(x, w, { stride: 3, outputPadding: 1 });
    expect(apart.shape).toEqual([1, 3, 6, 1]);
    expect(apart.toTypedArray()).toEqual(new Float32Array([1, 2, 0, 10, 20, 0, 3, 4, 0, 30, 40, 0, 0, 0, 0, 0, 0, 0]));
  });

  test("a bias is added to every pixel, also where no kernel reaches; its gradient is wanted alone or with the others", () => {
    for (const [needsX, needsW] of [
      [true, true],
      [false, false],
      [true, false],
      [false, true],
    ]) {
      const values = [leaf([2, 3, 2, 4]), leaf([3, 3, 5, 4]), leaf([10])];
      const run = (fused: boolean): (Tensor | null)[] => {
        const inputs = values.map((value, i) =>
          tensor(value.toTypedArray(), { shape: value.shape, device, requiresGrad: [needsX!, needsW!, true][i]! }),
        ) as [Tensor, Tensor, Tensor];
        const [x, w, whole] = inputs;
        const bias = whole.slice([1, 10, 2]); // a view
        const options = { stride: 4, outputPadding: 3 };
        const y = fused ? ops.convTranspose(x, w, { ...options, bias }) : ops.convTranspose(x, w, options).add(bias);
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

  test("gradients agree with finite differences, through views too", () => {
    const inputs = [
      { shape: [2, 3, 4, 3], values: random.uniform(72) },
      { shape: [3, 3, 2, 3], values: random.uniform(54) },
      { shape: [2], values: random.uniform(2) },
    ];
    const options = { stride: 2, padding: 1, outputPadding: 1 };
    checkGradients((x, w, bias) => ops.convTranspose(x!, w!, { ...options, bias }), inputs, { device });
    const turned = (t: Tensor) => t.permute([0, 2, 1, 3]).flip([1, 3]);
    checkGradients((x, w) => ops.convTranspose(turned(x!), turned(w!), options), inputs.slice(0, 2), { device });
  });

  test("no input channels, no images, no output channels", () => {
    for (const [n, inputs, outputs] of [
      [2, 0, 3],
      [0, 2, 3],
      [2, 3, 0],
    ] as const) {
      const [x, w, bias] = [leaf([n, 2, 2, inputs]), leaf([2, 2, outputs, inputs]), leaf([outputs])];
      const y = ops.convTranspose(x, w, { stride: 2, bias });
      expect(y.shape).toEqual([n, 4, 4, outputs]);
      const expected = Array.from({ length: n * 16 }, () => [...bias.toTypedArray()]).flat();
      expect(y.toTypedArray()).toEqual(new Float32Array(expected));
      y.sum().backward();
      expect([x, w, bias].map((t) => t.grad!.shape)).toEqual([x.shape, w.shape, bias.shape]);
      expect(w.grad!.toTypedArray()).toEqual(new Float32Array(w.size));
      expect(bias.grad!.toTypedArray()).toEqual(new Float32Array(outputs).fill(n * 16));
    }
  });

  test("gives back what it took, but for its result", () => {
    const [x, w, bias] = [leaf([4, 8, 8, 16], false), leaf([3, 3, 8, 16], false), leaf([8], false)];
    const view = x.permute([0, 2, 1, 3]);
    const step = () => ops.convTranspose(view, w, { stride: 2, bias }).dispose();
    step();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) step();
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });
});
