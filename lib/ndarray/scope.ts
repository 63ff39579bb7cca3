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
}

/** An object that owns handles, such as a tensor; tidy asks for them when it is returned. */
export interface HandleOwner {
  [handles](): readonly Scoped[];
}

export const handles: unique symbol = Symbol("thimble.handles");

let current: Scoped[] | null = null;

/** Enters a new handle into the current scope, if there is one. */
export function track(handle: Scoped): void {
  if (current !== null) current.push(handle);
}

/** Runs `fn` outside all scopes: what it makes lives until it is disposed or forgotten. For parameters and gradients. */
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
  const outer = current;
  const mine: Scoped[] = [];
  current = mine;
  const escaping = new Set<unknown>();
  try {
    const result = fn();
    if (isPromise(result)) {
      throw new ArgumentError("tidy", "the function returned a promise", {
        hint: "Use a synchronous function: what runs after an await would be outside of the scope",
      });
    }
    collect(result, escaping, new Set());
    return result;
  } finally {
    current = outer;
    for (const handle of mine) {
      if (handle.kept) continue;
      if (escaping.has(handle)) outer?.push(handle);
      else handle.dispose();
    }
  }
}

export function isPromise(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** Adds every handle that `value` holds to `found`. */
function collect(value: unknown, found: Set<unknown>, seen: Set<unknown>): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || seen.has(value)) return;
  seen.add(value);
  if (isOwner(value)) {
    for (const handle of value[handles]()) found.add(handle);
  } else if (Array.isArray(value) || value instanceof Set) {
    for (const item of value) collect(item, found, seen);
  } else if (value instanceof Map) {
    for (const [key, item] of value) {
      collect(key, found, seen);
      collect(item, found, seen);
    }
  } else {
    for (const item of Object.values(value)) collect(item, found, seen);
  }
}

function isOwner(value: object): value is HandleOwner {
  return handles in value;
}
