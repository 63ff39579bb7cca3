/** The element types of safetensors files, and how each becomes one that thimble has. */
import { type DType, isInt32 } from "../ndarray/dtype.ts";

/** Elements as thimble has them. */
export type Elements =
  { readonly dtype: "float32"; readonly data: Float32Array } | { readonly dtype: "int32"; readonly data: Int32Array };

/** How an element type is written in a file. */
export interface ElementType {
  /** Of an element. */
  readonly bytes: number;
  /** The elements in `buffer`. @throws OutOfRange for an integer that does not fit int32. */
  read(buffer: ArrayBuffer): Elements;
}

/** An integer of a file that int32 does not have. */
export class OutOfRange extends Error {
  readonly value: bigint;
  readonly index: number;

  constructor(value: bigint, index: number) {
    super(`the value ${value} at element ${index}, which does not fit int32`);
    this.value = value;
    this.index = index;
  }
}

const float32 = (data: Float32Array): Elements => ({ dtype: "float32", data });
const int32 = (data: Int32Array): Elements => ({ dtype: "int32", data });

/** By their names in files. Float types become float32: F16 and BF16 exactly, F64 rounded; all others int32. */
export const elementTypes: ReadonlyMap<unknown, ElementType> = new Map<unknown, ElementType>([
  ["F64", { bytes: 8, read: (buffer) => float32(Float32Array.from(new Float64Array(buffer))) }],
  ["F32", { bytes: 4, read: (buffer) => float32(new Float32Array(buffer)) }],
  ["F16", { bytes: 2, read: (buffer) => float32(Float32Array.from(new Float16Array(buffer))) }],
  ["BF16", { bytes: 2, read: (buffer) => float32(widenBFloat16(new Uint16Array(buffer))) }],
  ["I64", { bytes: 8, read: (buffer) => int32(narrow(new BigInt64Array(buffer))) }],
  ["I32", { bytes: 4, read: (buffer) => int32(new Int32Array(buffer)) }],
  ["I16", { bytes: 2, read: (buffer) => int32(Int32Array.from(new Int16Array(buffer))) }],
  ["I8", { bytes: 1, read: (buffer) => int32(Int32Array.from(new Int8Array(buffer))) }],
  ["U8", { bytes: 1, read: (buffer) => int32(Int32Array.from(new Uint8Array(buffer))) }],
  ["BOOL", { bytes: 1, read: (buffer) => int32(Int32Array.from(new Uint8Array(buffer), (byte) => Math.min(byte, 1))) }],
]);

/** What is written: thimble's own types, as they are. */
export const formatNames: Readonly<Record<DType, string>> = { float32: "F32", int32: "I32" };

/** A bfloat16 is the upper half of a float32. */
function widenBFloat16(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}

function narrow(values: BigInt64Array): Int32Array {
  return Int32Array.from(values, (value, index) => {
    const number = Number(value);
    if (!isInt32(number)) throw new OutOfRange(value, index);
    return number;
  });
}
