import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { DatasetError } from "thimble";

import { parsePython } from "../../datasets/cifar10-files.ts";
import { readPickle } from "../../datasets/pickle.ts";
import { thrown } from "../support/thrown.ts";
import { images, pickleBatch } from "./writers.ts";

type Recorded = Record<string, string>;
const recorded: { pickles: Recorded; hostile: Recorded; foreign: Recorded } = JSON.parse(
  readFileSync(join(import.meta.dir, "../fixtures/cifar10.json"), "utf8"),
);
const decode = (base64: string): Uint8Array => gunzipSync(Buffer.from(base64, "base64"));
const pixels = Uint8Array.from({ length: 3072 }, (_, i) => (i * 7 + 3) & 255);

function failure(bytes: Uint8Array): DatasetError {
  const error = thrown(() => parsePython(bytes, "batch"));
  expect(error).toBeInstanceOf(DatasetError);
  return error as DatasetError;
}

describe("a batch written as the official files are", () => {
  const written = images(1003);
  const bytes = pickleBatch(written);

  test("is read back, pixels as a view of the file", () => {
    const batch = parsePython(bytes, "batch");
    expect([...batch.labels]).toEqual([...written.labels]);
    expect(Buffer.compare(batch.pixels, written.pixels)).toBe(0);
    expect(batch.pixels.buffer).toBe(bytes.buffer);
  });

  test("is refused when it is truncated, at any byte that is not a pixel, and at some that are", () => {
    const small = pickleBatch(images(2));
    const start = small.length - 2 * 3072;
    for (let end = 0; end < small.length; end += end > start && end < small.length - 20 ? 511 : 1) {
      const error = failure(small.subarray(0, end));
      expect(error.file).toBe("batch");
      expect(error.offset).toBeLessThanOrEqual(end);
    }
  });

  test("is refused when bytes follow it", () => {
    const error = failure(Buffer.concat([bytes, Buffer.of(0)]));
    expect(error.offset).toBe(bytes.length);
    expect(error.message).toContain("end of the file");
  });

  test("with a wrong label is refused at the label's byte", () => {
    const wrong = Buffer.from(pickleBatch(images(3)));
    const at = wrong.indexOf(Buffer.of(0x4b, 3, 0x4b, 6)); // labels 0, 3, 6
    wrong[at + 1] = 12;
    const error = failure(wrong);
    expect(error.offset).toBe(at);
    expect(error.message).toBe(`batch, byte ${at}: expected a label in [0, 10), found 12`);
  });

  test("with a shape that is not that of the content is refused", () => {
    const wrong = Buffer.from(pickleBatch(images(1)));
    wrong[wrong.indexOf(Buffer.of(0x4d, 1, 0, 0x4d)) + 1] = 2; // (2, 3072)
    expect(failure(wrong).message).toContain("expected 6144 bytes for an array of shape (2, 3072), found 3072 bytes");
  });

  test("with any one byte changed gives labels and pixels of the right size, or a DatasetError", () => {
    const small = pickleBatch(images(1));
    const head = small.length - 3072 - 20;
    for (let at = 0; at < small.length; at += at < head ? 1 : 601) {
      for (const change of [1, 0x0f, 0x80, 0xff]) {
        const wrong = Buffer.from(small);
        wrong[at]! ^= change;
        try {
          const batch = parsePython(wrong, "batch");
          expect(batch.pixels.length).toBe(3072 * batch.labels.length);
        } catch (error) {
          expect(error).toBeInstanceOf(DatasetError);
        }
      }
    }
  });
});

describe("pickles recorded from Python", () => {
  for (const [name, base64] of Object.entries(recorded.pickles)) {
    test(`${name} is read`, () => {
      const batch = parsePython(decode(base64), "batch");
      expect([...batch.labels]).toEqual([7]);
      expect(Buffer.compare(batch.pixels, pixels)).toBe(0);
    });
  }

  for (const [name, base64] of Object.entries(recorded.hostile)) {
    test(`${name} is refused, and runs nothing`, () => {
      const bytes = decode(base64);
      const error = failure(bytes);
      expect(error.message).toContain("refused: no code is run");
      // The byte of the opcode that asks for the function: GLOBAL or STACK_GLOBAL.
      expect([0x63, 0x93]).toContain(bytes[error.offset!]!);
    });
  }

  for (const [name, base64] of Object.entries(recorded.foreign)) {
    test(`${name} is refused, with a byte`, () => {
      expect(failure(decode(base64)).offset).toBeNumber();
    });
  }
});

describe("malformed pickles", () => {
  const cases: Record<string, number[]> = {
    "an empty file": [],
    text: [...Buffer.from("hello, world")],
    "a protocol from the future": [0x80, 9, 0x4e, 0x2e],
    "nothing on the stack": [0x80, 2, 0x2e],
    "no mark": [0x80, 2, 0x74, 0x2e],
    "items popped below a mark": [0x80, 2, 0x4e, 0x28, 0x85, 0x2e],
    "a memo that was never stored": [0x80, 2, 0x68, 5, 0x2e],
    "appending to None": [0x80, 2, 0x4e, 0x4e, 0x61, 0x2e],
    "a key without a value": [0x80, 2, 0x7d, 0x28, 0x4e, 0x75, 0x2e],
    "a number as a key": [0x80, 2, 0x7d, 0x4e, 0x4e, 0x73, 0x2e],
    "a call of None": [0x80, 2, 0x4e, 0x29, 0x52, 0x2e],
    "the state of None": [0x80, 2, 0x4e, 0x29, 0x62, 0x2e],
    "a string of 4 GB": [0x80, 2, 0x54, 0xff, 0xff, 0xff, 0xff, 0x2e],
    "bytes of 2^60": [0x80, 4, 0x8e, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x2e],
    "a long integer": [0x80, 2, 0x8a, 7, 1, 2, 3, 4, 5, 6, 7, 0x2e],
    "a name without a newline": [0x80, 2, 0x63, 0x6e, 0x75],
  };
  for (const [name, bytes] of Object.entries(cases)) {
    test(`${name} is a DatasetError with a byte inside the file`, () => {
      const error = failure(Uint8Array.from(bytes));
      expect(error.offset).toBeLessThanOrEqual(bytes.length);
    });
  }

  test("items below a mark are out of reach", () => {
    expect(failure(Uint8Array.of(0x80, 2, 0x4e, 0x28, 0x85, 0x2e)).message).toContain("nothing is left on the stack");
  });

  test("__proto__ as a key is a key like any other", () => {
    const bytes = Buffer.from("\x80\x02}U\x09__proto__U\x01xs.", "latin1");
    readPickle(bytes, "batch");
    expect(Object.hasOwn(Object.prototype, "x")).toBe(false);
    expect(failure(bytes).message).toContain("'data'");
  });
});
