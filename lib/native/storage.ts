/**
 * Native memory and who owns it.
 *
 * A **Block** is native memory of one size class, with a token: an ArrayBuffer made by `toArrayBuffer` whose native
 * deallocator frees the memory when the garbage collector takes the token. A **Storage** holds one Block and counts its
 * owners. At count zero the Block goes to a pool in JavaScript and is used again; a Storage that is merely forgotten
 * takes its Block and token with it, and the collector, which knows the claimed size, frees the memory. So counting
 * only frees sooner: reachability keeps memory valid, and forgetting to release costs memory for a while, never
 * correctness. Measured against finalizers and a token for each Storage, this is the fastest and the most bounded.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";

import { DisposedError, LibraryError, OutOfMemoryError } from "./errors.ts";
import { type Backend, Memory } from "./symbols.gen.ts";

interface Block {
  readonly pointer: Pointer;
  readonly sizeClass: number;
  readonly token: ArrayBuffer;
}

const SMALLEST = 64;
/** bun:ffi claims at most 4 GiB for one ArrayBuffer; the token of a larger block claims that much. */
const LARGEST_CLAIM = 2 ** 32 - 64;

/** Size classes: four steps for each power of two, so at most a fifth of a block is unused. */
export function sizeClassOf(bytes: number): number {
  const units = Math.max(1, Math.ceil(bytes / SMALLEST)); // below 2^31: an array has fewer elements than that
  const exponent = 31 - Math.clz32(units);
  const base = 2 ** exponent;
  const step = exponent < 2 ? 1 : base / 4;
  return 4 * exponent + Math.ceil((units - base) / step);
}

/** Bytes of a size class. */
export function sizeClassBytes(sizeClass: number): number {
  const exponent = sizeClass >> 2;
  const base = 2 ** exponent;
  const step = exponent < 2 ? 1 : base / 4;
  return SMALLEST * (base + step * (sizeClass & 3));
}

/**
 * Garbage that may gather before the pool collects it itself: the collector's own limits grow with all that it knows
 * of, data sets included, so a loop that never disposes would grow for many epochs.
 */
const SLACK = 128 * 2 ** 20;

/** bun:ffi takes a context and a native deallocator, which its declared type leaves out. */
const makeToken: (
  pointer: Pointer,
  byteOffset: number,
  byteLength: number,
  context: Pointer,
  deallocator: Pointer,
) => ArrayBuffer = toArrayBuffer;

/** bun:ffi gives addresses beyond 2^53 as a bigint; no 64-bit system hands those to a process. */
function asPointer(address: Pointer | bigint | null): Pointer | null {
  if (typeof address === "bigint") throw new LibraryError("thimble", `the address ${address} does not fit a number`);
  return address;
}

/** The memory of one device: allocation, and the pool of blocks that wait to be used again. */
export class MemoryPool {
  private readonly free: Block[][] = [];
  private readonly deallocator: Pointer;
  /** Bytes that wait in the pool. */
  private pooled = 0;
  /** The library's live bytes when a block was last made; the collector may have freed some since. */
  private allocated = 0;
  private collectAbove = SLACK;
  private highest = 0;

  private readonly backend: Backend;

  constructor(backend: Backend) {
    this.backend = backend;
    const deallocator = asPointer(backend.th_deallocator());
    if (deallocator === null) throw new LibraryError("thimble", "the library has no deallocator");
    this.deallocator = deallocator;
  }

  take(bytes: number): Block {
    const sizeClass = sizeClassOf(bytes);
    let block = this.free[sizeClass]?.pop();
    if (block === undefined) block = this.make(sizeClass);
    else this.pooled -= sizeClassBytes(sizeClass);
    this.highest = Math.max(this.highest, this.allocated - this.pooled);
    return block;
  }

  give(block: Block): void {
    this.pooled += sizeClassBytes(block.sizeClass);
    (this.free[block.sizeClass] ??= []).push(block);
  }

  /** Bytes that arrays hold now, or that the garbage collector has not taken yet. */
  get live(): number {
    return this.backend.th_memory_stat(Memory.live) - this.pooled;
  }

  /** The most of `live` since the start or `resetPeak`. */
  get peak(): number {
    return this.highest;
  }

  /** Frees every waiting block: `transfer(0)` runs a token's deallocator at once. */
  empty(): void {
    for (const blocks of this.free) {
      if (blocks === undefined) continue;
      for (const block of blocks) block.token.transfer(0);
      blocks.length = 0;
    }
    this.pooled = 0;
  }

  resetPeak(): void {
    this.allocated = this.backend.th_memory_stat(Memory.live);
    this.highest = this.allocated - this.pooled;
  }

  private make(sizeClass: number): Block {
    const bytes = sizeClassBytes(sizeClass);
    // After a phase that needed much, garbage is not allowed to grow as large again.
    this.allocated = this.backend.th_memory_stat(Memory.live);
    this.collectAbove = Math.min(this.collectAbove, this.limitFrom(this.allocated));
    if (this.allocated + bytes > this.collectAbove) this.collect();
    const pointer = asPointer(this.backend.th_alloc(bytes)) ?? this.reclaim(bytes);
    this.allocated = this.backend.th_memory_stat(Memory.live);
    const token = makeToken(pointer, 0, Math.min(bytes, LARGEST_CLAIM), pointer, this.deallocator);
    return { pointer, sizeClass, token };
  }

  /** Frees the pool and all that is unreachable; the next time is when half as much again is in use, or SLACK more. */
  private collect(): void {
    this.empty();
    Bun.gc(true);
    this.allocated = this.backend.th_memory_stat(Memory.live);
    this.collectAbove = this.limitFrom(this.allocated);
  }

  private limitFrom(bytes: number): number {
    return bytes + Math.max(SLACK, bytes / 2);
  }

  /** The system has no more: give back the pool, then collect garbage, and ask again after each. */
  private reclaim(bytes: number): Pointer {
    this.empty();
    this.backend.th_memory_trim();
    const afterEmptying = asPointer(this.backend.th_alloc(bytes));
    if (afterEmptying !== null) return afterEmptying;
    Bun.gc(true);
    const afterCollecting = asPointer(this.backend.th_alloc(bytes));
    if (afterCollecting !== null) return afterCollecting;
    const limit = this.backend.th_memory_stat(Memory.limit);
    const most = Number.isFinite(limit) ? `, and setMemoryLimit allows ${limit}` : "";
    throw new OutOfMemoryError("allocate", `no memory for ${bytes} bytes; ${this.live} bytes are in use${most}`, {
      hint: "Use smaller batches, run the step inside tidy(), or dispose arrays that are no longer needed",
    });
  }
}

/**
 * Counted ownership of one block. Owners: every NDArray handle, every tape node that saved it, every pending
 * gradient.
 */
export class Storage {
  private block: Block | null;
  private owners = 1;
  /** Counts writes in place, so that backward can tell that what it saved has changed. */
  version = 0;

  private readonly pool: MemoryPool;
  readonly bytes: number;

  constructor(pool: MemoryPool, bytes: number) {
    this.pool = pool;
    this.bytes = bytes;
    this.block = pool.take(bytes);
  }

  /** The memory, for the length of a native call. */
  get pointer(): Pointer {
    if (this.block === null) throw new DisposedError("storage", "this memory was released");
    return this.block.pointer;
  }

  /** True while only one owner is left: that owner may overwrite the memory. */
  get exclusive(): boolean {
    return this.owners === 1;
  }

  retain(): this {
    this.owners++;
    return this;
  }

  /** One owner less. The last one sends the block to the pool; a stale handle can then never see its next content. */
  release(): void {
    if (--this.owners > 0 || this.block === null) return;
    const block = this.block;
    this.block = null;
    this.pool.give(block);
  }
}
