/** What does not fit a checkpoint, or is none, is refused before anything changes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  loadCheckpoint,
  readCheckpointArrays,
  readCheckpointState,
  saveCheckpoint,
  writeSafetensors,
} from "../../lib/checkpoint/index.ts";
import { ArgumentError, CheckpointError, NDArray, nn, optim } from "../../lib/index.ts";
import { makeModel, valuesOf } from "./small-model.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-checkpoint-"));
  file = join(folder, "run.safetensors");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

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
