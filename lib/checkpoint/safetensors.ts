/**
 * The safetensors format: named arrays and text in one file, which runs no code when it is read.
 *
 *     8 bytes          n, the header's length: unsigned, little-endian
 *     n bytes          JSON: { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end] }, …,
 *                      "__metadata__": { "key": "text" } }, padded with spaces
 *     the rest         the arrays, row-major, little-endian; offsets count from here and leave no gap
 *
 * The reader trusts nothing in the file: whatever does not fit is a CheckpointError with the byte it stands at.
 * Specification: https://github.com/huggingface/safetensors
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

import { OutOfRange } from "./element-types.ts";
import { attempt, replaceFile } from "./files.ts";
import {
  encodeHeader,
  HeaderReader,
  LENGTH_BYTES,
  type Placement,
  refuse,
  type SavedArray,
} from "./safetensors-header.ts";

export type { SavedArray } from "./safetensors-header.ts";

/** What a file holds: arrays and texts, each under its name, in the file's order. */
export interface Safetensors {
  readonly arrays: Map<string, SavedArray>;
  readonly metadata: Map<string, string>;
}

/** The format's own limit. */
const LONGEST_HEADER = 100_000_000;

// ----------------------------------------------------------------------------------------------------------- reading

/**
 * Reads a file whole. F64, F16 and BF16 become float32 (the last two exactly); I64, I16, I8, U8 and BOOL become int32.
 * @throws CheckpointError for a file that is not there, truncated, malformed, or has other element types than these, F32
 * and I32, and for an I64 that does not fit int32.
 */
export function readSafetensors(file: string): Safetensors {
  const descriptor = attempt(file, "cannot be opened", () => openSync(file, "r"));
  try {
    return attempt(file, "cannot be read", () => new Reader(file, descriptor).read());
  } finally {
    closeSync(descriptor);
  }
}

class Reader {
  private readonly size: number;
  private readonly file: string;
  private readonly descriptor: number;

  constructor(file: string, descriptor: number) {
    this.file = file;
    this.descriptor = descriptor;
    this.size = fstatSync(descriptor).size;
  }

  read(): Safetensors {
    if (this.size < LENGTH_BYTES) this.fail(`truncated: ${this.size} bytes, expected at least ${LENGTH_BYTES}`, 0);
    const length = new DataView(this.bytes(0, LENGTH_BYTES).buffer).getBigUint64(0, true);
    if (length > LONGEST_HEADER)
      this.fail(`no safetensors file: it begins with a header of ${length} bytes, more than ${LONGEST_HEADER}`, 0);
    const start = LENGTH_BYTES + Number(length);
    if (start > this.size)
      this.fail(`truncated: the header ends at byte ${start}, the file at ${this.size}`, this.size);

    const { placements, metadata } = new HeaderReader(this.file).read(this.bytes(LENGTH_BYTES, Number(length)));
    this.checkOffsets(placements, start);
    const arrays = placements.map((placement) => [placement.name, this.array(placement, start)] as const);
    return { arrays: new Map(arrays), metadata };
  }

  private array({ name, type, shape, begin, end }: Placement, start: number): SavedArray {
    const { buffer } = this.bytes(start + begin, end - begin);
    try {
      return { ...type.read(buffer), shape };
    } catch (error) {
      if (!(error instanceof OutOfRange)) throw error;
      return this.fail(`'${name}' has ${error.message}`, start + begin + type.bytes * error.index);
    }
  }

  /** The arrays must fill the data from the first byte to the last: no gap, no overlap, nothing behind. */
  private checkOffsets(placements: readonly Placement[], start: number): void {
    const length = this.size - start;
    let position = 0;
    for (const { name, begin, end, at } of placements.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
      if (begin !== position) {
        const problem = begin < position ? "overlaps the array before it" : "leaves a gap before it";
        this.fail(`'${name}' ${problem}: it begins at data byte ${begin}, expected ${position}`, at);
      }
      if (end > length) {
        this.fail(`truncated: '${name}' ends at byte ${start + end}, the file at ${this.size}`, this.size);
      }
      position = end;
    }
    if (position < length)
      this.fail(`${length - position} bytes after the last array; expected none`, start + position);
  }

  private bytes(position: number, length: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const count = readSync(this.descriptor, out, done, length - done, position + done);
      if (count === 0) this.fail(`truncated: expected ${length - done} more bytes`, position + done);
      done += count;
    }
    return out;
  }

  private fail(problem: string, offset: number): never {
    refuse(this.file, problem, offset);
  }
}

// ----------------------------------------------------------------------------------------------------------- writing

/**
 * Writes a file, atomically as {@link replaceFile} does.
 * @throws CheckpointError when it cannot be written.
 */
export function writeSafetensors(
  file: string,
  arrays: ReadonlyMap<string, SavedArray>,
  metadata: ReadonlyMap<string, string> = new Map(),
): void {
  const header = encodeHeader(file, arrays, metadata);
  const bytes = [...arrays.values()].map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  replaceFile(file, [header, ...bytes]);
}
