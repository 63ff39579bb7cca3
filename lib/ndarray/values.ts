/** JavaScript numbers to flat typed arrays and back. */
import { DTypeError, ShapeError } from "../native/errors.ts";
import { type DType, isInt32, makeTypedArray, type TypedArrayOf } from "./dtype.ts";
import { MAX_SIZE, type Shape } from "./layout.ts";

/** A number, or lists of them nested to any depth, all of one length at each depth. */
export type NestedNumbers = number | readonly NestedNumbers[];

/** What an array can be made from. */
export type Values =
  | NestedNumbers
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray;

interface Flat {
  data: TypedArrayOf;
  shape: number[];
  dtype: DType;
}

/**
 * The elements of `values` in row-major order, converted to `dtype` (by default int32 for integer typed arrays, else
 * float32).
 */
export function flatten(operation: string, values: Values, dtype?: DType): Flat {
  if (values instanceof Float32Array && dtype !== "int32")
    return { data: values, shape: [values.length], dtype: "float32" };
  if (values instanceof Int32Array && dtype !== "float32")
    return { data: values, shape: [values.length], dtype: "int32" };
  if (ArrayBuffer.isView(values)) {
    if (values instanceof DataView || values instanceof BigInt64Array || values instanceof BigUint64Array) {
      throw new DTypeError(operation, `cannot take a ${values.constructor.name}`);
    }
    const integers = !values[Symbol.toStringTag].startsWith("Float");
    const type = dtype ?? (integers ? "int32" : "float32");
    const data = makeTypedArray(type, values.length);
    if (type === "int32") for (let i = 0; i < values.length; i++) checkElement(operation, values[i], type);
    data.set(values);
    return { data, shape: [values.length], dtype: type };
  }
  const type = dtype ?? "float32";
  const shape = nestedShape(operation, values);
  const size = shape.reduce((a, b) => a * b, 1);
  if (size > MAX_SIZE) throw new ShapeError(operation, `an array has at most 2^31 - 1 elements, not ${size}`);
  const data = makeTypedArray(type, size);
  fill(operation, values, shape, 0, data, 0);
  return { data, shape, dtype: type };
}

/** The shape of nested lists, read along their first elements. */
function nestedShape(operation: string, values: NestedNumbers): number[] {
  const shape: number[] = [];
  let level: unknown = values;
  while (Array.isArray(level)) {
    if (shape.length === 64) throw new ShapeError(operation, "the lists are nested too deeply");
    shape.push(level.length);
    level = level[0];
  }
  return shape;
}

function fill(operation: string, values: unknown, shape: Shape, depth: number, out: TypedArrayOf, at: number): number {
  if (depth === shape.length) {
    if (Array.isArray(values))
      throw new ShapeError(operation, "the lists are ragged: a list where a number was expected");
    checkElement(operation, values, out instanceof Float32Array ? "float32" : "int32");
    out[at] = values;
    return at + 1;
  }
  if (!Array.isArray(values) || values.length !== shape[depth]) {
    const found = Array.isArray(values) ? `a list of ${values.length}` : describe(values);
    throw new ShapeError(operation, `the lists are ragged: ${found} where a list of ${shape[depth]} was expected`);
  }
  for (const item of values) at = fill(operation, item, shape, depth + 1, out, at);
  return at;
}

function checkElement(operation: string, value: unknown, dtype: DType): asserts value is number {
  if (typeof value !== "number") throw new DTypeError(operation, `${describe(value)} is not a number`);
  if (dtype === "int32" && !isInt32(value)) throw new DTypeError(operation, `${value} is not a 32-bit integer`);
}

function describe(value: unknown): string {
  return typeof value === "string"
    ? JSON.stringify(value)
    : String(typeof value === "object" && value !== null ? "an object" : value);
}

/** Nested lists of `shape` from elements in row-major order. */
export function nest(data: TypedArrayOf, shape: Shape): NestedNumbers {
  let at = 0;
  const build = (depth: number): NestedNumbers => {
    if (depth === shape.length) return data[at++]!;
    return Array.from({ length: shape[depth]! }, () => build(depth + 1));
  };
  return build(0);
}
