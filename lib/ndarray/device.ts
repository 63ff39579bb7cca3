/** A device is a loaded library with the memory it owns. No code here asks which kind it is. */
import { ArgumentError, DeviceUnavailableError, ThimbleError } from "../native/errors.ts";
import { type LibraryKind, loadBackend, MOST_THREADS } from "../native/library.ts";
import { MemoryPool } from "../native/storage.ts";
import { type Backend, Isa, Memory } from "../native/symbols.gen.ts";
import { inspect } from "./format.ts";

/** Where arrays live and kernels run. Made by {@link cpu} and {@link cuda}; equal devices are the same object. */
export class Device {
  readonly pool: MemoryPool;
  private readonly name: string;

  readonly kind: LibraryKind;
  readonly index: number;
  readonly backend: Backend;
  /** The file of the loaded library. */
  readonly libraryPath: string;

  /** @internal */
  constructor(kind: LibraryKind, index: number, backend: Backend, libraryPath: string) {
    this.kind = kind;
    this.index = index;
    this.backend = backend;
    this.libraryPath = libraryPath;
    this.pool = new MemoryPool(backend);
    this.name = backend.th_device_name() ?? kind;
  }

  /** Threads that a kernel may use, in the whole process; by default the processors this process may run on. */
  get threads(): number {
    return this.backend.th_get_threads();
  }

  set threads(count: number) {
    if (!Number.isInteger(count) || count < 1 || count > MOST_THREADS)
      throw new ArgumentError("threads", `must be an integer from 1 to ${MOST_THREADS}, not ${count}`);
    this.backend.th_set_threads(count);
  }

  /** The instruction set that the kernels were chosen for: "portable", "avx2" or "avx512". */
  get isa(): string {
    const code = this.backend.th_get_isa();
    return Object.entries(Isa).find(([, value]) => value === code)?.[0] ?? "unknown";
  }

  /** Bytes of the whole process, its workers too: `live` in arrays now, `peak` the most of it, `reserved` all that the library has taken from the system. */
  memory(): { live: number; peak: number; reserved: number } {
    const reserved = this.backend.th_memory_stat(Memory.live) + this.backend.th_memory_stat(Memory.cached);
    return { live: this.pool.live, peak: this.pool.peak, reserved };
  }

  /** Starts counting `memory().peak` again from now. */
  resetPeakMemory(): void {
    this.pool.resetPeak();
  }

  /**
   * Allocation of arrays fails with OutOfMemoryError beyond this many bytes, in the whole process; Infinity for no
   * limit. Kernels' work space, which each thread keeps until `trimMemory`, comes on top: a few MB, for an LSTM
   * twice its weights, and for a reduction 8 to 24 bytes an output.
   */
  setMemoryLimit(bytes: number): void {
    if (typeof bytes !== "number" || !(bytes > 0))
      throw new ArgumentError("setMemoryLimit", `must be a positive number of bytes, not ${bytes}`);
    this.backend.th_memory_set_limit(bytes);
  }

  /** Gives unused memory back to the system. */
  trimMemory(): void {
    this.pool.empty();
    this.backend.th_memory_trim();
  }

  /** "cpu", "cuda:0", or "cuda:0 (emulated)". */
  toString(): string {
    return this.name;
  }

  [inspect](): string {
    return `Device(${this.toString()})`;
  }
}

const devices = new Map<string, Device>();

function open(kind: LibraryKind, index: number): Device {
  const key = `${kind}:${index}`;
  let device = devices.get(key);
  if (device === undefined) {
    const { backend, path } = loadBackend(kind, index);
    device = new Device(kind, index, backend, path);
    devices.set(key, device);
  }
  return device;
}

/**
 * The processor. Loads the native library at its first use; throws LibraryError, which says what to do, when it
 * cannot.
 */
export function cpu(): Device {
  return open("cpu", 0);
}

/** The CUDA device `index`. Throws DeviceUnavailableError, which says what was looked for, when there is none. */
export function cuda(index = 0): Device {
  if (!Number.isInteger(index) || index < 0) {
    throw new DeviceUnavailableError("cuda", `there is no device ${index}: the index must be 0 or a positive integer`);
  }
  return open("cuda", index);
}

/** Whether `cuda()` would succeed. */
cuda.isAvailable = (): boolean => {
  try {
    open("cuda", 0);
    return true;
  } catch (error) {
    if (error instanceof ThimbleError) return false;
    throw error;
  }
};
