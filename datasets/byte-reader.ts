/** Reading a binary file from front to back; what goes wrong is a DatasetError at its byte. */
import { DatasetError } from "../lib/native/errors.ts";

export class ByteReader {
  position = 0;
  private readonly view: DataView;

  readonly bytes: Uint8Array;
  private readonly file: string;

  /** @param file names the file in errors. */
  constructor(bytes: Uint8Array, file: string) {
    this.bytes = bytes;
    this.file = file;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  fail(problem: string, offset = this.position): never {
    throw new DatasetError(this.file, problem, { offset });
  }

  /** The next bytes, a view. */
  take(count: number): Uint8Array {
    const left = this.bytes.length - this.position;
    if (count > left) this.fail(`truncated: expected ${count} more bytes, found ${left}`, this.position);
    this.position += count;
    return this.bytes.subarray(this.position - count, this.position);
  }

  /** A little-endian unsigned integer of 1, 2, 4 or 8 bytes. */
  unsigned(size: 1 | 2 | 4 | 8): number {
    const at = this.position;
    this.take(size);
    if (size === 1) return this.view.getUint8(at);
    if (size === 2) return this.view.getUint16(at, true);
    const low = this.view.getUint32(at, true);
    return size === 4 ? low : low + 2 ** 32 * this.view.getUint32(at + 4, true);
  }

  /** A little-endian two's complement integer of any size that a number holds exactly. */
  signed(size: number): number {
    const bytes = this.take(size);
    if (size > 6) this.fail(`an integer of ${size} bytes; expected at most 6`);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + bytes[i]!;
    return size > 0 && bytes[size - 1]! > 127 ? value - 256 ** size : value;
  }

  text(size: number): string {
    return Buffer.from(this.take(size)).toString("utf8");
  }

  /** Bytes up to a newline, which is passed over. */
  line(): string {
    const end = this.bytes.indexOf(10, this.position);
    if (end < 0) this.fail("truncated: expected a name and a newline", this.position);
    const line = Buffer.from(this.take(end - this.position)).toString("latin1");
    this.position++;
    return line;
  }
}
