/** Small networks that must learn: every layer's gradient has to be right enough to get there. */
import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { manualSeed, nn, ops, optim, tensor, tidy } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { Random } from "../support/random.ts";

onEachDevice("training", (device) => {
  test("a two-layer network learns exclusive or", () => {
    manualSeed(3);
    const model = new nn.Sequential(new nn.Linear(2, 16, { device }), new nn.Tanh(), new nn.Linear(16, 2, { device }));
    const x = tensor([[0, 0], [0, 1], [1, 0], [1, 1]], { device }); // prettier-ignore
    const y = tensor([0, 1, 1, 0], { dtype: "int32", device });
    const opt = new optim.Adam(model.parameters(), { lr: 0.05 });
    let loss = Infinity;
    for (let i = 0; i < 200; i++) {
      loss = tidy(() => {
        opt.zeroGrad();
        const error = new nn.SoftmaxLoss().forward(model.forward(x), y);
        error.backward();
        opt.step();
        return error.item();
      });
    }
    expect(loss).toBeLessThan(0.02);
  });

  test("a convolutional network learns where the bright row is, and repeats bit for bit with its seed", () => {
    const random = new Random(8);
    const labels = Int32Array.from({ length: 32 }, (_, i) => i % 4);
    const images = random.uniform(32 * 64, -0.5, 0.5);
    labels.forEach((label, i) =>
      images.subarray(i * 64 + label * 16, i * 64 + label * 16 + 8).forEach((v, j, row) => (row[j] = v + 1)),
    );
    const train = (): { losses: number[]; accuracy: number } => {
      manualSeed(11);
      const model = new nn.Sequential(
        new nn.Conv(1, 8, 3, { stride: 2, device }), new nn.BatchNorm2d(8, { device }), new nn.ReLU(),
        new nn.Residual(new nn.Conv(8, 8, 3, { device })), new nn.Flatten(), new nn.Dropout(0.1), new nn.Linear(128, 4, { device }),
      ); // prettier-ignore
      const x = tensor(images, { shape: [32, 1, 8, 8], device });
      const y = tensor(labels, { device });
      const opt = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 });
      const losses = Array.from({ length: 40 }, () =>
        tidy(() => {
          opt.zeroGrad();
          const loss = new nn.SoftmaxLoss().forward(model.forward(x), y);
          loss.backward();
          opt.step();
          return loss.item();
        }),
      );
      const logits: Tensor = model.eval().forward(x);
      const best = logits.data.argMax({ axes: 1 }).toTypedArray();
      return { losses, accuracy: ops.mean(tensor(labels.map((label, i) => (label === best[i] ? 1 : 0)))).item() };
    };
    const first = train();
    expect(first.losses.at(-1)).toBeLessThan(0.1);
    expect(first.accuracy).toBe(1);
    expect(train()).toEqual(first);
  }, 60_000); // an emulated device takes its time
});
