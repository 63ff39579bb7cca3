/**
 * The table of everything that can be done wrong with the public API: what, how, and what the error must say. The files
 * beside this one fill it, and run.ts goes through it in a process of its own, so that a crash shows as one.
 */
import type { Tensor } from "thimble";
import { NDArray, tensor } from "thimble";

export interface Misuse {
  what: string;
  run: () => unknown;
  /** What the message must have, besides its class being thimble's: the operation and the shapes. */
  says: RegExp;
}

/** A value that the types forbid: what plain JavaScript can pass. */
export const wrong = (value: unknown): never => value as never;

export const cases: Misuse[] = [];

export function add(what: string, run: () => unknown, says: RegExp): void {
  cases.push({ what, run, says });
}

export const a23 = (): NDArray => NDArray.zeros([2, 3]);
export const t23 = (): Tensor => tensor(new Float32Array(6), { shape: [2, 3] });
export const t = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((m, n) => m * n, 1)), { shape });
export const ids = (...values: number[]): Tensor => tensor(values, { dtype: "int32" });
export const disposed = (): Tensor => {
  const gone = t23();
  gone.dispose();
  return gone;
};
/** Not numbers, and numbers that are no sizes, axes or indices. */
export const notNumbers = [
  undefined,
  null,
  "1",
  true,
  {},
  [1],
  NaN,
  Infinity,
  -Infinity,
  1.5,
  10n,
  Symbol.iterator,
  () => 1,
];
export const notTensors = [
  undefined,
  null,
  "x",
  true,
  {},
  [1, 2],
  NaN,
  new Float32Array(2),
  NDArray.zeros([2]),
  () => 1,
];
export const show = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? `${value.constructor.name} ${JSON.stringify(value, (key, v: unknown) => (key === "device" || key === "storage" ? undefined : v))?.slice(0, 20)}`
    : `${typeof value} ${String(value).slice(0, 20)}`;
