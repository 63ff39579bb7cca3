/**
 * Module: parameters, buffers and submodules are simply its properties, alone or in lists, sets, maps and plain objects.
 * Parameters are trained and saved, buffers are only saved; both are named by their path, `layers.0.weight`, and come
 * in the order in which the properties were made, a module's own before those of its submodules. Other tensors are
 * the module's own business, and so is what it has in `#private` fields, which nobody else can see.
 */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, formatShape } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import type { NDArray } from "../ndarray/ndarray.ts";
import { checkDevice } from "../ndarray/array-options.ts";
import { inspect } from "../ndarray/format.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { untracked } from "../ndarray/scope.ts";
import type { Chain } from "./chain.ts";
import { copyModule } from "./clone.ts";
import { Buffer, Parameter } from "./parameter.ts";
import { type LeftAlone, load, type StateDict } from "./state-dict.ts";

/**
 * Own static property of a module class whose objects keep no tensor that passes through them. A container frees what
 * one such module hands to another at once, where it would otherwise wait for the garbage collector; anything that
 * another module has seen, and may have kept, is left alone.
 */
export const keepsNothing: unique symbol = Symbol("thimble.keepsNothing");

/**
 * @internal Method of a module class that adds to a chain of layers what `forward` does, for inference; false where it
 * cannot, perhaps with half of it added.
 */
export const joins: unique symbol = Symbol("thimble.joins");

/** @internal Method of a module class that names what its objects hold: by default their properties. */
export const members: unique symbol = Symbol("thimble.members");

/**
 * @internal Method of a module class that says how PyTorch has the tensor of this name: one of its own, or one of a
 * submodule, by the name that it has there. By default just so.
 */
export const inPyTorch: unique symbol = Symbol("thimble.inPyTorch");

/** How PyTorch has a tensor. */
export interface InPyTorch {
  name: string;
  /** The tensor's own axes in the order in which PyTorch has them, where it is another. */
  axes?: readonly number[] | undefined;
}

/** A layer or a model: parameters, buffers and submodules are its properties; `forward` is what it computes. */
export abstract class Module {
  /** Whether layers such as Dropout and BatchNorm behave as in training; see {@link train} and {@link eval}. */
  training = true;

  abstract forward(...inputs: never[]): unknown;

  /** @internal */
  [joins]?(chain: Chain): boolean;

  /** @internal */
  [members](): [name: string, value: unknown][] {
    return Object.entries(this);
  }

  /** @internal */
  [inPyTorch](name: string): InPyTorch {
    return { name };
  }

  /** All parameters, of submodules too, each once. */
  parameters(): Parameter[] {
    return Object.values(this.namedParameters());
  }

  /** Parameters by path. A parameter used in two places has the name of its first. */
  namedParameters(): Record<string, Parameter> {
    const seen = new Set<Tensor>();
    const found: Record<string, Parameter> = {};
    for (const [name, value] of namedTensors(this)) {
      if (!(value instanceof Parameter) || seen.has(value)) continue;
      seen.add(value);
      found[name] = value;
    }
    return found;
  }

  /** Parameters and buffers by path: the tensors themselves, not copies. */
  stateDict(): StateDict {
    return Object.fromEntries(namedTensors(this));
  }

  /**
   * Copies values into the module's tensors, keeping their device. Nothing is written unless all of it fits. With
   * `strict: false`, names that only one side has are left alone, and returned. PyTorch's names of what batch normalisation
   * keeps are understood.
   * @throws CheckpointError if names are missing or unknown, unless `strict` is false; ShapeError if a shape differs,
   * DTypeError for values that an int32 buffer cannot have.
   */
  loadStateDict(
    given: Readonly<Record<string, Tensor | NDArray>>,
    options: { strict?: boolean | undefined } = {},
  ): LeftAlone {
    if (typeof given !== "object" || given === null) {
      throw new ArgumentError("loadStateDict", `takes an object of tensors, not ${String(given)}`);
    }
    const { strict = true } = checkOptions("loadStateDict", options, ["strict"]);
    checkFlag("loadStateDict", "strict", strict);
    return load(this.constructor.name, this.stateDict(), given, strict);
  }

  /**
   * A deep copy: its own parameters and buffers, of equal values on the same devices and without gradients, in the same
   * structure of modules, in the same modes, also in lists, sets, maps and plain objects. What is in two places, such as
   * a tied parameter, is so in the copy. Tensors and arrays that a module merely remembers are copied without their
   * history. Constructors do not run.
   *
   * It cannot copy what is in `#private` fields (TypeScript's `private` ones it can), nor functions and objects of other
   * classes, which both share: an arrow function in a property goes on using the original's `this`. Two parameters that
   * have their memory in common, though they are not one, are independent in the copy. A class that needs more may
   * override this, and start from `super.clone()`.
   * @throws ArgumentError where `forward` was replaced on the object itself.
   */
  clone(): this {
    return copyModule(this, (value) => value instanceof Module);
  }

  /** The modules inside, each on a line of its own, with the shapes of their parameters and buffers. */
  toString(): string {
    return describeModule(this, []);
  }

  /** @internal For console.log. */
  [inspect](): string {
    return this.toString();
  }

  /** A {@link Buffer}: `readonly mean = this.buffer(NDArray.zeros([3]))`. */
  protected buffer(values: NDArray | Tensor): Buffer {
    return new Buffer(values);
  }

  /** Training behaviour for this module and all inside. */
  train(mode = true): this {
    if (changing.has(this)) return this;
    changing.add(this);
    try {
      this.training = mode;
      for (const [, child] of partsOf(this).modules) child.train(mode); // which may have a `train` of its own
    } finally {
      changing.delete(this);
    }
    return this;
  }

  /** Inference behaviour for this module and all inside. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Moves all tensors to a device, in place, or none if they do not fit. The gradients of those that move are
   * dropped.
   */
  to(device: Device): this {
    checkDevice("to", device);
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

/** A child that knows its parent (`above`) is there by its name alone. */
function describeModule(module: Module, above: readonly Module[]): string {
  const { name } = module.constructor;
  if (above.includes(module)) return `${name}(…)`;
  const { tensors, modules } = partsOf(module);
  const own = tensors.map(([key, { shape }]) => `${key} ${formatShape(shape)}`);
  if (modules.length === 0) return `${name}(${own.join(", ")})`;
  const inside = modules.map(([key, child]) => `(${key}): ${describeModule(child, [...above, module])}`);
  return `${name}(\n${[...own, ...inside].join("\n").replaceAll(/^/gm, "  ")}\n)`;
}

interface Parts {
  tensors: [name: string, value: Parameter | Buffer][];
  modules: [name: string, value: Module][];
}

/** What a module's properties hold: parameters, buffers and submodules, alone or in lists, sets, maps and plain objects. */
export function partsOf(module: Module): Parts {
  const parts: Parts = { tensors: [], modules: [] };
  const containers = new Set<object>();
  const open: { entries: Iterator<readonly [unknown, unknown]>; prefix: string }[] = [];
  open.push({ entries: module[members]()[Symbol.iterator](), prefix: "" });
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const { done, value: entry } = top.entries.next();
    if (done === true) open.pop();
    if (done === true || typeof entry[1] !== "object" || entry[1] === null) continue;
    const [key, part] = entry;
    const name = top.prefix + String(key);
    if (part instanceof Module) parts.modules.push([name, part]);
    else if (part instanceof Parameter || part instanceof Buffer) parts.tensors.push([name, part]);
    else if (part instanceof Tensor) checkNotReplaced(module, name);
    else if (!containers.has(part)) {
      const entries = entriesOf(part);
      if (entries !== null) open.push({ entries, prefix: `${name}.` });
      containers.add(part);
    }
  }
  if (parts.tensors.length > 0) {
    const kinds = parts.tensors.map(
      ([name, value]) => [name, value instanceof Buffer ? "Buffer" : "Parameter"] as const,
    );
    kindsOf.set(module, new Map(kinds));
  }
  return parts;
}

/** What a module was seen with, by name. */
const kindsOf = new WeakMap<Module, ReadonlyMap<string, "Buffer" | "Parameter">>();

/** A result put where a parameter or buffer was would silently be trained and saved no more. */
function checkNotReplaced(module: Module, name: string): void {
  const kind = kindsOf.get(module)?.get(name);
  if (kind === undefined) return;
  const lost = kind === "Buffer" ? "saved" : "trained or saved";
  const problem = `'${name}' was a ${kind}, and is now a tensor that would not be ${lost}`;
  throw new ArgumentError(module.constructor.name, problem, {
    hint: `Write into it with set(), or make a new ${kind}`,
  });
}

function entriesOf(value: object): Iterator<readonly [unknown, unknown]> | null {
  if (value instanceof Map || Array.isArray(value)) return value.entries();
  if (value instanceof Set) return [...value].entries();
  const type: unknown = Object.getPrototypeOf(value);
  return type === Object.prototype || type === null ? Object.entries(value)[Symbol.iterator]() : null;
}

/** {@link tensorsOf}, of which no two may have one name: as a checkpoint has them. */
function namedTensors(module: Module): [string, Tensor][] {
  const all = tensorsOf(module);
  const named = new Map<string, Tensor>();
  for (const [name, value] of all) {
    const other = named.get(name) ?? value;
    if (other !== value)
      throw new ArgumentError(module.constructor.name, `two of its tensors are named '${name}'`, {
        hint: "Keys of maps and objects that hold modules may have no dots, and differ as texts",
      });
    named.set(name, value);
  }
  return all;
}

/**
 * Parameters and buffers by path: a module's own before those of its submodules, as PyTorch has them. One that is
 * used in two places is there twice. A child that knows its parent (`above`) does not lead back to it.
 */
function tensorsOf(module: Module, prefix = "", above: readonly Module[] = []): [string, Tensor][] {
  const { tensors, modules } = partsOf(module);
  const path = [...above, module];
  const inside = modules.filter(([, child]) => !path.includes(child));
  return [
    ...tensors.map(([name, value]): [string, Tensor] => [prefix + name, value]),
    ...inside.flatMap(([name, child]) => tensorsOf(child, `${prefix}${name}.`, path)),
  ];
}

/** Modules whose mode is being set: a child that knows its parent does not lead back to it. */
const changing = new Set<Module>();
