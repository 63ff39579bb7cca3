/** Safetensors files: those that others wrote, and those that we write. */
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
