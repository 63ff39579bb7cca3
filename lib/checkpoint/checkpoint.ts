/**
 * Checkpoints: everything that a training run needs to go on as if it had never stopped, in one safetensors file.
 *
 *     arrays      model.NAME                the model's parameters and buffers
 *                 optimizer.NAME            the optimizer's moments
 *                 optimizer.OPTIMIZER.NAME  those of each optimizer, where several have names
 *                 extra.NAME                the caller's own arrays, such as a hidden state that is carried on
 *     metadata    thimble                   JSON: version, the optimizers' steps and rates, the random generator, the caller's
 *                                           own state
 *
 * The model's arrays alone are what {@link loadCheckpoint} needs for inference.
 */
import { ArgumentError, CheckpointError, formatShape, ThimbleError } from "../native/errors.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { defaultGenerator } from "../ndarray/random.ts";
import { tidy } from "../ndarray/scope.ts";
import { Module } from "../nn/index.ts";
import { Optimizer } from "../optim/index.ts";
import { type Content, formatContent, type Json, parseContent } from "./content.ts";
import { readSafetensors, type SavedArray, writeSafetensors } from "./safetensors.ts";

/** What is saved or restored together. */
export interface Training {
  model: Module;
  /** Left out for a model that is only to be used. Several have names: `{ generator: …, discriminator: … }`. */
  optimizer?: Optimizer | Readonly<Record<string, Optimizer>> | undefined;
}

/** What is saved: also arrays of the caller's, by name, which {@link readCheckpointArrays} gives back. */
export interface SavedTraining extends Training {
  arrays?: Readonly<Record<string, NDArray>> | undefined;
}

export interface LoadOptions {
  /** Whether the generator of `manualSeed` is restored. Default: when an optimizer is given. */
  generator?: boolean | undefined;
}

/**
 * Writes the model, the state of the optimizer (or of several: a GAN's two), the generator of `manualSeed`, and `state`
 * (anything of the caller's: the epoch, the options) to a file, atomically. A DataLoader's order follows from its `seed`
 * and its `epoch`, which are the caller's to keep: make the loader with a seed, or before {@link loadCheckpoint}.
 * @param state plain objects, lists, texts, numbers (also NaN and Infinity), booleans and null.
 * @throws CheckpointError when it cannot be written; ArgumentError for a state that is not JSON, such as a Map, and for
 * arguments that are not what they should be.
 */
export function saveCheckpoint(file: string, training: SavedTraining, state: Json = null): void {
  const { model, optimizers, arrays } = readTraining("saveCheckpoint", file, training);
  const counts = [...optimizers].map(([name, optimizer]) => [name, optimizer.state()] as const);
  const saves = new Map(counts.map(([name, { steps, lr }]) => [name, { steps, lr }]));
  const content = formatContent({ optimizers: saves, generator: defaultGenerator.state, state });
  const all = { ...arraysOf(model, optimizers), ...prefixed("extra.", arrays ?? {}) };
  const entries = Object.entries(all).map(([name, array]) => [name, saved(array)] as const);
  writeSafetensors(file, new Map(entries), new Map([["thimble", content]]));
}

/**
 * Restores what {@link saveCheckpoint} wrote into a model, and into an optimizer or several named ones (their learning
 * rates too) and the generator of `manualSeed` when they are given; for the generator alone there is the option
 * `generator`. Nothing is changed unless all of it fits. Returns the caller's state.
 * @throws CheckpointError for a damaged file, or one of another model or optimizer: it names what is missing or differs;
 * ArgumentError for arguments that are not what they should be.
 */
export function loadCheckpoint(file: string, training: Training, options: LoadOptions = {}): Json {
  const { model, optimizers } = readTraining("loadCheckpoint", file, training);
  const { generator = optimizers.size > 0 } = checkOptions("loadCheckpoint", options, ["generator"]);
  checkFlag("loadCheckpoint", "generator", generator);
  const { arrays: inFile, metadata } = readSafetensors(file);
  const content = parseContent(file, metadata.get("thimble"));
  const own = arraysOf(model, optimizers);
  const arrays = new Map([...inFile].map(([name, array]) => [nameNow(name, own), array] as const));
  const others = optimizers.size === 0 ? ["optimizer.", "extra."] : ["extra."];
  for (const name of arrays.keys()) if (others.some((prefix) => name.startsWith(prefix))) arrays.delete(name);
  if (optimizers.size > 0) checkOptimizers(file, optimizers, content.optimizers);
  checkFit(file, own, arrays);

  try {
    tidy(() => {
      model.loadStateDict(part(arrays, "model."));
      for (const [name, optimizer] of optimizers) {
        const { steps, lr } = content.optimizers.get(name)!;
        const ofEach = typeof steps === "number" ? optimizer.params.map(() => steps) : steps;
        optimizer.loadState({ lr: lr ?? optimizer.lr, steps: ofEach, arrays: part(arrays, prefixOf(name)) });
      }
      if (generator) defaultGenerator.state = content.generator;
    });
  } catch (cause) {
    if (!(cause instanceof ThimbleError)) throw cause;
    throw new CheckpointError(file, cause.message, { cause });
  }
  return content.state;
}

/** The caller's state in a checkpoint, without restoring anything: such as what is needed to make the model. */
export function readCheckpointState(file: string): Json {
  checkPath("readCheckpointState", file);
  return parseContent(file, readSafetensors(file).metadata.get("thimble")).state;
}

/** The caller's arrays in a checkpoint, in its order, on the CPU. */
export function readCheckpointArrays(file: string): Record<string, NDArray> {
  checkPath("readCheckpointArrays", file);
  return part(readSafetensors(file).arrays, "extra.");
}

/** By name; a single optimizer has the name "". */
type Optimizers = ReadonlyMap<string, Optimizer>;

/** The prefix of an optimizer's arrays. */
const prefixOf = (optimizer: string): string => (optimizer === "" ? "optimizer." : `optimizer.${optimizer}.`);

export function checkPath(operation: string, file: string): void {
  if (typeof file !== "string") throw new ArgumentError(operation, `the file must be a path, not ${describe(file)}`);
}

function readTraining(operation: string, file: string, training: SavedTraining) {
  checkPath(operation, file);
  const { model, optimizer, arrays } = training ?? {};
  if (training instanceof Module || !(model instanceof Module)) {
    const given = training instanceof Module || model === undefined ? training : model;
    const problem = `takes an object with the model, a Module, not ${describe(given)}`;
    throw new ArgumentError(operation, problem, { hint: "Give { model }" });
  }
  return { model, optimizers: readOptimizers(operation, optimizer), arrays };
}

function readOptimizers(operation: string, optimizer: Training["optimizer"]): Optimizers {
  if (optimizer === undefined) return new Map();
  if (optimizer instanceof Optimizer) return new Map([["", optimizer]]);
  const isNamed = typeof optimizer === "object" && optimizer !== null && !Array.isArray(optimizer);
  const named = Object.entries(isNamed ? optimizer : {});
  if (named.length === 0 || !named.every(([name, each]) => /^[^.]+$/.test(name) && each instanceof Optimizer)) {
    const problem = `optimizer must be an optimizer, or an object of some by name, not ${describe(optimizer)}`;
    throw new ArgumentError(operation, problem, { hint: "Names have no dots: { generator, discriminator }" });
  }
  return new Map(named);
}

function checkOptimizers(file: string, own: Optimizers, saves: Content["optimizers"]): void {
  if (saves.size === 0) throw new CheckpointError(file, "it holds no optimizer");
  const list = (names: Iterable<string>) => [...names].sort().join(", ") || "one without a name";
  if (own.size !== saves.size || ![...own.keys()].every((name) => saves.has(name)))
    throw new CheckpointError(file, `it holds these optimizers: ${list(saves.keys())}; expected ${list(own.keys())}`);
  for (const [name, { params }] of own) {
    const { steps } = saves.get(name)!;
    if (typeof steps === "number" || steps.length === params.length) continue;
    const problem = `its optimizer ${name} has ${steps.length} parameters, not ${params.length}`;
    throw new CheckpointError(file, problem.replace("  ", " "));
  }
}

/** The name that an array has today: in older files Sequential named its modules `modules.0`, not `0`. */
function nameNow(name: string, own: Readonly<Record<string, NDArray>>): string {
  const renamed = name.replaceAll(/\bmodules\.(?=\d)/g, "");
  return !Object.hasOwn(own, name) && Object.hasOwn(own, renamed) ? renamed : name;
}

function arraysOf(model: Module, optimizers: Optimizers): Record<string, NDArray> {
  const own = Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.data] as const);
  const moments = [...optimizers].map(([name, optimizer]) => prefixed(prefixOf(name), optimizer.state().arrays));
  return Object.assign(prefixed("model.", Object.fromEntries(own)), ...moments);
}

const prefixed = (prefix: string, arrays: Readonly<Record<string, NDArray>>): Record<string, NDArray> =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [prefix + name, array]));

/** The arrays whose names begin with `prefix`, named without it. */
function part(arrays: ReadonlyMap<string, SavedArray>, prefix: string): Record<string, NDArray> {
  const own = [...arrays].filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(
    own.map(([name, array]) => [
      name.slice(prefix.length),
      NDArray.from(array.data, { shape: array.shape, dtype: array.dtype }),
    ]),
  );
}

export function saved(array: NDArray): SavedArray {
  const data = array.toTypedArray();
  const { shape } = array;
  return data instanceof Float32Array ? { dtype: "float32", shape, data } : { dtype: "int32", shape, data };
}

function checkFit(file: string, own: Record<string, NDArray>, arrays: ReadonlyMap<string, SavedArray>): void {
  const kind = ({ dtype, shape }: SavedArray | NDArray) => `${dtype} ${formatShape(shape)}`;
  const problems = [
    ...Object.keys(own).flatMap((name) => (arrays.has(name) ? [] : [`no ${name}`])),
    ...[...arrays].flatMap(([name, array]) => {
      const target = own[name];
      if (target === undefined) return [`an unknown ${name}`];
      return kind(target) === kind(array) ? [] : [`${name} as ${kind(array)}, expected ${kind(target)}`];
    }),
  ];
  if (problems.length === 0) return;
  const some = problems.slice(0, 5).join("; ") + (problems.length > 5 ? `; and ${problems.length - 5} more` : "");
  throw new CheckpointError(file, `it is of another model or optimizer: it has ${some}`);
}
