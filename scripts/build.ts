/**
 * Builds the native library, build/libthimble_cpu.so (.dylib on macOS), in the package's own folder: `npm run build`, and
 * after every install. Only what changed is compiled. The full output is in build/build.log.
 *
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
  missingTools,
  root,
  shortPath,
  type Tool,
} from "./toolchain.ts";

const logFile = join(buildFolder, "build.log");
const cacheFile = join(buildFolder, "CMakeCache.txt");
const live = process.stdout.isTTY === true;

const say = (text: string) => console.log(`thimble: ${text}`);

/** A build that failed, with the lines that say why. */
class BuildError extends Error {}

async function main(): Promise<void> {
  if (process.argv.includes("--postinstall") && process.env.THIMBLE_SKIP_BUILD === "1") {
    say("THIMBLE_SKIP_BUILD=1: the native library was not built. 'npm run build' builds it later.");
    return;
  }
  const started = performance.now();
  const tools = findToolchain();
  const missing = missingTools(tools);
  const { cmake, compiler, builder } = tools;
  if (missing.length > 0 || cmake === null || compiler === null || builder === null) {
    const skip = "To install without the library, set THIMBLE_SKIP_BUILD=1 and run 'npm run build' later.";
    throw new BuildError([...missing, skip].join("\n"));
  }

  mkdirSync(buildFolder, { recursive: true });
  const before = modified(cpuLibrary);
  const log = createWriteStream(logFile);
  try {
    await configure(cmake, builder, log);
    const jobs = String(availableParallelism());
    const build = ["--build", buildFolder, "--target", "thimble_cpu", "--parallel", jobs];
    await step(`compiling with ${compiler.version}`, cmake, build, log);
  } finally {
    log.end();
  }
  const changed = modified(cpuLibrary) !== before;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`${shortPath(cpuLibrary)} ${changed ? "built" : "is up to date"} (${seconds} s)`);
}

/** CMake's configuration, only when there is none for this folder and build program: later ones are CMake's own affair. */
async function configure(cmake: Tool, builder: Tool, log: WriteStream): Promise<void> {
  const generator = builder.name === "ninja" ? "Ninja" : "Unix Makefiles";
  const cache = existsSync(cacheFile) ? readFileSync(cacheFile, "utf8") : "";
  const current = [`CMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`, `CMAKE_GENERATOR:INTERNAL=${generator}\n`];
  const generated = existsSync(join(buildFolder, generator === "Ninja" ? "build.ninja" : "Makefile"));
  if (generated && current.every((line) => cache.includes(line))) return;
  rmSync(cacheFile, { force: true });
  rmSync(join(buildFolder, "CMakeFiles"), { recursive: true, force: true });
  const openmp = homebrewOpenmp === null ? [] : [`-DOpenMP_ROOT=${homebrewOpenmp}`];
  const args = ["-S", root, "-B", buildFolder, "-G", generator, "-DCMAKE_BUILD_TYPE=Release", ...openmp];
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
