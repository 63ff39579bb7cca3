/**
 * Builds the native library, build/libthimble_cpu.so (.dylib on macOS), in the package's own folder: `npm run build`,
 * and after every install. Only what changed is compiled. The full output is in build/build.log.
 *
 *   --cuda                 builds the CUDA variant as well: minutes, so only where it is asked for
 *   --emulated             builds the CUDA variant that runs on the CPU as well, for tests
 *   --postinstall          as the package manager calls it: THIMBLE_SKIP_BUILD=1 leaves the build out
 *
 * It runs under Node, through tsx: at install time Bun itself may not be there yet.
 */
import { spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, statSync, type WriteStream } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import {
  buildFolder,
  cpuLibrary,
  findToolchain,
  homebrewOpenmp,
  libraryFile,
  missingTools,
  root,
  shortPath,
  type Tool,
} from "./toolchain.ts";

const logFile = join(buildFolder, "build.log");
const cacheFile = join(buildFolder, "CMakeCache.txt");
const live = process.stdout.isTTY === true;

const OPTIONS = ["--cuda", "--emulated", "--postinstall"];

/** What is built besides the CPU library: the option, CMake's name for it, its target and library. */
const variants = [
  { option: "--cuda", setting: "THIMBLE_CUDA:STRING", target: "thimble_cuda" },
  { option: "--emulated", setting: "THIMBLE_EMULATED:BOOL", target: "thimble_cuda_emulated" },
].filter(({ option }) => process.argv.includes(option));

const say = (text: string) => console.log(`thimble: ${text}`);

/** A build that failed, with the lines that say why. */
class BuildError extends Error {}

async function main(): Promise<void> {
  const unknown = process.argv.slice(2).find((argument) => !OPTIONS.includes(argument));
  if (unknown !== undefined)
    throw new BuildError(`there is no option ${unknown}; the options are ${OPTIONS.join(", ")}`);
  if (process.argv.includes("--postinstall") && process.env["THIMBLE_SKIP_BUILD"] === "1") {
    say(`THIMBLE_SKIP_BUILD=1: the native library was not built. 'npm run build' in ${root} builds it later.`);
    return;
  }
  const started = performance.now();
  const tools = findToolchain();
  const missing = missingTools(tools);
  const { cmake, compiler, builder } = tools;
  if (missing.length > 0 || cmake === null || compiler === null || builder === null) {
    const skip = `To install without the library, set THIMBLE_SKIP_BUILD=1, and run 'npm run build' in ${root} later.`;
    throw new BuildError([...missing, skip].join("\n"));
  }

  try {
    mkdirSync(buildFolder, { recursive: true });
  } catch (error) {
    throw new BuildError(`the build folder cannot be made: ${error instanceof Error ? error.message : String(error)}`);
  }
  const libraries = [cpuLibrary, ...variants.map(({ target }) => libraryFile(target))];
  const before = libraries.map(modified);
  const log = createWriteStream(logFile);
  try {
    await configure(cmake, builder, log);
    const targets = ["thimble_cpu", ...variants.map(({ target }) => target)];
    const jobs = String(availableParallelism());
    const build = ["--build", buildFolder, "--target", ...targets, "--parallel", jobs];
    await step(`compiling with ${compiler.version}`, cmake, build, log);
  } finally {
    log.end();
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  for (const [i, library] of libraries.entries()) {
    const changed = modified(library) !== before[i];
    say(`${shortPath(library)} ${changed ? "built" : "is up to date"} (${seconds} s)`);
  }
}

/** CMake's configuration, only when there is none for this folder, build program and variants: later ones are CMake's own
    affair. */
async function configure(cmake: Tool, builder: Tool, log: WriteStream): Promise<void> {
  const generator = builder.name === "ninja" ? "Ninja" : "Unix Makefiles";
  const cache = existsSync(cacheFile) ? readFileSync(cacheFile, "utf8") : "";
  const holds = (line: string) => cache.includes(`${line}\n`);
  const generated = existsSync(join(buildFolder, generator === "Ninja" ? "build.ninja" : "Makefile"));
  const current =
    generated && holds(`CMAKE_HOME_DIRECTORY:INTERNAL=${root}`) && holds(`CMAKE_GENERATOR:INTERNAL=${generator}`);
  if (current && variants.every(({ setting }) => holds(`${setting}=ON`))) return;
  if (!current) {
    rmSync(cacheFile, { force: true });
    rmSync(join(buildFolder, "CMakeFiles"), { recursive: true, force: true });
  }
  const openmp = homebrewOpenmp === null ? [] : [`-DOpenMP_ROOT=${homebrewOpenmp}`];
  const chosen = variants.map(({ setting }) => `-D${setting}=ON`);
  const args = ["-S", root, "-B", buildFolder, "-G", generator, "-DCMAKE_BUILD_TYPE=Release", ...openmp, ...chosen];
  await step(`configuring with ${cmake.version}`, cmake, args, log);
}

/** Runs one command: its output goes to the log, its progress to the terminal. */
async function step(title: string, tool: Tool, args: string[], log: WriteStream): Promise<void> {
  const lines: string[] = [];
  let announced = false;
  const child = spawn(tool.path, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const onLine = (line: string) => {
    lines.push(line);
    log.write(`${line}\n`);
    const progress = /^\[\s*(\d+%|\d+\/\d+)\] (?!Built target|Re-running|Re-checking)/.exec(line)?.[1];
    if (progress === undefined) return;
    if (live) process.stdout.write(`\r\x1b[Kthimble: ${title}: ${progress}`);
    else if (!announced) say(title);
    announced = true;
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", onLine);
  const code = await closed;
  if (live && announced) process.stdout.write("\r\x1b[K");
  if (code === 0) return;
  throw new BuildError([`${title} failed:`, ...relevant(lines), `The full output is in ${logFile}`].join("\n"));
}

/** The first error with what follows it, or else the last lines. */
function relevant(lines: readonly string[]): string[] {
  const first = lines.findIndex((line) => /\berror\b|CMake Error|undefined reference|undefined symbol/i.test(line));
  return first < 0 ? lines.slice(-15) : lines.slice(Math.max(0, first - 1), first + 20);
}

function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`thimble: ${error.message}`);
  process.exitCode = 1;
}
