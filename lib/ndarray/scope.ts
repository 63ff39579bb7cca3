/**
 * `tidy` scopes: what is made inside and not returned is freed at the end. A scope is a list of handles; leaving it
 * disposes them all, but those that the result holds move to the enclosing scope.
 */
import { ArgumentError } from "../native/errors.ts";

/** A handle that a scope can free. */
export interface Scoped {
  dispose(): void;
  /** Set by `keep()`: no scope frees it. */
  readonly kept: boolean;
  /** @internal The number of the last scope whose result held this handle. */
  returnedFrom: number;
}

/** An object that owns handles, such as a tensor; tidy asks for them when it is returned. */
export interface HandleOwner {
  [handles](): readonly Scoped[];
}

export const handles: unique symbol = Symbol("thimble.handles");

let current: Scoped[] | null = null;
let scopes = 0;

/** Enters a new handle into the current scope, if there is one. */
export function track(handle: Scoped): void {
  if (current !== null) current.push(handle);
}

/**
 * Runs `fn` outside all scopes: what it makes lives until it is disposed or forgotten. For parameters and gradients.
 */
export function untracked<R>(fn: () => R): R {
  const outer = current;
  current = null;
  try {
    return fn();
  } finally {
    current = outer;
  }
}

/**
 * Runs `fn` and frees every array made inside, except those that it returns (alone, or in arrays, objects, maps and
 * sets), those on which `keep()` was called, and gradients and parameters. Returned arrays belong to the enclosing
 * tidy, or to the caller. A training step inside tidy holds the least memory.
 *
 * @throws ArgumentError if `fn` returns a promise: what runs after its first await would be outside.
 */
export function tidy<R>(fn: () => R): R {
  if (typeof fn !== "function") throw new ArgumentError("tidy", `takes a function, not ${String(fn)}`);
  const outer = current;
  const mine: Scoped[] = [];
  const scope = ++scopes;
  current = mine;
  try {
    const result = fn();
    refusePromise("tidy", result, "Use a synchronous function: what runs after an await would be outside of the scope");
    markReturned(result, scope);
    return result;
  } finally {
    current = outer;
    for (let i = 0; i < mine.length; i++) {
      const handle = mine[i]!;
      if (handle.kept) continue;
      if (handle.returnedFrom !== scope) handle.dispose();
      else if (outer !== null) outer.push(handle);
    }
  }
}

export function isPromise(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** Throws if a function that must be synchronous returned a promise. */
export function refusePromise(operation: string, result: unknown, hint: string): void {
  if (!isPromise(result)) return;
  void Promise.resolve(result).catch(() => {}); // its own failure is not reported as well
  throw new ArgumentError(operation, "the function returned a promise", { hint });
}

/** Marks every handle that `value` holds, however deep. Containers within are mostly none, and then need no set. */
function markReturned(value: unknown, scope: number): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  if (isOwner(value)) return mark(value, scope);
  const inside = markItems(value, scope);
  if (inside === null) return;
  const containers = new Set(inside); // it grows as it is read, and has each once where there are cycles
  for (const container of containers) for (const next of markItems(container, scope) ?? []) containers.add(next);
}

function mark(owner: HandleOwner, scope: number): void {
  for (const handle of owner[handles]()) handle.returnedFrom = scope;
}

/** Marks the handles that a container holds itself; the containers in it. */
function markItems(container: object, scope: number): object[] | null {
  let inside: object[] | null = null;
  for (const item of itemsOf(container)) {
    if (typeof item !== "object" || item === null || ArrayBuffer.isView(item)) continue;
    if (isOwner(item)) mark(item, scope);
    else (inside ??= []).push(item);
  }
  return inside;
}

function itemsOf(value: object): Iterable<unknown> {
  if (Array.isArray(value) || value instanceof Set) return value;
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  return Object.values(value);
}

function isOwner(value: object): value is HandleOwner {
  return handles in value;
}
