/** ResNet-9 with weights that both sides make by the same rule, against PyTorch in float64. */
import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { nn, ops, optim, tensor, tidy } from "thimble";
import { ResNet9 } from "thimble/models";

import { recordedTensor } from "../support/check-op.ts";
import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { hashed } from "../support/random.ts";

interface Recording {
  batch: number;
  lr: number;
  weightDecay: number;
  labels: Recorded;
  losses: number[];
  logits: Recorded;
  evalLogits: Recorded;
  parameters: { shape: number[]; offset: number; bound: number; gradientNorm: number }[];
}

onEachDevice("ResNet9", (device) => {
  const recording = load<Recording>("resnet9");
  const filled = (): ResNet9 => {
    const model = new ResNet9({ device });
    model.parameters().forEach((parameter, i) => {
      const { shape, offset, bound } = recording.parameters[i]!;
      expect(parameter.shape).toEqual(shape);
      parameter.set(
        tensor(
          Float32Array.from(hashed(shape, i + 1), (u) => offset + bound * u),
          { shape, device },
        ),
      );
    });
    return model;
  };
  const shape = [recording.batch, 3, 32, 32];
  const x = tensor(Float32Array.from(hashed(shape, 1000)), { shape, device });
  const labels = recordedTensor(recording.labels, device);
  const loss = new nn.SoftmaxLoss();

  test("has the homework's 431,946 parameters", () => {
    const model = new ResNet9({ device });
    expect(model.parameters().length).toBe(recording.parameters.length);
    expect(model.parameters().reduce((sum, p) => sum + p.size, 0)).toBe(431_946);
    expect(model.forward(tensor(new Float32Array(2 * 3072), { shape: [2, 3, 32, 32], device })).shape).toEqual([2, 10]);
  });

  test("logits, loss and the norm of every gradient", () => {
    const model = filled();
    const logits = model.forward(x);
    close(logits, recording.logits, { rtol: 1e-4, atol: 1e-4, what: "logits" });
    const error = loss.forward(logits, labels);
    closeNumber(error.item(), recording.losses[0]!, { rtol: 2e-5 });
    error.backward();
    const norm = (t: Tensor | null): number => Math.sqrt(ops.sum(ops.mul(t!, t!)).item());
    model.parameters().forEach((parameter, i) => {
      const expected = recording.parameters[i]!.gradientNorm;
      closeNumber(norm(parameter.grad), expected, { rtol: 2e-4, atol: 2e-5, what: `norm of gradient ${i}` });
    });
  });

  test("the losses of several steps of Adam, then the logits in evaluation mode", () => {
    const model = filled();
    const optimizer = new optim.Adam(model.parameters(), { lr: recording.lr, weightDecay: recording.weightDecay });
    const losses = recording.losses.map(() =>
      tidy(() => {
        optimizer.zeroGrad();
        const error = loss.forward(model.forward(x), labels);
        error.backward();
        optimizer.step();
        return error.item();
      }),
    );
    close(
      { shape: [losses.length], values: losses },
      { shape: [losses.length], values: recording.losses },
      { rtol: 5e-3 },
    );
    close(model.eval().forward(x), recording.evalLogits, { rtol: 2e-2, atol: 5e-3, what: "evaluation" });
  });
});
