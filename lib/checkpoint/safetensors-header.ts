/** The header of safetensors files: JSON that says where each array lies. The format is described in safetensors.ts. */
import { CheckpointError } from "../native/errors.ts";
import { MAX_SIZE } from "../ndarray/layout.ts";
import { type Elements, type ElementType, elementTypes, formatNames } from "./element-types.ts";

/** An array in a file. Its shape is `()` for a scalar. */
export type SavedArray = Elements & { readonly shape: readonly number[] };

const METADATA = "__metadata__";
/** Of the header's length, which stands before it. */
export const LENGTH_BYTES = 8;

/** Where the header puts an array: `begin` and `end` count from the start of the data. */
export interface Placement {
  name: string;
  type: ElementType;
  shape: number[];
  begin: number;
  end: number;
  /** Byte of the file where the name stands, for errors. */
  at: number;
}

/** Throws the error of a file that is not as the format has it, at this byte of it. */
export function refuse(file: string, problem: string, offset: number, hint?: string): never {
  throw new CheckpointError(file, problem, { offset, ...(hint === undefined ? {} : { hint }) });
}

/** Reads the header of a file, and trusts nothing in it. */
export class HeaderReader {
  private readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  read(bytes: Uint8Array): { placements: Placement[]; metadata: Map<string, string> } {
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

  private fail(problem: string, offset: number, hint?: string): never {
    refuse(this.file, problem, offset, hint);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** The length and the header, padded so that the data begins at a multiple of 8 bytes. */
export function encodeHeader(
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
