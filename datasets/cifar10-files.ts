/** The files of CIFAR-10: where they may be, and what is in them. Everything in them is checked. */
import { basename, join } from "node:path";

import { DatasetError, formatShape } from "../lib/native/errors.ts";
import { isFile, readFile } from "./files.ts";
import { PickleArray, PickleDict, PickleList, readPickle } from "./pickle.ts";
import { readTarGz } from "./tar.ts";

/** Bytes of an image: the red, the green, then the blue plane, each 32 rows of 32. */
export const IMAGE_BYTES = 3 * 32 * 32;
export const CLASSES = 10;

/** The images of one file. */
export interface Batch {
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

interface Format {
  readonly folder: string;
  readonly archive: string;
  readonly train: readonly string[];
  readonly test: readonly string[];
  readonly parse: (bytes: Uint8Array, file: string) => Batch;
}

const formats: readonly Format[] = [
  {
    folder: "cifar-10-batches-py",
    archive: "cifar-10-python.tar.gz",
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`),
    test: ["test_batch"],
    parse: parsePython,
  },
  {
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
    test: ["test_batch.bin"],
    parse: parseBinary,
  },
];

/** An official file has 31 MB, the archive 170 MB packed and 186 MB unpacked. What is far larger is not read. */
const LARGEST_FILE = 64 * 2 ** 20;
const LARGEST_ARCHIVE = 256 * 2 ** 20;

/** The path under `root` at which CIFAR-10 is found: a folder with its files, or an archive; null if there is none. */
export function locateFiles(root: string): string | null {
  if (isFile(root)) return root;
  const folders = [root, ...formats.map(({ folder }) => join(root, folder))];
  const folder = folders.find((path) => formatOf((name) => isFile(join(path, name))) !== undefined);
  return folder ?? formats.map(({ archive }) => join(root, archive)).find(isFile) ?? null;
}

/**
 * Reads the training or the test images.
 * @param root see CIFAR10Dataset.
 * @throws DatasetError with file, byte and what was expected.
 */
export function readBatches(root: string, train: boolean): Batch[] {
  const path = locateFiles(root);
  if (path === null) {
    throw new DatasetError(root, `holds none of ${formats.flatMap((f) => [f.folder, f.archive]).join(", ")}`, {
      hint: "Give the folder that the official archive was unpacked in, or the archive itself",
    });
  }
  if (!isFile(path))
    return readAll(
      path,
      train,
      (name) => isFile(join(path, name)),
      (name) => readFile(join(path, name), LARGEST_FILE),
    );
  const members = new Map(readTarGz(path, LARGEST_ARCHIVE).map(({ name, data }) => [basename(name), data]));
  return readAll(
    path,
    train,
    (name) => members.has(name),
    (name) => members.get(name)!,
  );
}

function readAll(
  path: string,
  train: boolean,
  has: (name: string) => boolean,
  read: (name: string) => Uint8Array,
): Batch[] {
  const format = formatOf(has);
  if (format === undefined)
    throw new DatasetError(path, `expected ${formats[0]!.train[0]} and the other files of CIFAR-10 in it`);
  return (train ? format.train : format.test).map((name) => {
    if (!has(name)) throw new DatasetError(join(path, name), "this file of CIFAR-10 is missing, and others are there");
    return format.parse(read(name), join(path, name));
  });
}

function formatOf(has: (name: string) => boolean): Format | undefined {
  return formats.find(({ train, test }) => [...train, ...test].some(has));
}

/** The Python version: a pickled dict with `data`, uint8 (n, 3072), and `labels`, a list of n integers. */
export function parsePython(bytes: Uint8Array, file: string): Batch {
  const fail = (problem: string, offset: number): never => {
    throw new DatasetError(file, problem, { offset });
  };
  const { value: dict, offset: start } = readPickle(bytes, file);
  if (!(dict instanceof PickleDict)) return fail("expected a dict with data and labels", start);
  const data = dict.entries.get("data") ?? fail("expected 'data' in the dict", start);
  const list = dict.entries.get("labels") ?? fail("expected 'labels' in the dict", start);

  const rows = data.value instanceof PickleArray ? data.value.shape : [];
  const pixels = data.value instanceof PickleArray ? data.value.data : data.value;
  if (!(pixels instanceof Uint8Array)) return fail("expected 'data' to be an array or a string of bytes", data.offset);
  const count = pixels.length / IMAGE_BYTES;
  if (!Number.isInteger(count) || count === 0 || (rows.length > 0 && (rows.length !== 2 || rows[1] !== IMAGE_BYTES))) {
    const found = rows.length > 0 ? `shape ${formatShape(rows)}` : `${pixels.length} bytes`;
    return fail(`expected 'data' to have rows of ${IMAGE_BYTES} bytes, found ${found}`, data.offset);
  }

  if (!(list.value instanceof PickleList)) return fail("expected 'labels' to be a list", list.offset);
  const { entries } = list.value;
  if (entries.length !== count)
    fail(`expected ${count} labels for ${count} images, found ${entries.length}`, list.offset);
  const labels = Uint8Array.from(entries, ({ value, offset }) => {
    const valid = typeof value === "number" && Number.isInteger(value) && value >= 0 && value < CLASSES;
    return valid ? value : fail(`expected a label in [0, ${CLASSES}), found ${describe(value)}`, offset);
  });
  return { pixels, labels };
}

function describe(value: unknown): string {
  return typeof value === "number" ? String(value) : "something else";
}

/** The binary version: rows of a label byte and 3072 pixel bytes. */
export function parseBinary(bytes: Uint8Array, file: string): Batch {
  const row = 1 + IMAGE_BYTES;
  const count = Math.floor(bytes.length / row);
  if (count === 0 || bytes.length !== count * row) {
    const found = `the last has ${bytes.length - count * row}`;
    throw new DatasetError(file, `expected rows of ${row} bytes; ${found}`, { offset: count * row });
  }
  const pixels = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const label = bytes[i * row]!;
    if (label >= CLASSES) {
      throw new DatasetError(file, `expected a label in [0, ${CLASSES}), found ${label}`, { offset: i * row });
    }
    labels[i] = label;
    pixels.set(bytes.subarray(i * row + 1, (i + 1) * row), i * IMAGE_BYTES);
  }
  return { pixels, labels };
}
