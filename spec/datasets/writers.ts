/** Writers of CIFAR-10's formats for the specs: straight from the formats' descriptions, sharing nothing with the readers. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll } from "bun:test";

export interface Images {
  readonly labels: readonly number[];
  /** 3072 bytes for each label. */
  readonly pixels: Uint8Array;
}

/** `count` made-up images; the byte at each place tells which image and which place it is. */
export function images(count: number, seed = 0): Images {
  const labels = Array.from({ length: count }, (_, i) => (i * 3 + seed) % 10);
  const pixels = Uint8Array.from({ length: count * 3072 }, (_, i) => (i * 31 + (i >> 8) * 7 + seed * 13) & 255);
  return { labels, pixels };
}

const text = (value: string): Buffer => Buffer.from(value, "latin1");
const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);

/** A pickle as Python 2 and NumPy 1 wrote the official files: protocol 2, byte strings, a memo. */
export function pickleBatch({ labels, pixels }: Images): Buffer {
  let stored = 0;
  const put = (): Buffer => (stored < 255 ? Buffer.of(0x71, ++stored) : Buffer.concat([text("r"), u32(++stored)]));
  const string = (value: string): Buffer => Buffer.concat([text("U"), Buffer.of(value.length), text(value), put()]);
  const shapeOf = (n: number): Buffer => Buffer.concat([Buffer.of(0x4d), Buffer.from(Uint16Array.of(n).buffer)]);
  const lists: Buffer[] = [];
  for (let i = 0; i < labels.length; i += 1000) {
    const part = labels.slice(i, i + 1000);
    lists.push(text("("), ...part.map((label) => Buffer.of(0x4b, label)), text("e"));
  }
  return Buffer.concat([
    Buffer.of(0x80, 2),
    text("}"),
    put(),
    text("("),
    string("batch_label"),
    string("training batch 1 of 5"),
    string("labels"),
    text("]"),
    put(),
    ...lists,
    string("data"),
    text("cnumpy.core.multiarray\n_reconstruct\n"),
    put(),
    text("cnumpy\nndarray\n"),
    put(),
    Buffer.of(0x4b, 0, 0x85),
    put(),
    string("b"),
    Buffer.of(0x87),
    put(),
    text("R"),
    put(),
    Buffer.concat([text("("), Buffer.of(0x4b, 1), shapeOf(labels.length), shapeOf(3072), Buffer.of(0x86), put()]),
    text("cnumpy\ndtype\n"),
    put(),
    string("u1"),
    Buffer.of(0x4b, 0, 0x4b, 1, 0x87),
    put(),
    text("R"),
    put(),
    Buffer.concat([text("("), Buffer.of(0x4b, 3), string("|"), text("NNN")]),
    Buffer.concat([text("J"), u32(0xffffffff), text("J"), u32(0xffffffff), Buffer.of(0x4b, 0), text("t")]),
    put(),
    text("b"),
    Buffer.of(0x89),
    text("T"),
    u32(pixels.length),
    pixels,
    put(),
    text("t"),
    put(),
    text("bu."),
  ]);
}

/** The binary version: for each image, a byte for the label and 3072 for the pixels. */
export function binaryBatch({ labels, pixels }: Images): Buffer {
  return Buffer.concat(labels.flatMap((label, i) => [Buffer.of(label), pixels.subarray(i * 3072, (i + 1) * 3072)]));
}

export interface Member {
  name: string;
  data?: Uint8Array;
  /** "0" a file, "2" a symbolic link, "5" a folder. */
  type?: string;
  link?: string;
}

/** A tar archive in the ustar format. */
export function tar(members: readonly Member[]): Buffer {
  const blocks = members.flatMap(({ name, data = new Uint8Array(0), type = "0", link = "" }) => {
    const header = Buffer.alloc(512);
    header.write(name, 0, "latin1");
    header.write("0000644\x000000000\x000000000\0", 100, "latin1");
    header.write(`${data.length.toString(8).padStart(11, "0")}\0${"0".padStart(11, "0")}\0`, 124, "latin1");
    header.write("        ", 148, "latin1");
    header.write(type, 156, "latin1");
    header.write(link, 157, "latin1");
    header.write("ustar\x0000", 257, "latin1");
    const sum = header.reduce((a, b) => a + b, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return [header, Buffer.from(data), Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export const tarGz = (members: readonly Member[]): Buffer => gzipSync(tar(members));

/** The files of a whole set by name: five training batches and a test batch. */
export function wholeSet(format: "py" | "bin", perBatch: number): Record<string, Buffer> {
  const write = format === "py" ? pickleBatch : binaryBatch;
  const suffix = format === "py" ? "" : ".bin";
  return Object.fromEntries(
    [1, 2, 3, 4, 5, 6].map((i) => {
      const name = i === 6 ? "test_batch" : `data_batch_${i}`;
      return [`cifar-10-batches-${format}/${name}${suffix}`, write(images(perBatch, i))];
    }),
  );
}

const made: string[] = [];

/** A folder with the given files, which is removed after the spec file's tests. */
export function folder(files: Record<string, Uint8Array | string> = {}): string {
  const path = mkdtempSync(join(tmpdir(), "thimble-spec-"));
  made.push(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

/** Call once in a spec file that uses {@link folder}. */
export function removeFoldersAfterwards(): void {
  afterAll(() => {
    for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
  });
}
