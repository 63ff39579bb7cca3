/** Deep copies, for {@link Module.clone}: of an object's properties and of all that they hold, each thing once. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { untracked } from "../ndarray/scope.ts";
import { Buffer, Parameter } from "./parameter.ts";

/** Tells modules, which are asked for their copies: a class may have its own way. */
type IsModule = (value: object) => value is { clone(): object };

/** What the clone() that is under way has copied; those of the modules inside add to it. */
let copies: Map<object, object> | null = null;

/** A copy of a module: an object of its class, whose constructor does not run. */
export function copyModule<M extends object>(module: M, isModule: IsModule): M {
  const before = copies?.get(module);
  if (before !== undefined) return before as M; // under the key of a module is its copy
  if (Object.hasOwn(module, "forward"))
    throw new ArgumentError("clone", `forward of this ${module.constructor.name} was replaced on the object itself`, {
      hint: "Make it a method of a class: the copy's could go on using the original",
    });
  const outer = copies;
  copies ??= new Map();
  try {
    const copy: M = Object.create(Object.getPrototypeOf(module));
    copies.set(module, copy);
    untracked(() => fill(module, copy, isModule));
    return copy;
  } finally {
    copies = outer;
  }
}

/** Copies what an object has into its empty copy. A list of what is left to do: linked objects may be many. */
function fill(from: object, to: object, isModule: IsModule): void {
  const open: [from: object, to: object][] = [[from, to]];
  const copyOf = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const before = copies!.get(value);
    if (before !== undefined) return before;
    const container = emptyLike(value);
    const copy = container ?? (isModule(value) ? value.clone() : copyArray(value));
    copies!.set(value, copy);
    if (container !== null) open.push([value, container]);
    return copy;
  };
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [source, target] = next;
    if (Array.isArray(source) && Array.isArray(target)) source.forEach((each, i) => (target[i] = copyOf(each)));
    else if (source instanceof Map && target instanceof Map)
      for (const [key, value] of source) target.set(copyOf(key), copyOf(value));
    else if (source instanceof Set && target instanceof Set) for (const each of source) target.add(copyOf(each));
    else copyProperties(source, target, copyOf);
  }
}

function copyProperties(from: object, to: object, copyOf: (value: unknown) => unknown): void {
  for (const key of Reflect.ownKeys(from)) {
    const property = Object.getOwnPropertyDescriptor(from, key)!;
    if ("value" in property) property.value = copyOf(property.value);
    Object.defineProperty(to, key, property);
  }
}

/** An empty list, map, set or plain object like this one; null for anything else. */
function emptyLike(value: object): object | null {
  if (Array.isArray(value)) return Array(value.length);
  if (value instanceof Map) return new Map();
  if (value instanceof Set) return new Set();
  const type: unknown = Object.getPrototypeOf(value);
  return type === Object.prototype || type === null ? Object.create(type) : null;
}

/** A tensor or array of equal elements, without gradient and history; another object is shared. */
function copyArray(value: object): object {
  if (value instanceof Parameter) return new Parameter(value.data.copy(), { requiresGrad: value.requiresGrad });
  if (value instanceof Buffer) return new Buffer(value.data.copy());
  // Other tensors are the module's own business, such as a state that it remembers, and may be gone.
  if (value instanceof Tensor && !value.data.disposed)
    return new Tensor(value.data.copy(), { requiresGrad: value.requiresGrad && value.isLeaf });
  return value instanceof NDArray && !value.disposed ? value.copy() : value;
}
