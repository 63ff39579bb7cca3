import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readSafetensors, type SavedArray, writeSafetensors } from "../../lib/checkpoint/safetensors.ts";
import { CheckpointError } from "../../lib/native/errors.ts";
import { load } from "../support/fixtures.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-safetensors-"));
  file = join(folder, "model.safetensors");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const float32 = (shape: number[], values: number[]): SavedArray => ({
  dtype: "float32",
  shape,
  data: new Float32Array(values),
});
const int32 = (shape: number[], values: number[]): SavedArray => ({
  dtype: "int32",
  shape,
  data: new Int32Array(values),
});

/** Writes a file from a header (an object, or text as it stands) and the number of data bytes. */
function craft(header: object | string, dataBytes = 0, length?: bigint): void {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length ?? BigInt(text.length));
  writeFileSync(file, Buffer.concat([start, text, Buffer.alloc(dataBytes)]));
}

/** Reads the file, which must be refused with this text; the error names the file and the byte. */
function expectRefusal(message: string, offset: number): void {
  try {
    readSafetensors(file);
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    if (!(error instanceof CheckpointError)) throw error;
    expect(error.message).toContain(message);
    expect(error.message).toStartWith(`${file}, byte ${offset}: `);
    expect([error.file, error.offset]).toEqual([file, offset]);
    return;
  }
  throw new Error(`expected a CheckpointError: ${message}`);
}

describe("a file written elsewhere", () => {
  const fixture = join(import.meta.dir, "../fixtures/written-by-python.safetensors");

  test("is read: order, scalars, empty arrays, metadata beyond ASCII", () => {
    const { arrays, metadata } = readSafetensors(fixture);
    expect([...arrays.keys()]).toEqual(["steps", "weight", "empty", "labels"]);
    expect(arrays.get("steps")).toEqual(int32([], [70_000]));
    expect(arrays.get("weight")).toEqual(float32([2, 3], [0.5, -1.25, 3, Infinity, -0, 1e-45]));
    expect(arrays.get("empty")).toEqual(float32([0, 4], []));
    expect(arrays.get("labels")).toEqual(int32([3], [-(2 ** 31), 2 ** 31 - 1, 0]));
    expect([...metadata]).toEqual([
      ["format", "pt"],
      ["greeting", "héllo 世界"],
    ]);
  });

  test("by PyTorch is read: every element type at its limits has the values to which PyTorch converts it", () => {
    const { arrays } = readSafetensors(join(import.meta.dir, "../fixtures/element-types.safetensors"));
    const recorded = load<Record<string, { dtype: string; shape: number[]; bits: number[] }>>("element-types");
    const read = [...arrays].map(([name, { dtype, shape, data }]) => {
      expect(data).toBeInstanceOf(dtype === "int32" ? Int32Array : Float32Array);
      return [name, { dtype, shape, bits: [...new Int32Array(data.buffer)] }];
    });
    expect<unknown>(read).toEqual(Object.entries(recorded));
    expect(arrays.get("1.num_batches_tracked")).toEqual(int32([], [1]));
    expect(arrays.get("F16")!.data.slice(0, 4)).toEqual(Float32Array.of(0, -0, 1, -1.5));
  });

  test("is refused when cut anywhere", () => {
    const whole = readFileSync(fixture);
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(file, whole.subarray(0, length));
      expect(() => readSafetensors(file)).toThrow(CheckpointError);
    }
  });

  test("never crashes or hangs with a byte changed", () => {
    const whole = readFileSync(fixture);
    const headerEnd = 8 + Number(whole.readBigUInt64LE());
    for (let i = 0; i < headerEnd; i++) {
      for (const value of [0x00, 0x22, 0x30, 0x39, 0x5d, 0x7d, 0xff]) {
        const changed = Buffer.from(whole);
        changed[i] = value;
        writeFileSync(file, changed);
        try {
          readSafetensors(file);
        } catch (error) {
          expect(error).toBeInstanceOf(CheckpointError);
        }
      }
    }
  });
});

describe("writing", () => {
  const arrays = new Map([
    ["a", float32([2, 2], [1, -2, -0, 1e-45])],
    ["b.count", int32([], [7])],
    ["c", float32([3, 0], [])],
    ['quote " and é', int32([2], [1, 2])],
  ]);

  test("then reading gives the same, bit for bit", () => {
    writeSafetensors(file, arrays, new Map([["epoch", "3"]]));
    const read = readSafetensors(file);
    expect(read.arrays).toEqual(arrays);
    expect(read.metadata).toEqual(new Map([["epoch", "3"]]));
    const nan = new Uint32Array([0x7fc00001, 0xffc12345]);
    writeSafetensors(file, new Map([["nan", { dtype: "float32", shape: [2], data: new Float32Array(nan.buffer) }]]));
    expect(new Uint32Array(readSafetensors(file).arrays.get("nan")!.data.buffer)).toEqual(nan);
  });

  test("lays the file out as the specification says", () => {
    writeSafetensors(file, new Map([["x", float32([1], [1])]]));
    const bytes = readFileSync(file);
    const length = Number(bytes.readBigUInt64LE());
    expect(length % 8).toBe(0);
    expect(bytes.toString("utf8", 8, 8 + length).trimEnd()).toBe(
      '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    );
    expect(bytes.subarray(8 + length)).toEqual(Buffer.from([0, 0, 0x80, 0x3f]));
  });

  test("takes views into larger buffers, and no arrays at all", () => {
    const data = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    writeSafetensors(file, new Map([["view", { dtype: "float32", shape: [2], data }]]));
    expect(readSafetensors(file).arrays.get("view")).toEqual(float32([2], [1, 2]));
    writeSafetensors(file, new Map());
    expect(readSafetensors(file)).toEqual({ arrays: new Map(), metadata: new Map() });
  });

  test("replaces a file, and leaves no other behind", () => {
    writeSafetensors(file, arrays);
    writeSafetensors(file, new Map([["only", int32([1], [1])]]));
    expect([...readSafetensors(file).arrays.keys()]).toEqual(["only"]);
    expect(readdirSync(folder)).toEqual(["model.safetensors"]);
  });

  test("that fails leaves the old content and no temporary file", () => {
    mkdirSync(file); // renaming onto a folder fails after everything was written
    expect(() => writeSafetensors(file, arrays)).toThrow(CheckpointError);
    expect(readdirSync(folder)).toEqual(["model.safetensors"]);
    expect(() => writeSafetensors(join(folder, "missing/model"), arrays)).toThrow(
      /missing\/model: cannot be written: ENOENT/,
    );
  });

  test("refuses a shape that is not the data's, and the format's own name", () => {
    expect(() => writeSafetensors(file, new Map([["x", float32([3], [1, 2])]]))).toThrow("'x' has 2 elements");
    expect(() => writeSafetensors(file, new Map([["__metadata__", float32([1], [1])]]))).toThrow(CheckpointError);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("a malformed file is refused with the byte", () => {
  const entry = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });

  test("missing", () => {
    expect(() => readSafetensors(file)).toThrow(/model\.safetensors: cannot be opened: ENOENT/);
    expect(() => readSafetensors(folder)).toThrow(CheckpointError);
  });

  test("truncated", () => {
    writeFileSync(file, "1234");
    expectRefusal("truncated: 4 bytes, expected at least 8", 0);
    craft({}, 0, 100n);
    expectRefusal("truncated: the header ends at byte 108, the file at 10", 10);
    craft({ x: entry(0, 8) }, 8);
    const size = readFileSync(file).length;
    truncateSync(file, size - 1);
    expectRefusal(`truncated: 'x' ends at byte ${size}, the file at ${size - 1}`, size - 1);
  });

  test("bytes after the last array", () => {
    craft({ x: entry(0, 4) }, 6);
    expectRefusal("2 bytes after the last array", readFileSync(file).length - 2);
  });

  test("a header beyond the format's limit, or of an impossible length", () => {
    craft({}, 0, 100_000_001n);
    expectRefusal("no safetensors file: it begins with a header of 100000001 bytes, more than 100000000", 0);
    craft({}, 0, 2n ** 64n - 1n);
    expectRefusal("no safetensors file: it begins with a header of 18446744073709551615 bytes", 0);
  });

  test("a header that is not a JSON object in UTF-8", () => {
    for (const header of ["", "{", "[]", "null", ' {"a":1}', '{"x":}']) {
      craft(header);
      expectRefusal("the header", 8);
    }
    writeFileSync(file, Buffer.from([4, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0xfe, 0x7d]));
    expectRefusal("the header is not UTF-8", 8);
  });

  test("a name that is there twice, also when it is spelled in two ways", () => {
    craft(
      '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0078":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      4,
    );
    expectRefusal("the name 'x' is there twice", 62);
    craft('{"é":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4);
    expectRefusal("the name 'dtype' is there twice", 29);
  });

  test("gaps, overlaps, and offsets that are not offsets", () => {
    craft({ x: entry(0, 4), y: entry(8, 12) }, 12);
    expectRefusal("'y' leaves a gap before it: it begins at data byte 8, expected 4", 62);
    craft({ x: entry(0, 8), y: entry(4, 12) }, 12);
    expectRefusal("'y' overlaps the array before it: it begins at data byte 4, expected 8", 62);
    craft({ x: entry(4, 8) }, 8);
    expectRefusal("'x' leaves a gap", 9);
    for (const offsets of [[4, 0], [0], [0, 4, 8], [-4, 0], [0, 4.5], "0-4", null, [0, "4"], [0, 2 ** 60]]) {
      craft({ x: { dtype: "F32", shape: [1], data_offsets: offsets } }, 4);
      expectRefusal("data_offsets", 9);
    }
  });

  test("shapes that are not shapes, or of another size than the data", () => {
    craft({ x: entry(0, 8, [3]) }, 8);
    expectRefusal("'x' of shape [3] needs 12 bytes; its data_offsets span 8", 9);
    craft({ x: entry(0, 4, [2 ** 31]) }, 4);
    expectRefusal("more than 2147483647 elements", 9);
    craft({ x: entry(0, 4, [2 ** 40, 2 ** 40, 2 ** 40]) }, 4);
    expectRefusal("more than 2147483647 elements", 9);
    for (const shape of [[-1], [1.5], ["1"], 1, null]) {
      craft({ x: { dtype: "F32", shape, data_offsets: [0, 4] } }, 4);
      expectRefusal("must have a shape", 9);
    }
  });

  test("element types that thimble does not have", () => {
    for (const dtype of ["F8_E4M3", "U64", "f32", 32, undefined]) {
      craft({ x: { dtype, shape: [1], data_offsets: [0, 8] } }, 8);
      const types = "F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL";
      expectRefusal(`'x' has element type ${JSON.stringify(dtype)}; expected ${types}. Convert it first`, 9);
    }
  });

  test("an I64 that does not fit int32", () => {
    for (const value of [2n ** 31n, -(2n ** 31n) - 1n, 2n ** 63n - 1n]) {
      craft({ x: { dtype: "F32", shape: [1], data_offsets: [0, 4] }, y: { dtype: "I64", shape: [2], data_offsets: [4, 20] } }, 20); // prettier-ignore
      const content = readFileSync(file);
      content.writeBigInt64LE(value, content.length - 8);
      writeFileSync(file, content);
      expectRefusal(`'y' has the value ${value} at element 1, which does not fit int32`, content.length - 8);
    }
  });

  test("entries and metadata of another kind", () => {
    craft({ x: 5 });
    expectRefusal("'x' must be an object", 9);
    craft({ __metadata__: { epoch: 3 } });
    expectRefusal("the metadata 'epoch' must be a text", 9);
    craft({ __metadata__: [] });
    expectRefusal("'__metadata__' must be an object", 9);
  });
});

test("a metadata text of several megabytes, and names that JavaScript's objects have", () => {
  const text = '\\"\n{}'.repeat(500_000);
  const arrays = new Map([
    ["__proto__", int32([1], [1])],
    ["constructor", int32([1], [2])],
  ]);
  writeSafetensors(file, arrays, new Map([["long", text]]));
  const read = readSafetensors(file);
  expect(read.arrays).toEqual(arrays);
  expect(read.metadata.get("long")).toBe(text);
});

test("a link leads to the new file, a private file stays private, and what is no file is not replaced", () => {
  const link = join(folder, "link");
  writeFileSync(file, "old");
  chmodSync(file, 0o600);
  symlinkSync(file, link);
  writeSafetensors(link, new Map([["x", int32([1], [7])]]));
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readSafetensors(file).arrays.get("x")!.data[0]).toBe(7);
  expect(() => writeSafetensors("/dev/null", new Map())).toThrow(/^\/dev\/null: cannot be written: it is no file/);
  expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
});
