import { expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NDArray, nn, optim, ShapeError, type Tensor, tensor, tidy } from "thimble";
import { loadCheckpoint, saveCheckpoint } from "thimble/checkpoint";

import { recordedTensor } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { liveBytes } from "../support/live-bytes.ts";

type Named = Record<"weight" | "bias", Recorded>;
interface AverageCase {
  decay: number;
  start: Named;
  steps: { model: Named; average: Named }[];
}

onEachDevice("AveragedModel", (device) => {
  const write = (model: nn.Linear, values: Named): void => {
    model.weight.set(recordedTensor(values.weight, device));
    model.bias!.set(recordedTensor(values.bias, device));
  };

  for (const { decay, start, steps } of load<AverageCase[]>("averaged-model")) {
    test(`with a decay of ${decay} follows a model as PyTorch's, whose first update copies`, () => {
      const model = new nn.Linear(3, 2, { device });
      write(model, start);
      const averaged = new optim.AveragedModel(model, { decay });
      close(averaged.module.weight, start.weight);
      for (const [i, step] of steps.entries()) {
        write(model, step.model);
        averaged.update(model);
        close(averaged.module.weight, step.average.weight, { what: `weight after update ${i}` });
        close(averaged.module.bias!, step.average.bias, { what: `bias after update ${i}` });
        close(model.weight, step.model.weight);
      }
      expect(averaged.updates.item()).toBe(4);
    });
  }

  test("buffers are copied, a tied parameter moves once, and forward is the average's", () => {
    class Tied extends nn.Module {
      readonly norm = new nn.BatchNorm1d(1, { device });
      readonly a = new nn.Linear(1, 1, { device, bias: false });
      readonly b = this.a;
      override forward(x: Tensor): Tensor {
        return this.b.forward(this.a.forward(x));
      }
    }
    const model = new Tied().eval();
    const averaged = new optim.AveragedModel(model, { decay: 0.75 });
    expect([averaged.training, averaged.module.training, averaged.module.norm.training]).toEqual([false, false, false]);
    for (const value of [2, 6]) {
      model.a.weight.set([[value]]);
      model.norm.runningMean.set([value]);
      averaged.update(model);
    }
    expect([averaged.module.a.weight.item(), averaged.module.norm.runningMean.item()]).toEqual([3, 6]);
    expect(averaged.module.a).toBe(averaged.module.b);
    const y: Tensor = averaged.forward(tensor([[1]], { device })); // prettier-ignore
    expect(y.item()).toBe(9);
  });

  test("it is a module: a checkpoint of it goes on where it was", () => {
    const file = join(mkdtempSync(join(tmpdir(), "thimble-")), "average.safetensors");
    const model = new nn.Linear(1, 1, { device });
    const averaged = new optim.AveragedModel(model, { decay: 0.5 });
    model.weight.set([[1]]);
    averaged.update(model);
    saveCheckpoint(file, { model: averaged });
    const other = new optim.AveragedModel(new nn.Linear(1, 1, { device }), { decay: 0.5 });
    loadCheckpoint(file, { model: other });
    model.weight.set([[2]]);
    other.update(model);
    expect([other.module.weight.item(), other.updates.item()]).toEqual([1.5, 2]);
  });

  test("another model is refused and nothing is written; updates in a tidy hold nothing", () => {
    const model = new nn.Sequential(new nn.Linear(2, 3, { device }));
    const averaged = new optim.AveragedModel<nn.Module>(model);
    const before = averaged.module.stateDict()["0.weight"]!.toArray();
    const wider = new nn.Sequential(new nn.Linear(2, 4, { device }));
    expect(() => averaged.update(wider)).toThrow(ShapeError);
    expect(() => averaged.update(wider)).toThrow(/^update: '0.weight' has another shape.*\(2, 3\).*\(2, 4\)/);
    expect(() => averaged.update(new nn.Linear(2, 3, { device }))).toThrow("has the tensors 'weight, bias', not '0.");
    expect([averaged.module.stateDict()["0.weight"]!.toArray(), averaged.updates.item()]).toEqual([before, 0]);
    averaged.update(model);
    const live = liveBytes(device);
    for (let i = 0; i < 10; i++) averaged.update(model);
    expect(device.memory().live).toBeLessThanOrEqual(live);
    tidy(() => averaged.update(model));
    expect(averaged.updates.item()).toBe(12);
  });

  test("an average on one device of a model on another, and without gradients of its own", () => {
    const model = new nn.Linear(1, 1);
    model.weight.set([[2]]);
    model.weight.grad = tensor([[1]]);
    const averaged = new optim.AveragedModel(model, { decay: 0.5 }).to(device);
    expect([averaged.module.weight.grad, averaged.module.weight.requiresGrad]).toEqual([null, true]);
    averaged.update(model);
    model.weight.set([[4]]);
    averaged.update(model);
    expect([averaged.module.weight.item(), averaged.module.weight.device, averaged.updates.item()]).toEqual([
      3,
      device,
      2,
    ]);
    expect(model.weight.item()).toBe(4);
  });

  test("parameters of the model may be views, of the average not", () => {
    const model = new nn.Linear(2, 2, { device, bias: false });
    const averaged = new optim.AveragedModel(model, { decay: 0.5 });
    averaged.update(model);
    averaged.module.weight.set([[1, 2], [3, 4]]); // prettier-ignore
    model.weight.data = NDArray.from([[3, 5], [4, 6]], { device }).transpose(); // prettier-ignore
    averaged.update(model);
    expect(averaged.module.weight.toArray()).toEqual([[2, 3], [4, 5]]); // prettier-ignore
    averaged.module.weight.data = averaged.module.weight.data.transpose();
    expect(() => averaged.update(model)).toThrow(/^update: 'weight' of the average must be contiguous/);
    averaged.module.weight.dispose();
    expect(() => averaged.update(model)).toThrow("disposed");
  });

  test("backward through a use of the average before an update is refused", () => {
    const model = new nn.Linear(1, 1, { device });
    const averaged = new optim.AveragedModel(model);
    averaged.update(model);
    const loss = averaged.forward(tensor([[1]], { device, requiresGrad: true })).sum(); // prettier-ignore
    averaged.update(model);
    expect(() => loss.backward()).toThrow(/modified|written/);
  });
});
