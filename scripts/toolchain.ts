/**
 * What building the native library needs, and where things are. Shared by build.ts (under Node, before Bun is there),
 * doctor.ts and check.ts, so it imports nothing but Node's own modules.
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";

/** The package's own folder, also when it is installed in another project's node_modules. */
export const root: string = dirname(import.meta.dirname);
export const buildFolder: string = join(root, "build");
export const cpuLibrary: string = libraryFile("thimble_cpu");

/** The file of a library target. */
export function libraryFile(target: string): string {
  return join(buildFolder, `lib${target}.${process.platform === "darwin" ? "dylib" : "so"}`);
}

/** A path as messages show it: relative to the package when it lies inside. */
export function shortPath(path: string): string {
  const short = relative(root, path);
  return short.startsWith("..") ? path : short;
}

/** A program that was found. */
export interface Tool {
  name: string;
  path: string;
  /** The first line of `--version`. */
  version: string;
}

/** The file that a shell would run for `name`, or null. */
function which(name: string): string | null {
  if (name.includes("/")) return isExecutable(name) ? name : null;
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name);
    if (folder !== "" && isExecutable(path)) return path;
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a program and returns its output, or null when it fails. */
export function output(path: string, args: readonly string[], input = ""): string | null {
  try {
    return execFileSync(path, args, { encoding: "utf8", input, stdio: ["pipe", "pipe", "pipe"] });
  } catch {
    return null;
  }
}

/** The first of `names` that is there and answers `--version`. */
export function findTool(...names: string[]): Tool | null {
  for (const name of names) {
    const path = which(name);
    const version = path === null ? null : output(path, ["--version"]);
    if (path !== null && version !== null) return { name, path, version: version.split("\n", 1)[0]!.trim() };
  }
  return null;
}

/** The programs for a build; null where there is none. */
export interface Toolchain {
  cmake: Tool | null;
  /** $CC where it is set, as CMake does, else cc, gcc or clang. */
  compiler: Tool | null;
  /** ninja, or make. */
  builder: Tool | null;
  /** Whether the compiler finds OpenMP's header; CMake makes the full test. */
  openmp: boolean;
}

/** Homebrew's OpenMP, which Apple's clang does not look for by itself. */
export const homebrewOpenmp: string | null =
  ["/opt/homebrew/opt/libomp", "/usr/local/opt/libomp"].find((folder) => existsSync(folder)) ?? null;

export function findToolchain(): Toolchain {
  const compiler = process.env["CC"] ? findTool(process.env["CC"].split(" ")[0]!) : findTool("cc", "gcc", "clang");
  return {
    cmake: findTool("cmake"),
    compiler,
    builder: findTool("ninja", "make", "gmake"),
    openmp: compiler !== null && hasOpenmp(compiler),
  };
}

function hasOpenmp(compiler: Tool): boolean {
  const args = homebrewOpenmp === null ? ["-fopenmp"] : ["-I", join(homebrewOpenmp, "include")];
  return output(compiler.path, [...args, "-E", "-x", "c", "-"], "#include <omp.h>\n") !== null;
}

/** What is missing, and the commands that install it: the lines of a message, none when all is there. */
export function missingTools({ cmake, compiler, builder, openmp }: Toolchain): string[] {
  const clang = compiler?.version.includes("clang") === true;
  const missing: { what: string; debian: string; homebrew?: string }[] = [];
  if (compiler === null) missing.push({ what: compilerProblem(), debian: "gcc libc6-dev" });
  if (cmake === null) missing.push({ what: "CMake 3.20 or later (cmake)", debian: "cmake", homebrew: "cmake" });
  if (builder === null) missing.push({ what: "make or ninja", debian: "make" });
  if (compiler !== null && !openmp) {
    missing.push({
      what: `OpenMP for ${compiler.path} (omp.h)`,
      debian: clang ? "libomp-dev" : "gcc",
      homebrew: "libomp",
    });
  }
  if (missing.length === 0) return [];
  const homebrew = missing.flatMap((part) => part.homebrew ?? []).join(" ");
  return [
    "The native library cannot be built. Missing:",
    ...missing.map((part) => `  - ${part.what}`),
    `Debian, Ubuntu:  sudo apt-get install ${missing.map((part) => part.debian).join(" ")}`,
    `macOS:           xcode-select --install${homebrew === "" ? "" : ` && brew install ${homebrew}`}`,
  ];
}

function compilerProblem(): string {
  const chosen = process.env["CC"];
  return chosen ? `the C compiler that $CC names ('${chosen}')` : "a C compiler (cc, gcc or clang)";
}
