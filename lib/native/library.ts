/**
 * Finding and loading a native library: a device is a loaded library, and all libraries export the same functions
 * (csrc/thimble.h). Loading checks the ABI version before anything else is called.
 */
import { dlopen } from "bun:ffi";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { DeviceUnavailableError, LibraryError, type ThimbleError } from "./errors.ts";
import { ABI_VERSION, type Backend, Isa, symbols } from "./symbols.gen.ts";
import { limitSpinning } from "./threads.ts";

export type LibraryKind = "cpu" | "cuda";

const root = join(import.meta.dir, "../..");
const extension = process.platform === "darwin" ? "dylib" : "so";

/** Where the library of a kind may be, in the order that is tried. */
export function libraryCandidates(kind: LibraryKind): string[] {
  const override = kind === "cpu" ? process.env.THIMBLE_LIBRARY : undefined;
  return override ? [override] : [join(root, "build", `libthimble_${kind}.${extension}`)];
}

/** Loads the library of a kind. Throws LibraryError for the CPU's, DeviceUnavailableError for another device's. */
export function loadBackend(kind: LibraryKind): { backend: Backend; path: string } {
  const candidates = libraryCandidates(kind);
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) throw missing(kind, candidates);
  let backend: Backend;
  limitSpinning();
  try {
    backend = dlopen(path, symbols).symbols;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LibraryError(path, `cannot be loaded: ${reason}`, { hint: rebuild, cause });
  }
  const version = backend.th_abi_version();
  if (version !== ABI_VERSION) {
    const problem = `has ABI version ${version}, and this thimble needs ${ABI_VERSION}`;
    throw new LibraryError(path, problem, { hint: rebuild });
  }
  applyEnvironment(backend);
  return { backend, path };
}

/** Native code reads no environment: THIMBLE_ISA (portable, avx2, avx512) and THIMBLE_THREADS are applied here. */
function applyEnvironment(backend: Backend): void {
  const isa = process.env.THIMBLE_ISA;
  if (isa) {
    if (!(isa in Isa)) {
      throw new LibraryError("THIMBLE_ISA", `'${isa}' is not one of ${Object.keys(Isa).join(", ")}`);
    }
    if (backend.th_set_isa(Isa[isa as keyof typeof Isa]) !== 0) {
      throw new LibraryError("THIMBLE_ISA", backend.th_last_error() ?? "not available");
    }
  }
  const threads = process.env.THIMBLE_THREADS;
  if (threads) {
    const count = Number(threads);
    if (!Number.isInteger(count) || count < 1) {
      throw new LibraryError("THIMBLE_THREADS", `'${threads}' is not a positive integer`);
    }
    backend.th_set_threads(count);
  }
}

const rebuild = `Build it with 'bun run build' in ${root}; 'bun run doctor' there shows what was found`;

function missing(kind: LibraryKind, candidates: readonly string[]): ThimbleError {
  const looked = `looked for ${candidates.join(", ")}`;
  if (kind === "cpu")
    return new LibraryError("thimble", `the native library was not built: ${looked}`, { hint: rebuild });
  return new DeviceUnavailableError("cuda", `there is no CUDA library: ${looked}`, {
    hint: "Use cpu(), or ask cuda.isAvailable() first",
  });
}
