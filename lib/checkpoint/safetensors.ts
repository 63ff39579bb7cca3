/**
 * The safetensors format: named arrays and text in one file, which runs no code when it is read.
 *
 *     8 bytes          n, the header's length: unsigned, little-endian
 *     n bytes          JSON: { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end] }, …,
 *                      "__metadata__": { "key": "text" } }, padded with spaces
 *     the rest         the arrays, row-major, little-endian; offsets count from here and leave no gap
 *
 * The reader trusts nothing in the file: whatever does not fit is a {@link CheckpointError} with the byte it stands at.
 * Specification: https://github.com/huggingface/safetensors
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

import { CheckpointError } from "../native/errors.ts";
import { MAX_SIZE } from "../ndarray/layout.ts";
import { type Elements, type ElementType, elementTypes, formatNames, OutOfRange } from "./element-types.ts";

/** An array in a file. Its shape is `()` for a scalar. */
export type SavedArray = Elements & { readonly shape: readonly number[] };

/** What a file holds: arrays and texts, each under its name, in the file's order. */
export interface Safetensors {
  readonly arrays: Map<string, SavedArray>;
  readonly metadata: Map<string, string>;
}

const METADATA = "__metadata__";
const LENGTH_BYTES = 8;
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

/** Where the header puts an array: `begin` and `end` count from the start of the data. */
interface Placement {
  name: string;
  type: ElementType;
  shape: number[];
  begin: number;
  end: number;
  /** Byte of the file where the name stands, for errors. */
  at: number;
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

    const { placements, metadata } = this.header(this.bytes(LENGTH_BYTES, Number(length)));
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

  private header(bytes: Uint8Array): { placements: Placement[]; metadata: Map<string, string> } {
    const text = this.decode(bytes);
    const root = this.parse(text);
    const positions = this.keyPositions(text);
    const metadata = new Map<string, string>();
    const placements: Placement[] = [];
    for (const [name, value] of Object.entries(root)) {
      const at = positions.get(name) ?? LENGTH_BYTES;
      if (!isObject(value)) this.fail(`'${name}' must be an object`, at);
      if (name !== METADATA) {
        placements.push(this.placement(name, value, at));
        continue;
      }
      for (const [key, entry] of Object.entries(value)) {
        if (typeof entry !== "string") this.fail(`the metadata '${key}' must be a text`, at);
        metadata.set(key, entry);
      }
    }
    return { placements, metadata };
  }

  private decode(bytes: Uint8Array): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.fail("the header is not UTF-8", LENGTH_BYTES);
    }
  }

  private parse(text: string): Record<string, unknown> {
    let root: unknown;
    try {
      root = JSON.parse(text);
    } catch (error) {
      this.fail(`the header is not JSON: ${error instanceof Error ? error.message : String(error)}`, LENGTH_BYTES);
    }
    if (!isObject(root) || !text.startsWith("{")) this.fail("the header must be a JSON object", LENGTH_BYTES);
    return root;
  }

  /**
   * Bytes at which the names stand, and the test that no object has a key twice: JSON.parse would keep the last one.
   */
  private keyPositions(text: string): Map<string, number> {
    const positions = new Map<string, number>();
    const open: Set<string>[] = [];
    let [at, done] = [LENGTH_BYTES, 0];
    for (const { 0: token, 1: colon, index } of text.matchAll(/"(?:[^"\\]+|\\.)*"(\s*:)?|[{}]/g)) {
      if (token === "{") open.push(new Set());
      else if (token === "}") open.pop();
      else if (colon !== undefined) {
        const key: string = JSON.parse(token.slice(0, -colon.length));
        const keys = open.at(-1);
        at += Buffer.byteLength(text.slice(done, index));
        done = index;
        if (keys?.has(key)) this.fail(`the name '${key}' is there twice`, at);
        keys?.add(key);
        if (open.length === 1) positions.set(key, at);
      }
    }
    return positions;
  }

  private placement(name: string, value: Record<string, unknown>, at: number): Placement {
    const { dtype: code, shape, data_offsets: offsets } = value;
    const type = elementTypes.get(code);
    if (type === undefined) {
      const problem = `'${name}' has element type ${JSON.stringify(code)}; expected ${[...elementTypes.keys()].join(", ")}`;
      this.fail(problem, at, "Convert it first");
    }
    if (!isSizes(shape)) this.fail(`'${name}' must have a shape, a list of sizes`, at);
    if (!isSizes(offsets)) this.fail(`'${name}' must have data_offsets, [begin, end]`, at);
    const [begin, end] = offsets;
    if (begin === undefined || end === undefined || offsets.length !== 2 || begin > end) {
      this.fail(`'${name}' must have data_offsets, [begin, end], not [${offsets.join(", ")}]`, at);
    }
    const bytes = elements(shape) * type.bytes;
    if (bytes > MAX_SIZE * type.bytes) this.fail(`'${name}' has more than ${MAX_SIZE} elements`, at);
    if (end - begin !== bytes) {
      this.fail(
        `'${name}' of shape [${shape.join(", ")}] needs ${bytes} bytes; its data_offsets span ${end - begin}`,
        at,
      );
    }
    return { name, type, shape, begin, end, at };
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

  private fail(problem: string, offset: number, hint?: string): never {
    throw new CheckpointError(this.file, problem, { offset, ...(hint === undefined ? {} : { hint }) });
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

// ----------------------------------------------------------------------------------------------------------- writing

/**
 * Writes a file atomically: readers see the old content or all of the new, also when the process or the machine stops
 * in between. It is made under a temporary name in the same folder, which is removed when anything fails. A file that
 * was there keeps its permissions, and a link to one leads to the new one.
 * @throws CheckpointError when it cannot be written.
 */
export function writeSafetensors(
  file: string,
  arrays: ReadonlyMap<string, SavedArray>,
  metadata: ReadonlyMap<string, string> = new Map(),
): void {
  const header = encodeHeader(file, arrays, metadata);
  attempt(file, "cannot be written", () => {
    const before = statSync(file, { throwIfNoEntry: false });
    if (before && !before.isFile())
      throw new CheckpointError(file, "cannot be written: it is no file, and would be replaced");
    const target = before ? realpathSync(file) : file;
    const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
    try {
      const descriptor = openSync(temporary, "w");
      try {
        if (before) fchmodSync(descriptor, before.mode & 0o777);
        writeAll(descriptor, header);
        for (const { data } of arrays.values()) {
          writeAll(descriptor, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        }
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(temporary, target);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    syncFolder(dirname(target));
  });
}

/** The length and the header, padded so that the data begins at a multiple of 8 bytes. */
function encodeHeader(
  file: string,
  arrays: ReadonlyMap<string, SavedArray>,
  metadata: ReadonlyMap<string, string>,
): Uint8Array {
  const entries: [string, unknown][] = metadata.size > 0 ? [[METADATA, Object.fromEntries(metadata)]] : [];
  let position = 0;
  for (const [name, { dtype, shape, data }] of arrays) {
    if (name === METADATA) throw new CheckpointError(file, `an array cannot have the name '${METADATA}'`);
    if (elements(shape) !== data.length) {
      throw new CheckpointError(file, `'${name}' has ${data.length} elements, which is not its shape`, {
        shapes: [shape],
      });
    }
    const offsets = [position, (position += data.byteLength)];
    entries.push([name, { dtype: formatNames[dtype], shape, data_offsets: offsets }]);
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const header = Buffer.alloc(LENGTH_BYTES + Math.ceil(json.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - LENGTH_BYTES));
  header.set(json, LENGTH_BYTES);
  return header;
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
}

/**
 * Makes the new name itself last. Not every file system lets a folder be synchronized, and then there is no more to
 * do.
 */
function syncFolder(folder: string): void {
  try {
    const descriptor = openSync(folder, "r");
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch {}
}

/** Runs `action`; what the system reports becomes a CheckpointError of the file. */
function attempt<T>(file: string, problem: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(file, `${problem}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
