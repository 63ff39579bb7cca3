/** Element types: 4 bytes each, so that offsets and copies need not ask which one it is. */
import { DTypeError } from "../native/errors.ts";
import { Dtype } from "../native/symbols.gen.ts";

export type DType = "float32" | "int32";

export type TypedArrayOf<D extends DType = DType> = D extends "float32" ? Float32Array : Int32Array;

export const ELEMENT_BYTES = 4;

/** The ABI's number of a dtype. */
export const dtypeCode = (dtype: DType): number => Dtype[dtype];

export function makeTypedArray(dtype: DType, length: number): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  return dtype === "float32" ? new Float32Array(length) : new Int32Array(length);
}

/** Whether an int32 array can have the value. */
export const isInt32 = (value: unknown): value is number => typeof value === "number" && value === (value | 0);

/** Throws unless `dtype` is one that thimble has. */
export function checkDType(operation: string, dtype: unknown): asserts dtype is DType {
  if (dtype !== "float32" && dtype !== "int32") {
    throw new DTypeError(
      operation,
      `dtype must be "float32" or "int32", not ${JSON.stringify(dtype) ?? String(dtype)}`,
    );
  }
}
