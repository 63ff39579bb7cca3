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

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-checkpoint-"));
  file = join(folder, "run.safetensors");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function makeModel(hidden = 5): nn.Sequential {
  return new nn.Sequential(
    new nn.Linear(3, hidden),
    new nn.BatchNorm1d(hidden),
    new nn.ReLU(),
    new nn.Linear(hidden, 2),
  );
}

/** Some steps on random data, so that they depend on the model, the optimizer's state and the generator. */
function steps(model: nn.Sequential, opt: optim.Optimizer, count: number): void {
  for (let i = 0; i < count; i++) {
    opt.zeroGrad();
    const y = model.forward(init.normal([8, 3]));
    ops.mean(ops.mul(y, y)).backward();
    opt.step();
  }
}

const valuesOf = (model: nn.Module) =>
  Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.data.toTypedArray()]);

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

test("a checkpoint of another model or optimizer is refused, and nothing is changed", () => {
  const model = makeModel();
  saveCheckpoint(file, { model, optimizer: new optim.SGD(model.parameters(), { lr: 1, momentum: 0.9 }) });

  const wider = makeModel(6);
  const before = valuesOf(wider);
  expect(() => loadCheckpoint(file, { model: wider })).toThrow(
    /model\.0\.weight as float32 \(3, 5\), expected float32 \(3, 6\)/,
  );
  expect(valuesOf(wider)).toEqual(before);

  const target = makeModel();
  const untouched = valuesOf(target);
  const optimizer = new optim.Adam(target.parameters());
  expect(() => loadCheckpoint(file, { model: target, optimizer })).toThrow(CheckpointError);
  expect(() => loadCheckpoint(file, { model: target, optimizer })).toThrow(/no optimizer\./);
  expect(valuesOf(target)).toEqual(untouched);

  saveCheckpoint(file, { model });
  const sgd = new optim.SGD(target.parameters(), { lr: 1 });
  expect(() => loadCheckpoint(file, { model: target, optimizer: sgd })).toThrow("it holds no optimizer");
  expect(valuesOf(target)).toEqual(untouched);
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

test("arguments in each other's place, and what is no model or optimizer, are refused by name", () => {
  const model = makeModel();
  const optimizer = new optim.SGD(model.parameters(), { lr: 1 });
  saveCheckpoint(file, { model });
  const no = (value: unknown) => value as never;
  for (const [run, name] of [
    [loadCheckpoint, "loadCheckpoint"],
    [saveCheckpoint, "saveCheckpoint"],
  ] as const) {
    const refused: [() => unknown, RegExp][] = [
      [() => run(file, no(model)), /takes an object with the model, a Module, not Sequential. Give { model }/],
      [() => run(no({ model }), no(file)), /the file must be a path, not/],
      ...[undefined, null, "text", {}, { model: null }, { model: [model] }].map((wrong): [() => unknown, RegExp] => [
        () => run(file, no(wrong)),
        /takes an object with the model, a Module, not/,
      ]),
      ...[[optimizer], {}, null, optimizer.state(), { "a.b": optimizer }, { "": optimizer }, { a: model }].map(
        (wrong): [() => unknown, RegExp] => [
          () => run(file, { model, optimizer: no(wrong) }),
          /optimizer must be an optimizer, or an object of some by name, not/,
        ],
      ),
    ];
    for (const [call, message] of refused) {
      expect(call).toThrow(message);
      expect(call).toThrow(ArgumentError);
      expect(call).toThrow(new RegExp(`^${name}: `));
    }
  }
  expect(() => readCheckpointState(no(5))).toThrow(ArgumentError);
  expect(() => readCheckpointArrays(no({ model }))).toThrow(ArgumentError);
  expect(() => loadCheckpoint(join(import.meta.dir, "../../package.json"), { model })).toThrow(/no safetensors file/);
});

test("a state that JSON does not hold is refused, and the file that was there stays", () => {
  const model = makeModel();
  saveCheckpoint(file, { model }, { epoch: 1 });
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  class Options {
    lr = 1;
  }
  const wrong: [unknown, RegExp][] = [
    [new Map([["a", 1]]), /its 'state' is of class Map/],
    [{ seen: new Set([1]) }, /its 'seen' is of class Set/],
    [{ list: [{ deep: new Map() }] }, /its 'deep' is of class Map/],
    [{ rates: new Float32Array(2) }, /its 'rates' is of class Float32Array/],
    [{ options: new Options() }, /its 'options' is of class Options/],
    [{ f: () => 1 }, /its 'f' is a function/],
    [{ s: Symbol("s") }, /its 's' is a symbol/],
    [[1, undefined], /its '1' is undefined/],
    [cyclic, /the state must be JSON: .*cycl/i],
  ];
  for (const [state, message] of wrong) {
    expect(() => saveCheckpoint(file, { model }, state as never)).toThrow(message);
    expect(() => saveCheckpoint(file, { model }, state as never)).toThrow(ArgumentError);
  }
  expect(readCheckpointState(file)).toEqual({ epoch: 1 });
  saveCheckpoint(file, { model }, { left: undefined, bare: Object.assign(Object.create(null), { a: [null, "x"] }) });
  expect(readCheckpointState(file)).toEqual({ bare: { a: [null, "x"] } });
});

test("an optimizer's state that does not fit changes nothing", () => {
  const model = new nn.Linear(2, 2);
  const optimizer = new optim.SGD(model.parameters(), { lr: 1, momentum: 0.9 });
  const before = optimizer.state();
  const arrays = { "velocity.0": NDArray.ones([2, 2]), "velocity.1": NDArray.ones([2]) };
  const wrong: [Partial<optim.OptimizerState>, RegExp][] = [
    [{ arrays: { ...arrays, "velocity.1": NDArray.from(3) } }, /velocity.1.*\(2,\) and \(\)/],
    [{ arrays: { "velocity.0": arrays["velocity.0"] } }, /the state has the arrays/],
    [{ arrays: { ...arrays, "first.0": NDArray.ones([1]) } }, /the state has the arrays/],
    [{ steps: [1] }, /a count for each of 2/],
    [{ steps: [1, -1] }, /a count for each of 2/],
    [{ lr: NaN }, /lr must be/],
  ];
  for (const [part, message] of wrong) {
    expect(() => optimizer.loadState({ lr: 1, steps: [1, 1], arrays, ...part })).toThrow(message);
    expect(optimizer.state()).toEqual(before);
    expect(before.arrays["velocity.0"]!.toArray()).toEqual([[0, 0], [0, 0]]); // prettier-ignore
  }
});

test("a safetensors file that is no checkpoint, or a damaged one, is refused", () => {
  const model = makeModel();
  const good = { version: 1, steps: 3, generator: { seed: 1, stream: 2 }, state: null };
  const contents: [unknown, string][] = [
    [undefined, "the metadata has no 'thimble'"],
    ["{", "is not JSON"],
    [JSON.stringify([1]), "version undefined is not 1"],
    [JSON.stringify(null), "is not an object"],
    [JSON.stringify({ ...good, version: 2 }), "version 2 is not 1"],
    [JSON.stringify({ ...good, steps: -1 }), "'steps' is not a count"],
    [JSON.stringify({ ...good, steps: "3" }), "'steps' is not a count"],
    [JSON.stringify({ ...good, steps: [1, -3] }), "'steps' is not a count"],
    [JSON.stringify({ ...good, lr: "fast" }), "'lr' is not a learning rate"],
    [JSON.stringify({ ...good, steps: null, optimizers: 3 }), "'optimizers' is not an object"],
    [JSON.stringify({ ...good, steps: null, optimizers: { a: null } }), "'steps' is not a count"],
    [JSON.stringify({ ...good, steps: null, optimizers: { a: { steps: [1], lr: -1 } } }), "'lr' is not a"],
    [JSON.stringify({ ...good, generator: { seed: 1 } }), "'generator' is not {seed, stream}"],
  ];
  for (const [content, message] of contents) {
    writeSafetensors(file, new Map(), typeof content === "string" ? new Map([["thimble", content]]) : new Map());
    expect(() => loadCheckpoint(file, { model })).toThrow(message);
    expect(() => loadCheckpoint(file, { model })).toThrow(CheckpointError);
  }
});
