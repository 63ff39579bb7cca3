/**
 * Module: parameters, buffers and submodules are simply its properties, alone or in lists, maps and plain objects.
 * Parameters are trained and saved, buffers are only saved; both are found by walking the properties in the order in which
 * they were made, and named by their path: `layers.0.weight`. Other tensors are the module's own business, and so is what
 * it has in `#private` fields, which nobody else can see.
 */
import { Tensor, type TensorOptions } from "../autograd/tensor.ts";
import { ArgumentError, CheckpointError, DTypeError, ShapeError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import { MAX_SIZE, sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { untracked } from "../ndarray/scope.ts";
import type { Chain } from "./chain.ts";

/** A tensor that belongs to a module and is trained. No tidy frees it. */
export class Parameter extends Tensor {
  /**
   * @param values an array, which belongs to the parameter from now on, or a tensor, whose elements are shared, as PyTorch's.
   * @param options.requiresGrad default true.
   */
  constructor(values: NDArray | Tensor, options: Pick<TensorOptions, "requiresGrad"> = {}) {
    const { requiresGrad = true } = checkOptions("Parameter", options, ["requiresGrad"]);
    const data = values instanceof Tensor ? untracked(() => values.data.alias()) : values;
    if (!(data instanceof NDArray))
      throw new ArgumentError("Parameter", `takes an array or a tensor, not ${describe(values)}`);
    super(data.keep(), { requiresGrad });
  }
}

/** A tensor that belongs to a module and is saved with it, not trained. No tidy frees it. */
export class Buffer extends Tensor {
  /** @param data an array, which belongs to the buffer from now on. */
  constructor(data: NDArray) {
    super(data);
    data.keep();
  }
}

/** The tensors of a module by name: what a checkpoint holds. */
export type StateDict = Record<string, Tensor>;

/** What every module's options take. */
export interface ModuleOptions {
  /** Of its parameters. Default cpu(). */
  device?: Device | undefined;
  /** Default, and all there is: "float32". */
  dtype?: "float32" | undefined;
}

/** The options of a module that has those named `own` besides {@link ModuleOptions}. @throws ArgumentError, DTypeError. */
export function checkModuleOptions<O extends ModuleOptions>(
  module: string,
  options: O,
  own: readonly (keyof O & string)[] = [],
): O {
  const { dtype } = checkOptions(module, options, [...own, "device", "dtype"]);
  if (dtype !== undefined && dtype !== "float32")
    throw new DTypeError(module, `dtype must be "float32", not ${JSON.stringify(dtype) ?? String(dtype)}`);
  return options;
}

/**
 * Own static property of a module class whose objects keep no tensor that passes through them. A container frees what one
 * such module hands to another at once, where it would otherwise wait for the garbage collector; anything that another
 * module has seen, and may have kept, is left alone.
 */
export const keepsNothing: unique symbol = Symbol("thimble.keepsNothing");

/**
 * @internal Method of a module class that adds to a chain of layers what `forward` does, for inference; false where it
 * cannot, perhaps with half of it added.
 */
export const joins: unique symbol = Symbol("thimble.joins");

/** A layer or a model: parameters, buffers and submodules are its properties; `forward` is what it computes. */
export abstract class Module {
  /** Whether layers such as Dropout and BatchNorm behave as in training; see {@link train} and {@link eval}. */
  training = true;

  abstract forward(...inputs: never[]): unknown;

  /** @internal */
  [joins]?(chain: Chain): boolean;

  /** All parameters, of submodules too, each once. */
  parameters(): Parameter[] {
    return Object.values(this.namedParameters());
  }

  /** Parameters by path. A parameter used in two places has the name of its first. */
  namedParameters(): Record<string, Parameter> {
    const seen = new Set<Tensor>();
    const found: Record<string, Parameter> = {};
    for (const [name, value] of tensorsOf(this)) {
      if (!(value instanceof Parameter) || seen.has(value)) continue;
      seen.add(value);
      found[name] = value;
    }
    return found;
  }

  /** Parameters and buffers by path: the tensors themselves, not copies. */
  stateDict(): StateDict {
    return Object.fromEntries(tensorsOf(this));
  }

  /**
   * Copies values into the module's tensors, keeping their device. Nothing is written unless all of it fits.
   * @throws CheckpointError if names are missing or unknown, ShapeError if a shape differs, DTypeError if a dtype does.
   */
  loadStateDict(dict: Readonly<Record<string, Tensor | NDArray>>): void {
    if (typeof dict !== "object" || dict === null) {
      throw new ArgumentError("loadStateDict", `takes an object of tensors, not ${String(dict)}`);
    }
    const own = this.stateDict();
    const missing = Object.keys(own).filter((name) => !(name in dict));
    const unknown = Object.keys(dict).filter((name) => !(name in own));
    if (missing.length > 0 || unknown.length > 0) {
      const parts = [
        missing.length > 0 ? `missing ${missing.join(", ")}` : "",
        unknown.length > 0 ? `unknown ${unknown.join(", ")}` : "",
      ];
      const problem = `does not fit ${this.constructor.name}: ${parts.filter(Boolean).join("; ")}`;
      throw new CheckpointError("loadStateDict", problem);
    }
    for (const [name, target] of Object.entries(own)) {
      const source = dict[name];
      if (!(source instanceof Tensor || source instanceof NDArray)) {
        throw new ArgumentError("loadStateDict", `${name} must be a tensor or an array, not ${String(source)}`);
      }
      if (!sameShape(source.shape, target.shape)) {
        const problem = `${name} of ${this.constructor.name} has another shape`;
        throw new ShapeError("loadStateDict", problem, { shapes: [target.shape, source.shape] });
      }
      (source instanceof Tensor ? source.data : source).assertUsable();
      if (source.dtype !== target.dtype)
        throw new DTypeError("loadStateDict", `${name} must be ${target.dtype}, not ${source.dtype}`);
    }
    for (const [name, target] of Object.entries(own)) target.set(dict[name]!);
  }

  /** Training behaviour for this module and all inside. */
  train(mode = true): this {
    for (const module of modulesOf(this)) module.training = mode;
    return this;
  }

  /** Inference behaviour for this module and all inside. */
  eval(): this {
    return this.train(false);
  }

  /** Moves all tensors to a device, in place, or none if they do not fit. The gradients of those that move are dropped. */
  to(device: Device): this {
    const elsewhere = new Set(
      tensorsOf(this)
        .map(([, value]) => value)
        .filter((value) => value.device !== device),
    );
    const moved = new Map<Tensor, NDArray>();
    try {
      for (const value of elsewhere) moved.set(value, untracked(() => value.data.to(device)).keep());
    } catch (error) {
      for (const array of moved.values()) array.dispose();
      throw error;
    }
    for (const [value, array] of moved) {
      value.clearGradient();
      value.data.dispose();
      value.data = array;
    }
    return this;
  }
}

/** Makes a parameter outside of every tidy. */
export function parameter(make: () => Tensor): Parameter {
  return untracked(() => new Parameter(make().data));
}

/** Throws unless a module's size is a positive integer. */
export function checkSize(module: string, name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > MAX_SIZE) {
    throw new ArgumentError(module, `${name} must be a positive integer, not ${String(value)}`);
  }
}

/** Runs `fn` with a module, and all inside, in training or in inference behaviour; then each of them is as it was. */
export function inMode<R>(module: Module, training: boolean, fn: () => R): R {
  const before = modulesOf(module).map((each) => [each, each.training] as const);
  module.train(training);
  try {
    return fn();
  } finally {
    for (const [each, mode] of before) each.training = mode;
  }
}

/** A module and all inside, each once. */
function modulesOf(module: Module): Module[] {
  const found = new Set<Module>();
  walk(module, "", new Set(), (_, value) => value instanceof Module && found.add(value));
  return [...found];
}

/** Parameters and buffers by path. One that is used in two places is there twice; modules in two places, once for each. */
function tensorsOf(module: Module): [string, Tensor][] {
  const found: [string, Tensor][] = [];
  walk(module, "", new Set(), (path, value) => {
    if (value instanceof Parameter || value instanceof Buffer) found.push([path, value]);
  });
  return found;
}

/** Visits a value and what it is made of: a module's properties, and the elements of lists, maps and plain objects. */
function walk(value: unknown, path: string, above: Set<unknown>, visit: (path: string, value: unknown) => void): void {
  if (typeof value !== "object" || value === null || above.has(value)) return; // a child may know its parent
  visit(path, value);
  const parts = partsOf(value);
  if (parts === null) return;
  above.add(value);
  for (const [name, part] of parts) walk(part, path === "" ? String(name) : `${path}.${String(name)}`, above, visit);
  above.delete(value);
}

function partsOf(value: object): Iterable<readonly [unknown, unknown]> | null {
  if (value instanceof Map || Array.isArray(value)) return value.entries();
  const isPlain = Object.getPrototypeOf(value) === Object.prototype;
  return value instanceof Module || isPlain ? Object.entries(value) : null;
}
