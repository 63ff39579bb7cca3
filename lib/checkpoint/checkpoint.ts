/**
 * Checkpoints: everything that a training run needs to go on as if it had never stopped, in one safetensors file.
 *
 *     arrays      model.NAME       the model's parameters and buffers
 *                 optimizer.NAME   the optimizer's moments
 *                 extra.NAME       the caller's own arrays, such as a hidden state that is carried on
 *     metadata    thimble          JSON: version, the optimizer's steps and rate, the random generator, the caller's own state
 *
 * The model's arrays alone are what {@link loadCheckpoint} needs for inference.
 */
import { ArgumentError, CheckpointError, formatShape, ThimbleError } from "../native/errors.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { defaultGenerator } from "../ndarray/random.ts";
import { tidy } from "../ndarray/scope.ts";
import type { Module } from "../nn/index.ts";
import type { Optimizer } from "../optim/index.ts";
import { readSafetensors, type SavedArray, writeSafetensors } from "./safetensors.ts";

const VERSION = 1;

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** What is saved or restored together. */
export interface Training {
  model: Module;
  /** Left out for a model that is only to be used. */
  optimizer?: Optimizer | undefined;
}

/** What is saved: also arrays of the caller's, by name, which {@link readCheckpointArrays} gives back. */
export interface SavedTraining extends Training {
  arrays?: Readonly<Record<string, NDArray>> | undefined;
}

/**
 * Writes the model, the optimizer's state, the generator of `manualSeed`, and `state` (anything of the caller's: the
 * epoch, the options) to a file, atomically. A DataLoader's order follows from its `seed` and its `epoch`, which are
 * the caller's to keep: make the loader with a seed, or before {@link loadCheckpoint}.
 * @throws CheckpointError when it cannot be written; ArgumentError for a state that is not JSON.
 */
export function saveCheckpoint(file: string, { model, optimizer, arrays }: SavedTraining, state: Json = null): void {
  const { steps = null, lr = null } = optimizer?.state() ?? {};
  const content = { version: VERSION, steps, lr, generator: defaultGenerator.state, state };
  const all = { ...arraysOf(model, optimizer), ...prefixed("extra.", arrays ?? {}) };
  const entries = Object.entries(all).map(([name, array]) => [name, saved(array)] as const);
  writeSafetensors(file, new Map(entries), new Map([["thimble", JSON.stringify(content, writeNumber)]]));
}

/**
 * JSON has no Infinity, which is where a search for the best loss begins, and no NaN: they are written as objects with
 * this key and their name.
 */
const NUMBER = "thimble.number";

function writeNumber(key: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) return { [NUMBER]: String(value) };
  if (typeof value === "bigint")
    throw new ArgumentError("saveCheckpoint", `the state must be JSON, and its '${key}' is a bigint`);
  return value;
}

function readNumber(_: string, value: unknown): unknown {
  const isWritten = typeof value === "object" && value !== null && NUMBER in value;
  return isWritten ? Number(value[NUMBER]) : value;
}

/**
 * Restores what {@link saveCheckpoint} wrote into a model, and into an optimizer (its learning rate too) and the
 * generator of `manualSeed` when an optimizer is given. Nothing is changed unless all of it fits. Returns the caller's state.
 * @throws CheckpointError for a damaged file, or one of another model or optimizer: it names what is missing or differs.
 */
export function loadCheckpoint(file: string, { model, optimizer }: Training): Json {
  const { arrays: inFile, metadata } = readSafetensors(file);
  const content = parseContent(file, metadata.get("thimble"));
  const own = arraysOf(model, optimizer);
  const arrays = new Map([...inFile].map(([name, array]) => [nameNow(name, own), array] as const));
  const others = optimizer === undefined ? ["optimizer.", "extra."] : ["extra."];
  for (const name of arrays.keys()) if (others.some((prefix) => name.startsWith(prefix))) arrays.delete(name);
  checkFit(file, own, arrays);
  if (optimizer !== undefined && content.steps === null) throw new CheckpointError(file, "it holds no optimizer");
  const { steps, lr } = content;
  if (optimizer !== undefined && Array.isArray(steps) && steps.length !== optimizer.params.length) {
    const problem = `its optimizer has ${steps.length} parameters, not ${optimizer.params.length}`;
    throw new CheckpointError(file, problem);
  }

  try {
    tidy(() => {
      model.loadStateDict(part(arrays, "model."));
      if (optimizer === undefined || steps === null) return;
      const ofEach = typeof steps === "number" ? optimizer.params.map(() => steps) : steps;
      optimizer.loadState({ lr: lr ?? optimizer.lr, steps: ofEach, arrays: part(arrays, "optimizer.") });
      defaultGenerator.state = content.generator;
    });
  } catch (cause) {
    if (!(cause instanceof ThimbleError)) throw cause;
    throw new CheckpointError(file, cause.message, { cause });
  }
  return content.state;
}

/** The caller's state in a checkpoint, without restoring anything: such as what is needed to make the model. */
export function readCheckpointState(file: string): Json {
  return parseContent(file, readSafetensors(file).metadata.get("thimble")).state;
}

/** The caller's arrays in a checkpoint, in its order, on the CPU. */
export function readCheckpointArrays(file: string): Record<string, NDArray> {
  return part(readSafetensors(file).arrays, "extra.");
}

/** The name that an array has today: in older files Sequential named its modules `modules.0`, not `0`. */
function nameNow(name: string, own: Readonly<Record<string, NDArray>>): string {
  const renamed = name.replaceAll(/\bmodules\.(?=\d)/g, "");
  return !Object.hasOwn(own, name) && Object.hasOwn(own, renamed) ? renamed : name;
}

function arraysOf(model: Module, optimizer: Optimizer | undefined): Record<string, NDArray> {
  const own = Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.data] as const);
  return {
    ...prefixed("model.", Object.fromEntries(own)),
    ...prefixed("optimizer.", optimizer?.state().arrays ?? {}),
  };
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

function saved(array: NDArray): SavedArray {
  const data = array.toTypedArray();
  const { shape } = array;
  return data instanceof Float32Array ? { dtype: "float32", shape, data } : { dtype: "int32", shape, data };
}

function checkFit(file: string, own: Record<string, NDArray>, arrays: ReadonlyMap<string, SavedArray>): void {
  const describe = ({ dtype, shape }: SavedArray | NDArray) => `${dtype} ${formatShape(shape)}`;
  const problems = [
    ...Object.keys(own).flatMap((name) => (arrays.has(name) ? [] : [`no ${name}`])),
    ...[...arrays].flatMap(([name, array]) => {
      const target = own[name];
      if (target === undefined) return [`an unknown ${name}`];
      return describe(target) === describe(array)
        ? []
        : [`${name} as ${describe(array)}, expected ${describe(target)}`];
    }),
  ];
  if (problems.length === 0) return;
  const some = problems.slice(0, 5).join("; ") + (problems.length > 5 ? `; and ${problems.length - 5} more` : "");
  throw new CheckpointError(file, `it is of another model or optimizer: it has ${some}`);
}

interface Content {
  /** Of each parameter; older files have one number for all. */
  steps: readonly number[] | number | null;
  /** None in older files. */
  lr: number | null;
  generator: { seed: number; stream: number };
  state: Json;
}

function parseContent(file: string, text: string | undefined): Content {
  const refuse = (problem: string): never => {
    throw new CheckpointError(file, problem, { hint: "It must be a file that saveCheckpoint wrote" });
  };
  if (text === undefined) return refuse("the metadata has no 'thimble'");
  let content: Partial<Content & { version: number }> | null = null;
  try {
    content = JSON.parse(text, readNumber);
  } catch {
    return refuse("the metadata 'thimble' is not JSON");
  }
  if (typeof content !== "object" || content === null) return refuse("the metadata 'thimble' is not an object");
  const { version, steps, lr, generator, state = null } = content;
  if (version !== VERSION) return refuse(`version ${String(version)} is not ${VERSION}`);
  const count = (value: unknown) => Number.isSafeInteger(value);
  const counts = steps === null || [steps].flat().every((value) => count(value) && Number(value) >= 0);
  if (steps === undefined || !counts) return refuse("'steps' is not a count");
  if (lr !== undefined && lr !== null && !(lr >= 0)) return refuse("'lr' is not a learning rate");
  if (!count(generator?.seed) || !count(generator?.stream)) return refuse("'generator' is not {seed, stream}");
  return { steps, lr: lr ?? null, generator: generator!, state };
}
