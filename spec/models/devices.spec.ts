/** A device trains as the CPU does: from the same seed the same numbers, and models and checkpoints go from one to the other. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Device, Tensor } from "thimble";
import { cpu, manualSeed, nn, optim, tensor, tidy } from "thimble";
import { loadCheckpoint, saveCheckpoint } from "thimble/checkpoint";
import { LanguageModel, ResNet9 } from "thimble/models";

import { onEachDevice } from "../support/devices.ts";
import { Random } from "../support/random.ts";

const folder = mkdtempSync(join(tmpdir(), "thimble-devices-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const crossEntropy = new nn.SoftmaxLoss();

/** The losses of `steps` steps. */
function losses(opt: optim.Optimizer, steps: number, loss: () => Tensor): number[] {
  return Array.from({ length: steps }, () =>
    tidy(() => {
      opt.zeroGrad();
      const error = loss();
      error.backward();
      opt.step();
      return error.item();
    }),
  );
}

function trainResNet(device: Device, model = new ResNet9({ device })): { losses: number[]; model: ResNet9 } {
  const random = new Random(5);
  const x = tensor(random.uniform(4 * 3072, 0, 1), { shape: [4, 3, 32, 32], device });
  const y = tensor([3, 1, 4, 1], { dtype: "int32", device });
  const opt = new optim.Adam(model.parameters(), { lr: 0.001, weightDecay: 5e-4 });
  return { losses: losses(opt, 2, () => crossEntropy.forward(model.forward(x), y)), model };
}

function trainLanguageModel(seqModel: "lstm" | "gru", device: Device): number[] {
  const model = new LanguageModel(12, 50, 16, { seqModel, numLayers: 2, dropout: 0.2, device });
  const words = Int32Array.from({ length: 7 * 3 }, (_, i) => (i * 17) % 50);
  const x = tensor(words, { shape: [7, 3], device });
  const y = tensor(words.map((word) => (word + 1) % 50), { device }); // prettier-ignore
  const opt = new optim.SGD(model.parameters(), { lr: 2, momentum: 0.9 });
  return losses(opt, 2, () => crossEntropy.forward(model.forward(x)[0], y));
}

const valuesOf = (model: nn.Module) => Object.values(model.stateDict()).map((value) => value.toArray());

const seeded = <T>(seed: number, make: () => T): T => {
  manualSeed(seed);
  return make();
};

const closeTo = (actual: readonly number[], expected: readonly number[]) =>
  actual.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-4));

onEachDevice("beside the CPU", (device) => {
  test("two steps of ResNet-9 give the CPU's losses", () => {
    const here = seeded(1, () => trainResNet(device));
    closeTo(here.losses, seeded(1, () => trainResNet(cpu())).losses);
    expect(here.losses[0]).not.toBe(here.losses[1]);
  });

  test.each(["lstm", "gru"] as const)("two steps of an %s, with dropout, give the CPU's losses", (seqModel) => {
    const here = seeded(2, () => trainLanguageModel(seqModel, device));
    closeTo(
      here,
      seeded(2, () => trainLanguageModel(seqModel, cpu())),
    );
    expect(here[0]).not.toBe(here[1]);
  });

  test("a model that was made on the CPU moves, trains, and moves back", () => {
    const expected = seeded(3, () => trainResNet(cpu())).losses;
    const model = seeded(3, () => new ResNet9({ device: cpu() }));
    const before = valuesOf(model);
    model.to(device);
    expect(model.parameters().every((parameter) => parameter.device === device)).toBe(true);
    expect(valuesOf(model)).toEqual(before);
    closeTo(trainResNet(device, model).losses, expected);
    model.to(cpu());
    expect(model.parameters().every((parameter) => parameter.device === cpu())).toBe(true);
    closeTo([trainResNet(cpu(), model).losses[0]!], [seeded(3, thirdLoss)]);
  });

  test("checkpoints go from one to the other", () => {
    const file = join(folder, `${device.kind}.safetensors`);
    for (const [from, to] of [
      [cpu(), device],
      [device, cpu()],
    ] as const) {
      const { model } = seeded(4, () => trainResNet(from));
      saveCheckpoint(file, { model });
      const other = new ResNet9({ device: to });
      loadCheckpoint(file, { model: other });
      expect(other.parameters().every((parameter) => parameter.device === to)).toBe(true);
      expect(valuesOf(other)).toEqual(valuesOf(model));
    }
  });
});

/** What the first step of another run gives after two steps on the CPU. */
function thirdLoss(): number {
  const { model } = trainResNet(cpu());
  return trainResNet(cpu(), model).losses[0]!;
}
