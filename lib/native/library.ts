/**
 * Finding and loading a native library: a device is a loaded library, and all libraries export the same functions
 * (csrc/thimble.h). Loading checks the ABI version before anything else is called.
 */
import { dlopen } from "bun:ffi";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { configureEmulator, emulated } from "./emulator.ts";
import { DeviceUnavailableError, LibraryError, type ThimbleError } from "./errors.ts";
import { ABI_VERSION, type Backend, Isa, symbols } from "./symbols.gen.ts";
import { limitSpinning } from "./threads.ts";

export type LibraryKind = "cpu" | "cuda";

const root = join(import.meta.dir, "../..");
const extension = process.platform === "darwin" ? "dylib" : "so";

/** Where the library of a kind may be, in the order that is tried. */
export function libraryCandidates(kind: LibraryKind): string[] {
  const override = kind === "cpu" ? process.env["THIMBLE_LIBRARY"] : process.env["THIMBLE_CUDA_LIBRARY"];
  if (override) return [override];
  const name = kind === "cuda" && emulated() ? "cuda_emulated" : kind;
  return [join(root, "build", `libthimble_${name}.${extension}`)];
}

/**
 * Loads the library of a kind and opens its device.
 * @throws LibraryError when it is not as it should be; DeviceUnavailableError when there is no such device, or no
 * library for it.
 */
export function loadBackend(kind: LibraryKind, index = 0): { backend: Backend; path: string } {
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
  if (kind === "cuda" && emulated()) configureEmulator(path);
  if (backend.th_open(index) !== 0) throw unavailable(kind, path, backend.th_last_error());
  if (kind === "cpu") applyEnvironment(backend);
  return { backend, path };
}

/** What the native library takes. More than there are processors only slows it down. */
export const MOST_THREADS = 1024;

/** Native code reads no environment: THIMBLE_ISA (portable, avx2, avx512) and THIMBLE_THREADS are applied here. */
function applyEnvironment(backend: Backend): void {
  const isa = process.env["THIMBLE_ISA"];
  if (isa) {
    if (!Object.hasOwn(Isa, isa)) {
      throw new LibraryError("THIMBLE_ISA", `'${isa}' is not one of ${Object.keys(Isa).join(", ")}`);
    }
    if (backend.th_set_isa(Isa[isa as keyof typeof Isa]) !== 0) {
      throw new LibraryError("THIMBLE_ISA", backend.th_last_error() ?? "not available");
    }
  }
  const threads = process.env["THIMBLE_THREADS"];
  if (threads) {
    const count = Number(threads);
    if (!Number.isInteger(count) || count < 1 || count > MOST_THREADS) {
      throw new LibraryError("THIMBLE_THREADS", `'${threads}' is not an integer from 1 to ${MOST_THREADS}`);
    }
    // They are the process's: a worker that loads the library too leaves what the main thread may have set since.
    if (Bun.isMainThread || backend.th_get_threads() === availableParallelism()) backend.th_set_threads(count);
  }
}

const rebuild = `Build it with 'bun run build' in '${root}'; 'bun run doctor' there shows what was found`;

function missing(kind: LibraryKind, candidates: readonly string[]): ThimbleError {
  const looked = `looked for ${candidates.join(", ")}`;
  const variable = kind === "cpu" ? "THIMBLE_LIBRARY" : "THIMBLE_CUDA_LIBRARY";
  const named = process.env[variable] ? `${variable} names it; without it the one in build/ is taken. ` : "";
  if (kind === "cpu") {
    const bundled = !existsSync(join(root, "csrc"));
    const embed = `Write import "thimble/embed" in the script, or set ${variable} to build/libthimble_cpu.${extension} in thimble's folder`;
    const hint = named + (bundled ? embed : rebuild);
    if (named !== "") return new LibraryError("thimble", `there is no native library: ${looked}`, { hint });
    if (bundled) return new LibraryError("thimble", `a bundled script has no native library: ${looked}`, { hint });
    return new LibraryError("thimble", `the native library was not built: ${looked}`, { hint });
  }
  return new DeviceUnavailableError("cuda", `there is no CUDA library: ${looked}`, {
    hint: `${named}Build it with 'npm run build -- --${emulated() ? "emulated" : "cuda"}', use cpu(), or ask cuda.isAvailable() first`,
  });
}

function unavailable(kind: LibraryKind, path: string, reason: string | null): DeviceUnavailableError {
  return new DeviceUnavailableError(kind, `${path} was loaded, but ${reason ?? "its device does not open"}`, {
    hint: "Use cpu(), or ask cuda.isAvailable() first",
  });
}
