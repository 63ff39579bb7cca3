/** What a checkpoint holds besides arrays, as JSON: counts, rates, the random generator, and the caller's own state. */
import { ArgumentError, CheckpointError } from "../native/errors.ts";
import type { GeneratorState } from "../ndarray/random.ts";

const VERSION = 1;

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** An optimizer's part. */
export interface SavedOptimizer {
  /** Of each parameter; older files have one number for all. */
  readonly steps: readonly number[] | number;
  /** None in older files. */
  readonly lr: number | null;
}

export interface Content {
  /** By name; a single optimizer has the name "". */
  readonly optimizers: ReadonlyMap<string, SavedOptimizer>;
  readonly generator: GeneratorState;
  readonly state: Json;
}

/**
 * In the file, a single optimizer's `steps` and `lr` stand alone, and named ones are in `optimizers`.
 * @throws ArgumentError for a state that is not JSON.
 */
export function formatContent({ optimizers, generator, state }: Content): string {
  const { steps = null, lr = null } = optimizers.get("") ?? {};
  const named = optimizers.size > 0 && steps === null ? { optimizers: Object.fromEntries(optimizers) } : {};
  try {
    return JSON.stringify({ version: VERSION, steps, lr, ...named, generator, state }, writeValue);
  } catch (cause) {
    if (cause instanceof ArgumentError || !(cause instanceof TypeError)) throw cause;
    throw new ArgumentError("saveCheckpoint", `the state must be JSON: ${cause.message}`, { cause }); // it is cyclic
  }
}

/**
 * JSON has no Infinity, which is where a search for the best loss begins, and no NaN: they are written as objects with
 * this key and their name.
 */
const NUMBER = "thimble.number";

/** Refuses what JSON.stringify would leave out, or write as something else: a Map as {}, a function not at all. */
function writeValue(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) return { [NUMBER]: String(value) };
  const lost = value === undefined && Array.isArray(this);
  if (lost || ["bigint", "function", "symbol"].includes(typeof value) || !isPlain(value)) {
    const kind =
      typeof value === "object" ? `of class ${value?.constructor?.name}` : lost ? "undefined" : `a ${typeof value}`;
    throw new ArgumentError("saveCheckpoint", `the state must be JSON, and its '${key}' is ${kind}`);
  }
  return value;
}

/** Whether it is no object, a list, or an object of no class. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return true;
  const type: unknown = Object.getPrototypeOf(value);
  return type === null || type === Object.prototype;
}

function readNumber(_: string, value: unknown): unknown {
  const isWritten = typeof value === "object" && value !== null && NUMBER in value;
  return isWritten ? Number(value[NUMBER]) : value;
}

/** The JSON as it stands in a file. */
interface Written {
  /** Null without a single optimizer. */
  steps: SavedOptimizer["steps"] | null;
  lr: number | null;
  version: number;
  optimizers: Record<string, SavedOptimizer>;
  generator: GeneratorState;
  state: Json;
}

/** The JSON in a file's metadata. @throws CheckpointError unless it is what {@link formatContent} made. */
export function parseContent(file: string, text: string | undefined): Content {
  const refuse = (problem: string): never => {
    throw new CheckpointError(file, problem, { hint: "It must be a file that saveCheckpoint wrote" });
  };
  if (text === undefined) return refuse("the metadata has no 'thimble'");
  let content: Partial<Written> | null = null;
  try {
    content = JSON.parse(text, readNumber);
  } catch {
    return refuse("the metadata 'thimble' is not JSON");
  }
  if (typeof content !== "object" || content === null) return refuse("the metadata 'thimble' is not an object");
  const { version, steps, lr, optimizers, generator, state = null } = content;
  if (version !== VERSION) return refuse(`version ${String(version)} is not ${VERSION}`);
  const count = (value: unknown) => Number.isSafeInteger(value);
  const readOptimizer = (counts: SavedOptimizer["steps"] | undefined, rate: number | null = null): SavedOptimizer => {
    const isCount = [counts].flat().every((value) => count(value) && Number(value) >= 0);
    if (counts === undefined || !isCount) return refuse("'steps' is not a count");
    if (rate !== null && !(rate >= 0)) return refuse("'lr' is not a learning rate");
    return { steps: counts, lr: rate };
  };
  if (optimizers !== undefined && (typeof optimizers !== "object" || optimizers === null))
    return refuse("'optimizers' is not an object");
  const named = Object.entries(optimizers ?? {}).map(
    ([name, saved]) => [name, readOptimizer(saved?.steps, saved?.lr)] as const,
  );
  const single = steps === null ? [] : [["", readOptimizer(steps, lr)] as const];
  if (!count(generator?.seed) || !count(generator?.stream)) return refuse("'generator' is not {seed, stream}");
  return { optimizers: new Map([...single, ...named]), generator: generator!, state };
}
