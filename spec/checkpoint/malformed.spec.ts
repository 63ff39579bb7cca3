/** What a safetensors file can have wrong with it, each with the byte that the error names. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readSafetensors } from "../../lib/checkpoint/safetensors.ts";
import { CheckpointError } from "../../lib/native/errors.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-safetensors-"));
  file = join(folder, "model.safetensors");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

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
