/**
 * `bun run doctor`: what was found on this machine, what was loaded, and why not. Exit code 1 when the CPU library
 * cannot be loaded, since nothing works without it.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { arch, cpus, freemem, platform, release, totalmem } from "node:os";

import { cacheFolder, messageOf } from "../datasets/download.ts";
import { libraryCandidates, type LibraryKind, loadBackend } from "../lib/native/library.ts";
import { Isa } from "../lib/native/symbols.gen.ts";
import { commandLine } from "./cli/options.ts";
import packageJson from "../package.json" with { type: "json" };
import { findTool, findToolchain, missingTools, output, root, type Tool } from "./toolchain.ts";

const row = (name: string, ...lines: string[]) => {
  for (const [i, line] of lines.entries()) console.log(`  ${(i === 0 ? name : "").padEnd(18)}${line}`);
};
const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const shown = (tool: Tool | null) => (tool === null ? "not found" : `${tool.version}  ${tool.path}`);

function machine(): void {
  console.log("Machine");
  const system = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(system)?.[1];
  row("platform", `${platform()} ${arch()}${name === undefined ? "" : `, ${name}`}, kernel ${release()}`);
  row("processor", `${cpus()[0]?.model.trim() ?? "unknown"}, ${cpus().length} processors`);
  row("memory", `${gibibytes(totalmem())}, ${gibibytes(freemem())} free`);
}

function programs(): void {
  const tools = findToolchain();
  console.log("Programs");
  row("bun", `${Bun.version}  ${process.execPath}`);
  row("node", shown(findTool("node")));
  row("C compiler", shown(tools.compiler));
  row("OpenMP", tools.compiler === null ? "unknown without a compiler" : tools.openmp ? "found" : "omp.h not found");
  row("cmake", shown(tools.cmake));
  row("build program", shown(tools.builder));
  const missing = missingTools(tools);
  if (missing.length > 0) row("to build", ...missing);
}

/** Whether the CPU library was loaded. */
function cpuLibrary(): boolean {
  console.log("CPU library");
  row("tried", ...candidates("cpu"));
  try {
    const { backend, path } = loadBackend("cpu");
    row("loaded", `${path}, ABI version ${backend.th_abi_version()}`);
    row("threads", String(backend.th_get_threads()));
    const chosen = backend.th_get_isa();
    const usable = Object.entries(Isa).filter(([, code]) => backend.th_set_isa(code) === 0);
    backend.th_set_isa(chosen);
    row("instruction sets", usable.map(([name, code]) => (code === chosen ? `${name} (in use)` : name)).join(", "));
    return true;
  } catch (error) {
    row("not loaded", messageOf(error));
    return false;
  }
}

function cudaLibrary(): void {
  console.log("CUDA");
  row("tried", ...candidates("cuda"));
  try {
    const { backend, path } = loadBackend("cuda");
    row("loaded", `${path}, ABI version ${backend.th_abi_version()}`);
    row("device", backend.th_device_name() ?? "");
  } catch (error) {
    row("not available", messageOf(error));
  }
  const smi = findTool("nvidia-smi");
  const query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"];
  const gpus = smi === null ? null : output(smi.path, query);
  row("graphics cards", ...(gpus?.trim().split("\n") ?? ["none: nvidia-smi was not found, or reports none"]));
}

function candidates(kind: LibraryKind): string[] {
  return libraryCandidates(kind).map((path) => `${path} (${existsSync(path) ? "there" : "not there"})`);
}

function data(): void {
  console.log("Data");
  row("THIMBLE_DATA", process.env["THIMBLE_DATA"] ? contents(process.env["THIMBLE_DATA"]) : "not set");
  row("cache folder", contents(cacheFolder()));
}

/** A path and the names in it. */
function contents(path: string): string {
  try {
    return listing(path);
  } catch (error) {
    return `${path}: ${messageOf(error)}`;
  }
}

function listing(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return `${path}: not there`;
  if (!stats.isDirectory()) return `${path}: a file of ${stats.size} bytes`;
  const names = readdirSync(path).toSorted();
  const few = names.slice(0, 8).join(", ") + (names.length > 8 ? `, and ${names.length - 8} more` : "");
  return `${path}: ${few === "" ? "empty" : few}`;
}

function environment(): void {
  const names = Object.keys(process.env).filter((name) =>
    /^(THIMBLE|OMP|GOMP)_|^(CC|CFLAGS|CUDA_VISIBLE_DEVICES)$/.test(name),
  );
  console.log("Environment");
  if (names.length === 0) row("", "nothing set that concerns thimble");
  for (const name of names.toSorted()) row(name, process.env[name] ?? "");
}

commandLine("bun run doctor", "What was found on this machine, what was loaded, and why not.", {}); // refuses arguments
console.log(`thimble ${packageJson.version} in ${root}`);
machine();
programs();
const loaded = cpuLibrary();
cudaLibrary();
data();
environment();
if (!loaded) process.exitCode = 1;
