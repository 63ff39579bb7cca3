/** What a checkpoint holds comes back, and a run goes on from it bit for bit. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  loadCheckpoint,
  readCheckpointArrays,
  readCheckpointState,
  readSafetensors,
  saveCheckpoint,
  writeSafetensors,
} from "../../lib/checkpoint/index.ts";
import {
  ArgumentError,
  CheckpointError,
  defaultGenerator,
  init,
  manualSeed,
  NDArray,
  nn,
  ops,
  optim,
} from "../../lib/index.ts";
import { makeModel, valuesOf } from "./small-model.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-checkpoint-"));
  file = join(folder, "run.safetensors");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Some steps on random data, so that they depend on the model, the optimizer's state and the generator. */
function steps(model: nn.Sequential, opt: optim.Optimizer, count: number): void {
  for (let i = 0; i < count; i++) {
    opt.zeroGrad();
    const y = model.forward(init.normal([8, 3]));
    ops.mean(ops.mul(y, y)).backward();
    opt.step();
  }
}

for (const [name, makeOptimizer] of [
  ["Adam", (model: nn.Module) => new optim.Adam(model.parameters(), { lr: 0.02 })],
  ["SGD with momentum", (model: nn.Module) => new optim.SGD(model.parameters(), { lr: 0.02, momentum: 0.9 })],
  ["RMSprop", (model: nn.Module) => new optim.RMSprop(model.parameters(), { momentum: 0.5, centered: true })],
  ["plain SGD", (model: nn.Module) => new optim.SGD(model.parameters(), { lr: 0.02 })],
] as const) {
  test(`a run with ${name} goes on bit for bit`, () => {
    manualSeed(7);
    const model = makeModel();
    const opt = makeOptimizer(model);
    steps(model, opt, 3);
    saveCheckpoint(file, { model, optimizer: opt }, { epoch: 2, name: "run" });
    steps(model, opt, 4);

    manualSeed(8);
    const resumed = makeModel();
    const resumedOpt = makeOptimizer(resumed);
    steps(resumed, resumedOpt, 1);
    expect(loadCheckpoint(file, { model: resumed, optimizer: resumedOpt })).toEqual({ epoch: 2, name: "run" });
    steps(resumed, resumedOpt, 4);
    expect(valuesOf(resumed)).toEqual(valuesOf(model));
    expect(model.parameters().every((param) => param.toTypedArray().every((value) => Number.isFinite(value)))).toBe(
      true,
    );
  });
}

test("the model alone is restored for inference, and the generator is left alone", () => {
  const model = makeModel();
  const opt = new optim.Adam(model.parameters());
  steps(model, opt, 2);
  saveCheckpoint(file, { model, optimizer: opt });
  const other = makeModel();
  const before = defaultGenerator.state;
  expect(loadCheckpoint(file, { model: other })).toBeNull();
  expect(defaultGenerator.state).toEqual(before);
  expect(valuesOf(other)).toEqual(valuesOf(model));
});

test("the file is plain safetensors, with names that say what is what", () => {
  const model = makeModel();
  saveCheckpoint(file, { model, optimizer: new optim.Adam(model.parameters()) }, { epoch: 1 });
  const names = [...readSafetensors(file).arrays.keys()];
  expect(names).toContain("model.0.weight");
  expect(names).toContain("model.1.runningMean");
  expect(names.filter((name) => name.startsWith("optimizer."))).toHaveLength(2 * model.parameters().length);
  expect(readCheckpointState(file)).toEqual({ epoch: 1 });
});

test("arrays of the caller's come back by name, and are no part of the model", () => {
  const model = makeModel();
  const optimizer = new optim.Adam(model.parameters());
  const arrays = { "hidden.0": NDArray.from([[1.5, 2]]), ids: NDArray.from([3, 4], { dtype: "int32" }) };
  saveCheckpoint(file, { model, optimizer, arrays }, { epoch: 1 });
  const read = readCheckpointArrays(file);
  expect(Object.keys(read)).toEqual(["hidden.0", "ids"]);
  expect([read["hidden.0"]!.toArray(), read["ids"]!.toArray(), read["ids"]!.dtype]).toEqual([
    [[1.5, 2]],
    [3, 4],
    "int32",
  ]);
  expect(loadCheckpoint(file, { model: makeModel() })).toEqual({ epoch: 1 });
  expect(loadCheckpoint(file, { model, optimizer })).toEqual({ epoch: 1 });
  saveCheckpoint(file, { model });
  expect(readCheckpointArrays(file)).toEqual({});
});

test("the learning rate, each parameter's steps, and numbers that JSON has not come back", () => {
  const model = makeModel();
  const optimizer = new optim.Adam(model.parameters(), { lr: 1 });
  const [first] = model.parameters();
  ops.sum(first!).backward();
  optimizer.step();
  optimizer.lr = 0.01;
  const state = { best: Infinity, lows: [-Infinity, NaN, 0], nested: { none: null, text: "NaN", number: "Infinity?" } };
  saveCheckpoint(file, { model, optimizer }, state);
  const other = makeModel();
  const restored = new optim.Adam(other.parameters(), { lr: 1 });
  expect(loadCheckpoint(file, { model: other, optimizer: restored })).toEqual(state);
  expect([restored.lr, restored.state().steps]).toEqual([0.01, [1, 0, 0, 0, 0, 0]]);
  const [one] = other.parameters();
  const before = one!.toArray();
  ops.sum(first!).backward();
  optimizer.step();
  saveCheckpoint(file, { model, optimizer: new optim.SGD(model.parameters(), { lr: 1 }) });
  const fewer = new optim.SGD([one!], { lr: 1 });
  expect(() => loadCheckpoint(file, { model: other, optimizer: fewer })).toThrow(
    /its optimizer has 6 parameters, not 1/,
  );
  expect(one!.toArray()).toEqual(before);
  expect(() => saveCheckpoint(file, { model }, { big: 10n } as never)).toThrow(/^saveCheckpoint: .*'big' is a bigint/);
});

test("a checkpoint of an older thimble, with one count of steps and no rate, still loads", () => {
  const model = makeModel();
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.5 });
  saveCheckpoint(file, { model, optimizer });
  const { arrays, metadata } = readSafetensors(file);
  const { lr: _, ...content } = JSON.parse(metadata.get("thimble")!);
  writeSafetensors(file, arrays, new Map([["thimble", JSON.stringify({ ...content, steps: 7 })]]));
  loadCheckpoint(file, { model, optimizer });
  expect([optimizer.lr, optimizer.state().steps]).toEqual([0.5, [7, 7, 7, 7, 7, 7]]);
});

test("a checkpoint of an older thimble, in which Sequential said modules.0, still loads", () => {
  const model = new nn.Sequential(new nn.Sequential(new nn.Linear(2, 1)), new nn.Residual(new nn.Linear(1, 1)));
  saveCheckpoint(file, { model });
  const { arrays, metadata } = readSafetensors(file);
  const older = [...arrays].map(([name, array]) => [name.replaceAll(/(?<=\.)(?=\d)/g, "modules."), array] as const);
  expect(older.map(([name]) => name)).toContain("model.modules.0.modules.0.weight");
  writeSafetensors(file, new Map(older), metadata);
  const before = valuesOf(model);
  for (const parameter of model.parameters()) parameter.set(0);
  loadCheckpoint(file, { model });
  expect(valuesOf(model)).toEqual(before);
});

test("the generator is restored without an optimizer if asked for, and not with one if not", () => {
  const model = makeModel();
  const optimizer = new optim.SGD(model.parameters(), { lr: 1 });
  manualSeed(5);
  const { state } = defaultGenerator;
  saveCheckpoint(file, { model, optimizer });
  const after = (options: object, training: Parameters<typeof loadCheckpoint>[1]) => {
    manualSeed(9);
    loadCheckpoint(file, training, options);
    return defaultGenerator.state.seed;
  };
  expect([after({ generator: true }, { model }), after({}, { model, optimizer })]).toEqual([state.seed, state.seed]);
  expect([after({}, { model }), after({ generator: false }, { model, optimizer })]).toEqual([9, 9]);
  expect(() => after({ generator: "yes" }, { model })).toThrow(ArgumentError);
  expect(() => after({ generater: true }, { model })).toThrow(/there is no option 'generater'/);
});

test("several optimizers have names, and a GAN's run goes on bit for bit", () => {
  const make = () => {
    const [generator, discriminator] = [new nn.Linear(2, 3), new nn.Linear(3, 1)];
    const model = new nn.Sequential(generator, discriminator);
    const optimizer = {
      generator: new optim.Adam(generator.parameters(), { lr: 0.1 }),
      discriminator: new optim.SGD(discriminator.parameters(), { lr: 0.2, momentum: 0.9 }),
    };
    const step = (name: keyof typeof optimizer) => {
      for (const each of Object.values(optimizer)) each.zeroGrad();
      ops.mean(model.forward(init.normal([4, 2]))).backward();
      optimizer[name].step();
    };
    return { model, optimizer, step };
  };
  const a = make();
  for (const name of ["generator", "discriminator", "generator"] as const) a.step(name);
  a.optimizer.generator.lr = 0.05;
  saveCheckpoint(file, a, { epoch: 1 });
  const names = [...readSafetensors(file).arrays.keys()];
  expect(names).toContain("optimizer.generator.first.0");
  expect(names).toContain("optimizer.discriminator.velocity.1");
  for (const name of ["discriminator", "generator"] as const) a.step(name);

  const b = make();
  expect(loadCheckpoint(file, b)).toEqual({ epoch: 1 });
  expect([b.optimizer.generator.lr, b.optimizer.generator.state().steps]).toEqual([0.05, [2, 2]]);
  for (const name of ["discriminator", "generator"] as const) b.step(name);
  expect(valuesOf(b.model)).toEqual(valuesOf(a.model));

  const before = valuesOf(b.model);
  const { generator, discriminator } = b.optimizer;
  const refused: [Parameters<typeof loadCheckpoint>[1]["optimizer"], RegExp][] = [
    [generator, /these optimizers: discriminator, generator; expected one without a name/],
    [{ generator }, /these optimizers: discriminator, generator; expected generator/],
    [{ generator, critic: discriminator }, /expected critic, generator/],
    [{ generator: discriminator, discriminator: generator }, /optimizer\.generator\.velocity\.0/],
    [{ generator: new optim.Adam(b.model.parameters()), discriminator }, /optimizer generator has 2 parameters, not 4/],
  ];
  for (const [optimizer, message] of refused) {
    expect(() => loadCheckpoint(file, { model: b.model, optimizer })).toThrow(message);
    expect(() => loadCheckpoint(file, { model: b.model, optimizer })).toThrow(CheckpointError);
  }
  loadCheckpoint(file, { model: make().model });
  saveCheckpoint(file, { model: b.model, optimizer: generator });
  expect(() => loadCheckpoint(file, b)).toThrow(/these optimizers: one without a name; expected discriminator, gen/);
  expect(valuesOf(b.model)).toEqual(before);
});
