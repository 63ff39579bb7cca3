/**
 * Weights from PyTorch and back, as safetensors files. How PyTorch calls and lays out what a module has, the module says
 * itself: see {@link inPyTorch}.
 */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, CheckpointError, ShapeError } from "../native/errors.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { type InPyTorch, inPyTorch, Module, partsOf } from "../nn/module.ts";
import { isBatchCount, type LeftAlone, misfit } from "../nn/state-dict.ts";
import { checkPath, saved } from "./checkpoint.ts";
import { readSafetensors, type SavedArray, writeSafetensors } from "./safetensors.ts";

export interface LoadPyTorchOptions {
  /** From a name in the file to the one that the model's tensor would have in PyTorch. Default: they are the same. */
  rename?: ((name: string) => string) | undefined;
  /** Whether names that only one side has are an error; else they are left alone, and returned. Default true. */
  strict?: boolean | undefined;
}

export interface SavePyTorchOptions {
  /** From the name that the model's tensor would have in PyTorch to the one in the file. Default: they are the same. */
  rename?: ((name: string) => string) | undefined;
}

/**
 * Copies what `safetensors.torch.save_file(model.state_dict(), file)` wrote in Python into a model whose modules have the
 * same names, `self_attn` and `selfAttn` being the same where only one of the model's names fits. Each module of thimble
 * turns its weights and knows PyTorch's names of them; a module's own parameters are taken as they are. Tensors that are
 * one here may have several names in the file, if they are equal there, or one. Nothing is written unless all of it fits.
 * @param source a file, or the `arrays` that {@link readSafetensors} found in some.
 * @returns what was left alone, with `strict: false`: PyTorch's names.
 * @throws CheckpointError for a damaged file, missing or unknown names (unless `strict` is false), and different values
 * for one tensor; ShapeError if a shape differs, DTypeError for values that an int32 buffer cannot have.
 *
 * @example A model that was saved from inside another one.
 * ```ts
 * loadPyTorch("gpt.safetensors", model, { rename: (name) => name.replace(/^transformer\./, "") });
 * ```
 */
export function loadPyTorch(
  source: string | ReadonlyMap<string, SavedArray>,
  model: Module,
  options: LoadPyTorchOptions = {},
): LeftAlone {
  const operation = "loadPyTorch";
  const { strict = true, rename } = checkOptions(operation, options, ["rename", "strict"]);
  checkFlag(operation, "strict", strict);
  const newName = checkRename(operation, rename);
  if (typeof source !== "string" && !(source instanceof Map)) {
    const problem = `takes a file's path, or a Map of what readSafetensors read, not ${describe(source)}`;
    throw new ArgumentError(operation, problem);
  }
  const parts = namedParts(operation, model);
  const [file, arrays] = typeof source === "string" ? [source, readSafetensors(source).arrays] : [operation, source];

  const find = finder(parts);
  const found = [...arrays].map(([name, array]) => ({ name, array, part: find(newName(name)) }));
  const filled = new Set(found.map(({ part }) => part?.tensor));
  const missing = parts.filter(({ tensor }) => !filled.has(tensor)).map(({ name }) => name);
  const unexpected = found.flatMap(({ name, part }) => (part !== undefined || isBatchCount(name) ? [] : [name]));
  const misfits = strict ? misfit(model.constructor.name, { missing, unexpected }) : null;
  if (misfits !== null) {
    throw new CheckpointError(file, misfits, {
      hint: "The option rename maps names, strict: false leaves these alone",
    });
  }
  tidy(() => {
    const first = new Map<Tensor, { name: string; value: NDArray }>();
    const values = new Map<string, NDArray>();
    for (const { name, array, part } of found) {
      if (part === undefined) continue;
      const value = fromPyTorch(name, array, part, model);
      const other = first.get(part.tensor);
      if (other !== undefined && !isEqual(other.value, value)) {
        const problem = `${other.name} and ${name} differ, and are one tensor of ${model.constructor.name}, ${part.own}`;
        throw new CheckpointError(file, problem);
      }
      first.set(part.tensor, { name, value });
      values.set(part.own, value);
    }
    model.loadStateDict(Object.fromEntries(values), { strict: false });
  });
  return { missing, unexpected };
}

/**
 * Writes the model's parameters and buffers as PyTorch has them: `model.load_state_dict(safetensors.torch.load_file(file))`
 * in Python takes them. The other direction of {@link loadPyTorch}.
 * @throws CheckpointError when it cannot be written.
 */
export function savePyTorch(file: string, model: Module, options: SavePyTorchOptions = {}): void {
  const operation = "savePyTorch";
  checkPath(operation, file);
  const { rename } = checkOptions(operation, options, ["rename"]);
  const parts = namedParts(operation, model, checkRename(operation, rename));
  const arrays = tidy(() =>
    parts.map(({ name, tensor, axes }) => {
      const array = axes === undefined ? tensor.data : tensor.data.permute(axes);
      return [name, saved(array)] as const;
    }),
  );
  writeSafetensors(file, new Map(arrays), new Map([["format", "pt"]]));
}

/** A tensor of a model, by its name here and as PyTorch has it. */
interface Part extends InPyTorch {
  own: string;
  tensor: Tensor;
}

function namedParts(operation: string, model: Module, rename = (name: string): string => name): Part[] {
  if (!(model instanceof Module))
    throw new ArgumentError(operation, `the model must be a Module, not ${describe(model)}`);
  const parts = partsInside(model);
  const seen = new Map<string, Part>();
  for (const part of parts) {
    part.name = rename(part.name);
    const other = seen.get(part.name);
    if (other !== undefined && other.tensor !== part.tensor)
      throw new ArgumentError(operation, `${other.own} and ${part.own} would both be named ${part.name}`);
    seen.set(part.name, part);
  }
  return parts;
}

/** As {@link Module.stateDict} has them. */
function partsInside(module: Module, above: readonly Module[] = []): Part[] {
  const { tensors, modules } = partsOf(module);
  const path = [...above, module];
  const parts = tensors.map(([own, tensor]): Part => {
    const { name, axes } = module[inPyTorch](own);
    return { own, tensor, name, axes };
  });
  for (const [key, child] of modules) {
    if (path.includes(child)) continue;
    for (const { own, tensor, name, axes } of partsInside(child, path))
      parts.push({ own: `${key}.${own}`, tensor, name: module[inPyTorch](`${key}.${name}`).name, axes });
  }
  return parts;
}

function checkRename(operation: string, rename: (name: string) => string = (name) => name): (name: string) => string {
  if (typeof rename !== "function")
    throw new ArgumentError(operation, `rename must be a function, not ${describe(rename)}`);
  return (name) => {
    const renamed = rename(name);
    if (typeof renamed === "string") return renamed;
    throw new ArgumentError(operation, `rename must give a name, not ${describe(renamed)} for ${name}`);
  };
}

/** Finds the part of a name: the one that has it, or else the only one that has it in camelCase. */
function finder(parts: readonly Part[]): (name: string) => Part | undefined {
  const exact = new Map(parts.map((part) => [part.name, part]));
  const alike = Map.groupBy(exact.values(), ({ name }) => camelCase(name));
  return (name) => {
    const others = alike.get(camelCase(name)) ?? [];
    return exact.get(name) ?? (others.length === 1 ? others[0] : undefined);
  };
}

const camelCase = (name: string): string => name.replaceAll(/_([a-z\d])/g, (_, next: string) => next.toUpperCase());

/** The array with its axes as the part has them. */
function fromPyTorch(name: string, array: SavedArray, part: Part, model: Module): NDArray {
  if (!ArrayBuffer.isView(array?.data) || !Array.isArray(array.shape)) {
    const problem = `${name} must be { dtype, shape, data }, as readSafetensors gives it, not ${describe(array)}`;
    throw new ArgumentError("loadPyTorch", problem);
  }
  const { data, dtype, shape } = array;
  const { tensor, axes = tensor.shape.map((_, axis) => axis) } = part;
  const expected = axes.map((axis) => tensor.shape[axis]!);
  if (!sameShape(shape, expected)) {
    const problem = `${name} has the first of these shapes in ${model.constructor.name}, and what is loaded the second`;
    throw new ShapeError("loadPyTorch", problem, { shapes: [expected, shape] });
  }
  return NDArray.from(data, { shape, dtype }).permute(axes.map((_, axis) => axes.indexOf(axis)));
}

function isEqual(a: NDArray, b: NDArray): boolean {
  const values = b.toTypedArray();
  return a.toTypedArray().every((value, i) => Object.is(value, values[i]));
}
