/** Weights that PyTorch wrote, in a model of the same names, and back. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ArgumentError, CheckpointError, DTypeError, NDArray, nn, noGrad, ShapeError } from "thimble";
import { loadPyTorch, readSafetensors, type SavedArray, savePyTorch } from "thimble/checkpoint";

import { recordedTensor } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";
import { thrown } from "../support/thrown.ts";
import { Model } from "./pytorch-model.ts";
import { valuesOf } from "./small-model.ts";

const fixture = join(import.meta.dir, "../fixtures/pytorch.safetensors");
const recorded = load<Record<"inputs" | "outputs", Record<string, Recorded>>>("pytorch");
const { arrays } = readSafetensors(fixture);

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-pytorch-"));
  file = join(folder, "model.safetensors");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const array = (shape: number[], value: (at: number) => number): SavedArray => ({
  dtype: "float32",
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, at) => value(at)),
});
const counted = (...shape: number[]) => array(shape, (at) => at);
const no = (value: unknown) => value as never;

/** A list of modules, whatever they are. */
class List extends nn.Module {
  readonly layers: readonly nn.Module[];

  constructor(...layers: nn.Module[]) {
    super();
    this.layers = layers;
  }

  forward(): void {}
}

onEachDevice("a model with every layer", (device) => {
  const check = (model: Model) => {
    const { images, rows, ids } = recorded.inputs;
    const given = [images!, rows!, ids!].map((input) => recordedTensor(input, device));
    const outputs = noGrad(() => model.eval().forward(given[0]!, given[1]!, given[2]!));
    expect(new Set(Object.keys(outputs))).toEqual(new Set(Object.keys(recorded.outputs)));
    for (const [what, output] of Object.entries(outputs))
      close(output, recorded.outputs[what]!, { rtol: 1e-5, atol: 1e-5, what });
  };

  test("computes with PyTorch's weights what PyTorch does", () => {
    const model = new Model({ device });
    expect(loadPyTorch(fixture, model)).toEqual({ missing: [], unexpected: [] });
    for (const parameter of model.parameters()) expect(parameter.device).toBe(device);
    expect(model.head.weight).toBe(model.embedding.weight);
    check(model);
    const same = new Model({ device });
    loadPyTorch(arrays, same);
    expect(valuesOf(same)).toEqual(valuesOf(model));
  });

  test("is saved as PyTorch saves it, name for name and bit for bit", () => {
    const model = new Model({ device });
    loadPyTorch(fixture, model);
    const snake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    savePyTorch(file, model, { rename: snake });
    const saved = readSafetensors(file);
    expect(saved.metadata.get("format")).toBe("pt");
    // load_state_dict makes the counts of batches itself where there are none.
    const expected = [...arrays].filter(([name]) => !name.endsWith("num_batches_tracked"));
    expect(Object.fromEntries(saved.arrays)).toEqual(Object.fromEntries(expected));
    const other = new Model({ device });
    loadPyTorch(file, other);
    check(other);
  });
});

test("names of the file are mapped by rename, before anything else", () => {
  const model = new nn.Sequential(new nn.Linear(2, 3), new nn.Embedding(2, 2));
  const given = new Map([
    ["module.fc.weight", counted(3, 2)],
    ["module.fc.bias", counted(3)],
    ["module.table.weight", counted(2, 2)],
  ]);
  const rename = (name: string) => name.replace("module.fc", "0").replace("module.table", "1");
  expect(loadPyTorch(given, model, { rename })).toEqual({ missing: [], unexpected: [] });
  const state = model.stateDict();
  expect(state["0.weight"]!.toArray()).toEqual([[0, 2, 4], [1, 3, 5]]); // prettier-ignore
  expect(state["1.weight"]!.toArray()).toEqual([[0, 1], [2, 3]]); // prettier-ignore

  savePyTorch(file, model, { rename: (name) => name.replace("0", "module.fc").replace("1", "module.table") });
  expect(readSafetensors(file).arrays).toEqual(given);
});

class Alike extends nn.Module {
  readonly qProj = new nn.Linear(1, 1, { bias: false });
  readonly fc1 = new nn.Linear(1, 1, { bias: false });
  readonly fc_1 = new nn.Linear(1, 1, { bias: false });

  forward(): void {}
}

test("snake_case is camelCase where one name alone fits, and an exact name comes first", () => {
  const one = (value: number) => array([1, 1], () => value);
  const model = new Alike();
  const given = new Map([["q_proj.weight", one(1)], ["fc1.weight", one(2)], ["fc_1.weight", one(3)]]); // prettier-ignore
  loadPyTorch(given, model);
  expect([model.qProj, model.fc1, model.fc_1].map(({ weight }) => weight.item())).toEqual([1, 2, 3]);

  class Other extends nn.Module {
    readonly a_bC = new nn.Linear(1, 1, { bias: false });
    readonly aB_c = new nn.Linear(1, 1, { bias: false });

    forward(): void {}
  }
  // Both of the model's names have this form, and neither is it.
  const ambiguous = new Map([["a_bC.weight", one(1)], ["aB_c.weight", one(2)], ["a_b_c.weight", one(3)]]); // prettier-ignore
  expect(() => loadPyTorch(ambiguous, new Other())).toThrow(/Other: unknown a_b_c\.weight/);
  // Two of the file's names are one of the model's.
  expect(() => loadPyTorch(new Map([...given, ["qProj.weight", one(4)]]), model)).toThrow(
    /q_proj\.weight and qProj\.weight differ, and are one tensor of Alike, qProj\.weight/,
  );
  expect(model.qProj.weight.item()).toBe(1);
});

test("tied weights: one name is enough, two must have the same values", () => {
  const table = arrays.get("embedding.weight")!;
  const without = (name: string) => new Map([...arrays].filter(([each]) => each !== name));
  for (const name of ["embedding.weight", "head.weight"]) {
    const model = new Model();
    expect(loadPyTorch(without(name), model)).toEqual({ missing: [], unexpected: [] });
    expect(model.embedding.weight.toTypedArray()).toEqual(no(table.data));
  }
  const model = new Model();
  const before = valuesOf(model);
  const differing = new Map(arrays).set("head.weight", counted(4, 4));
  const error = thrown(() => loadPyTorch(differing, model));
  expect(error).toBeInstanceOf(CheckpointError);
  expect(String(error)).toMatch(/embedding\.weight and head\.weight differ, and are one tensor of Model/);
  expect(valuesOf(model)).toEqual(before);

  // A model that uses its table for the logits, without a head of its own.
  const embedding = new nn.Embedding(4, 4);
  const pair = new Map([["weight", table], ["head.weight", table]]); // prettier-ignore
  loadPyTorch(pair, embedding, { rename: (name) => name.replace("head.", "") });
  expect(embedding.weight.toTypedArray()).toEqual(no(table.data));
});

test("what is missing, unknown, or of another shape is named as PyTorch has it, and nothing is written", () => {
  const model = new Model();
  const before = valuesOf(model);
  const names = new Map(arrays);
  for (const name of ["layers.1.self_attn.in_proj_weight", "gru.weight_hh_l1_reverse", "stem.1.running_var"])
    names.delete(name);
  names.set("extra.weight", counted(1)).set("lstm.weight_hr_l0", counted(2));
  const error = thrown(() => loadPyTorch(names, model));
  expect(error).toBeInstanceOf(CheckpointError);
  const missing = "stem.1.running_var, layers.1.self_attn.in_proj_weight, gru.weight_hh_l1_reverse";
  const problem = `does not fit Model: missing ${missing}; unknown extra.weight, lstm.weight_hr_l0.`;
  expect(String(error)).toContain(problem);
  savePyTorch(file, new nn.Linear(1, 1));
  expect(() => loadPyTorch(file, model)).toThrow(`${file}: does not fit Model: missing places,`);
  expect(() => loadPyTorch(join(folder, "none"), model)).toThrow(CheckpointError);

  const conv = new List(new nn.Conv(2, 3, 5), new nn.ConvTranspose(2, 3, 5), new nn.LSTM(2, 3));
  savePyTorch(file, conv);
  const wrong: [string, number[]][] = [["layers.0.weight", [3, 2, 5, 5]], ["layers.1.weight", [2, 3, 5, 5]], ["layers.2.weight_ih_l0", [12, 2]]]; // prettier-ignore
  for (const [name, shape] of wrong) {
    const turned = shape.toReversed();
    const given = new Map(readSafetensors(file).arrays).set(name, counted(...turned));
    for (const strict of [true, false]) {
      const refusal = thrown(() => loadPyTorch(given, conv, { strict }));
      expect(refusal).toBeInstanceOf(ShapeError);
      expect((refusal as ShapeError).shapes).toEqual([shape, turned]);
      expect(String(refusal)).toContain(`${name} has the first of these shapes in List`);
    }
  }
  expect(valuesOf(model)).toEqual(before);
});

test("with strict: false, names that one side has are left alone, and returned", () => {
  const model = new List(new nn.Linear(2, 2), new nn.BatchNorm1d(2), new nn.GRU(2, 2));
  const { "layers.1.runningMean": mean, "layers.0.bias": bias } = model.stateDict();
  const before = bias!.toArray();
  const given = new Map([
    ["layers.0.weight", counted(2, 2)],
    ["layers.1.weight", counted(2)],
    ["layers.1.bias", counted(2)],
    ["layers.1.running_mean", counted(2)],
    ["layers.1.num_batches_tracked", counted()],
    ["layers.2.weight_ih_l0", counted(6, 2)],
    ["layers.2.weight_ih_l1", counted(6, 2)],
    ["head.weight", counted(3)],
  ]);
  expect(loadPyTorch(given, model, { strict: false })).toEqual({
    missing: [
      "layers.0.bias",
      "layers.1.running_var",
      "layers.2.weight_hh_l0",
      "layers.2.bias_ih_l0",
      "layers.2.bias_hh_l0",
    ],
    unexpected: ["layers.2.weight_ih_l1", "head.weight"],
  });
  expect(mean!.toArray()).toEqual([0, 1]);
  expect(bias!.toArray()).toEqual(before);
});

class Counter extends nn.Module {
  readonly weight = new nn.Parameter(NDArray.zeros([2]));
  readonly count = this.buffer(NDArray.from([0], { dtype: "int32" }));

  forward(): void {}
}

test("an int32 buffer takes integers alone", () => {
  const counter = new Counter();
  const given = new Map([["weight", counted(2)], ["count", array([1], () => 1.5)]]); // prettier-ignore
  expect(() => loadPyTorch(given, counter)).toThrow(DTypeError);
  expect(counter.weight.toArray()).toEqual([0, 0]);
  loadPyTorch(given.set("count", { dtype: "int32", shape: [1], data: Int32Array.of(7) }), counter);
  expect([counter.weight.toArray(), counter.count.toArray()]).toEqual([[0, 1], [7]]); // prettier-ignore
});

test("a Linear's subclass has what it adds as it is, and names that would become one are refused", () => {
  class Scaled extends nn.Linear {
    readonly matrix = new nn.Parameter(NDArray.from([[1, 2], [3, 4]])); // prettier-ignore
    readonly inner = new nn.Linear(2, 2, { bias: false });
  }
  const model = new Scaled(2, 2, { bias: false });
  loadPyTorch(new Map(["weight", "matrix", "inner.weight"].map((name) => [name, counted(2, 2)])), model);
  const turned = [[0, 2], [1, 3]]; // prettier-ignore
  expect(model.weight.toArray()).toEqual(turned);
  expect(model.inner.weight.toArray()).toEqual(turned);
  expect(model.matrix.toArray()).toEqual([[0, 1], [2, 3]]); // prettier-ignore

  const two = new nn.Sequential(new nn.Linear(1, 1), new nn.Linear(1, 1));
  expect(() => savePyTorch(file, two, { rename: (name) => name.slice(2) })).toThrow(
    "savePyTorch: 0.weight and 1.weight would both be named weight",
  );
});

test("arguments that are not what they should be are refused", () => {
  const model = new nn.Linear(1, 1);
  const refused: [() => unknown, RegExp][] = [
    [() => loadPyTorch(no(model), model), /^loadPyTorch: takes a file's path, or a Map of .*, not Linear/],
    [() => loadPyTorch(no(model.stateDict()), model), /^loadPyTorch: takes a file's path/],
    [() => loadPyTorch(file, no({ model })), /^loadPyTorch: the model must be a Module, not Object/],
    [() => savePyTorch(file, no(null)), /^savePyTorch: the model must be a Module, not null/],
    [() => savePyTorch(no(model), no(file)), /^savePyTorch: the file must be a path/],
    [() => loadPyTorch(file, model, no({ strikt: false })), /there is no option 'strikt'/],
    [() => loadPyTorch(file, model, { strict: no(0) }), /strict must be true or false/],
    [() => loadPyTorch(file, model, { rename: no({ a: "b" }) }), /rename must be a function, not Object/],
    [() => savePyTorch(file, model, { rename: no(() => null) }), /rename must give a name, not null for weight/],
    [() => loadPyTorch(arrays, model, { rename: no(() => 5) }), /rename must give a name, not 5 for places/],
    [() => loadPyTorch(new Map([["weight", no([1])]]), model, { strict: false }), /weight must be { dtype, shape, data }/],
    [() => loadPyTorch(new Map([["weight", no(null)]]), model, { strict: false }), /weight must be .*, not null/],
  ]; // prettier-ignore
  for (const [run, message] of refused) {
    expect(run).toThrow(message);
    expect(run).toThrow(ArgumentError);
  }
});

onEachDevice("loading", (device) => {
  test("leaves no memory behind", () => {
    const model = new Model({ device });
    loadPyTorch(fixture, model);
    const before = device.memory().live;
    loadPyTorch(fixture, model);
    savePyTorch(file, model);
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });
});
