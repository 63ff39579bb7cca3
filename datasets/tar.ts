/**
 * Reads `.tar.gz` archives in memory. Nothing is extracted, so links and paths that climb are only odd names here.
 *
 * Why not a library: tar-stream and modern-tar work on asynchronous streams, and a dataset is constructed
 * synchronously; nanotar is synchronous, but checks neither checksums nor sizes, so that damage passes unseen.
 */
import { gunzipSync } from "node:zlib";

import { DatasetError } from "../lib/native/errors.ts";
import { readFile } from "./files.ts";

/** A regular file in an archive; `data` is a view of the unpacked archive. */
export interface TarMember {
  readonly name: string;
  readonly data: Uint8Array;
}

const BLOCK = 512;

/**
 * The regular files of a gzip-compressed tar archive.
 * @param limit the most bytes that it may unpack to; more is taken for an attack on memory.
 * @throws DatasetError, with the byte of the unpacked archive where there is one.
 */
export function readTarGz(file: string, limit: number): TarMember[] {
  return [...tarMembers(gunzip(readFile(file, limit), file, limit), file)];
}

function gunzip(compressed: Uint8Array, file: string, limit: number): Uint8Array {
  if (compressed[0] !== 0x1f || compressed[1] !== 0x8b) {
    throw new DatasetError(file, "expected a gzip-compressed archive, which starts with 1f 8b", { offset: 0 });
  }
  try {
    // One chunk as large as the limit: memory that is never touched costs nothing, and pieces would be copied together.
    return gunzipSync(compressed, { maxOutputLength: limit, chunkSize: limit });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const tooLarge = cause instanceof RangeError;
    const problem = tooLarge ? `unpacks to more than ${limit} bytes` : `cannot be unpacked: ${reason}`;
    throw new DatasetError(file, problem, { cause, hint: tooLarge ? "This is another archive" : "Download it again" });
  }
}

/** The regular files of an unpacked tar archive (ustar, with the extensions that GNU and BSD tar write passed over). */
export function* tarMembers(archive: Uint8Array, file: string): Generator<TarMember> {
  const fail = (problem: string, offset: number): never => {
    throw new DatasetError(file, `${problem} (counted in the unpacked archive)`, { offset });
  };
  let at = 0;
  for (;;) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.length < BLOCK) fail(`truncated: expected a header of ${BLOCK} bytes, found ${header.length}`, at);
    if (header.every((byte) => byte === 0)) return; // the end of the archive
    const sum = header.reduce((a, b) => a + b) - header.subarray(148, 156).reduce((a, b) => a + b) + 8 * 32;
    if (number(header, 148, 8) !== sum) fail("expected a tar header, but its checksum does not match", at);

    const size = number(header, 124, 12);
    const left = archive.length - at - BLOCK;
    const prefix = text(header, 257, 6) === "ustar" ? text(header, 345, 155) : "";
    const name = (prefix === "" ? "" : `${prefix}/`) + text(header, 0, 100);
    const padded = Math.ceil(size / BLOCK) * BLOCK;
    if (!(padded <= left))
      fail(`truncated: ${JSON.stringify(name)} should have ${size} bytes, and ${left} are left`, at);

    const isFile = header[156] === 0x30 || header[156] === 0; // links, folders and extensions are passed over
    if (isFile) yield { name, data: archive.subarray(at + BLOCK, at + BLOCK + size) };
    at += BLOCK + padded;
  }
}

/** A text field, which ends at its first zero byte. */
function text(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString("utf8");
}

/** A numeric field in octal, NaN when it is anything else (the binary form is for files past 8 GiB). */
function number(header: Uint8Array, start: number, length: number): number {
  const digits = text(header, start, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
}
