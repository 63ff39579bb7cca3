/** Comparing arrays: |actual - expected| <= atol + rtol · |expected| for every element, as NumPy's allclose. */
import { indices } from "./oracle.ts";

export interface Tolerance {
  rtol?: number;
  atol?: number;
}

/** What can be compared: anything with a shape and its values in row-major order. */
export interface ArrayRecord {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number | string>;
}

interface Readable {
  readonly shape: readonly number[];
  toTypedArray(): ArrayLike<number>;
}

const differs = (actual: number, expected: number, rtol: number, atol: number): boolean =>
  Number.isFinite(expected)
    ? !(Math.abs(actual - expected) <= atol + rtol * Math.abs(expected))
    : !Object.is(actual, expected);

/** Throws an error that names the worst element, its index, and how many differ. NaN equals NaN. */
export function close(
  actual: Readable | ArrayRecord,
  expected: ArrayRecord,
  options: Tolerance & { what?: string } = {},
): void {
  const { rtol = 1e-5, atol = 1e-6, what = "array" } = options;
  const found = "toTypedArray" in actual ? actual.toTypedArray() : Array.from(actual.values, Number);
  const wanted = Array.from(expected.values, Number);
  const shapes = [actual.shape, expected.shape].map((shape) => `(${shape.join(", ")})`);
  if (shapes[0] !== shapes[1]) throw new Error(`${what}: the shape is ${shapes[0]}, expected ${shapes[1]}`);
  if (found.length !== wanted.length) throw new Error(`${what}: ${found.length} values, expected ${wanted.length}`);
  const wrong = wanted.flatMap((value, at) => (differs(found[at]!, value, rtol, atol) ? [at] : []));
  if (wrong.length === 0) return;
  const error = (at: number) => Math.abs(found[at]! - wanted[at]!) || Infinity;
  const worst = wrong.reduce((a, b) => (error(b) > error(a) ? b : a));
  const index = wanted.length < 1e6 ? `[${indices(expected.shape)[worst]!.join(", ")}]` : `position ${worst}`;
  throw new Error(
    `${what} ${shapes[0]}: ${wrong.length} of ${wanted.length} elements differ, the most at ${index}: ` +
      `${found[worst]}, expected ${wanted[worst]} (rtol ${rtol}, atol ${atol})`,
  );
}

/** The same for two numbers. */
export function closeNumber(actual: number, expected: number, options: Tolerance & { what?: string } = {}): void {
  close({ shape: [], values: [actual] }, { shape: [], values: [expected] }, { what: "number", ...options });
}
