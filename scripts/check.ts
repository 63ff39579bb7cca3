/**
 * `npm run check`: everything that is wrong without running a test. `-- --fix` formats what can be formatted, then
 * checks. A step prints one line; one that fails also prints what it found.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

import { findTool, root } from "./toolchain.ts";

/** What a step found wrong, or null. */
type Problem = string | null;

const files = repositoryFiles();
const typescript = files.filter((file) => file.endsWith(".ts") && !file.endsWith(".gen.ts"));
const source = typescript.filter((file) => file !== "scripts/check.ts"); // it has the words that it looks for
const notSpecs = source.filter((file) => !file.startsWith("spec/"));
const native = files.filter((file) => /\.(c|h|cu|cuh)$/.test(file) && !file.includes(".gen."));
const fix = process.argv.includes("--fix");

/** Every file that is in the repository or would be added to it. */
function repositoryFiles(): string[] {
  const git = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const { stdout, status } = spawnSync("git", git, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error("npm run check needs the git repository: it checks the files that git knows");
  return stdout.split("\0").filter((file) => file !== "" && existsSync(join(root, file)));
}

/** Runs a program, of node_modules first; a nonzero exit is the problem, with what it printed. */
function run(name: string, ...args: string[]): Problem {
  const local = join(root, "node_modules/.bin", name);
  const program = existsSync(local) ? local : name;
  const env = { ...process.env, NO_COLOR: "1" };
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: root, encoding: "utf8", env });
  if (error) return error.message;
  return status === 0 ? null : `${stdout}${stderr}`.trim() || `${name} exited with ${status}`;
}

/** The lines of the repository's text files that match, as `file:line: text`. */
function grep(pattern: RegExp, among: readonly string[] = files): string[] {
  return among.flatMap((file) => {
    const text = readFileSync(join(root, file), "latin1");
    if (text.includes("\0")) return []; // binary
    const lines = text.split("\n");
    return lines.flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}: ${line.trim().slice(0, 120)}`] : []));
  });
}

const found = (lines: readonly string[]): Problem => (lines.length === 0 ? null : lines.join("\n"));

/** Each line may import from itself and from the lines above; scripts and spec may import anything. */
const layers = [
  ["lib/native"],
  ["lib/ndarray"],
  ["lib/profile"],
  ["lib/autograd"],
  ["lib/ops", "lib/init"],
  ["lib/nn", "lib/optim"],
  ["lib/data", "lib/checkpoint"],
  ["lib/training", "lib/index.ts"],
  ["models", "datasets"],
];

function upwardImports(): Problem {
  const layerOf = (file: string) =>
    layers.findIndex((folders) => folders.some((folder) => `${file}/`.startsWith(`${folder}/`)));
  const upward: string[] = [];
  for (const file of typescript) {
    const own = layerOf(file);
    if (own < 0) continue;
    const text = readFileSync(join(root, file), "utf8");
    for (const [, target = ""] of text.matchAll(/\bfrom "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)/g)) {
      const imported = normalize(join(dirname(file), target));
      const theirs = layerOf(imported);
      if (theirs > own || theirs < 0) upward.push(`${file} imports ${imported}, which is above it`);
    }
  }
  return found(upward);
}

function formatC(): Problem | "absent" {
  const tool = findTool("clang-format");
  if (tool === null) return process.env["CI"] ? "clang-format is not installed" : "absent";
  const style = fix ? ["-i"] : ["--dry-run", "--Werror", "--ferror-limit=1"];
  return native.length === 0 ? null : run(tool.path, ...style, ...native);
}

const suppressions = /@ts-(ignore|nocheck)|as unknown as|(oxlint|eslint)-disable/;
/** Only specs expect type errors: of what the types must refuse. */
const expectedErrors = /@ts-expect-error/;
const skipped = /\b(test|it|describe)\.(skip|todo|only)\b/;
const hosts = /\bregistry\.[\w-]+\.\w+|\bnpm\.pkg\.|\b(pypi|pythonhosted|crates)\.(org|io)\b/;
const machinePaths = /(^|[^\w.~$}])\/(work|farm|tmp|root|home|Users)\//;

const steps: [title: string, check: () => Problem | "absent"][] = [
  ["generated code is what csrc/thimble.h says", () => run("tsx", "scripts/gen-ffi.ts", ...(fix ? [] : ["--check"]))],
  ["types (tsc)", () => run("tsc", "--noEmit")],
  ["lint (oxlint)", () => run("oxlint", ...(fix ? ["--fix"] : []))],
  ["TypeScript format (bun fmt)", () => run("bun", "fmt", ...(fix ? [] : ["--check"]), ...typescript)],
  ["C format (clang-format)", formatC],
  ["imports point downward", upwardImports],
  ["no check is switched off", () => found([...grep(suppressions, source), ...grep(expectedErrors, notSpecs)])],
  ["no test is skipped", () => found(grep(skipped, typescript))],
  ["no package registry is named", () => found(grep(hosts))],
  ["no path of one machine", () => found(grep(machinePaths))],
];

let failures = 0;
for (const [title, check] of steps) {
  const started = performance.now();
  const problem = check();
  const seconds = `(${((performance.now() - started) / 1000).toFixed(1)} s)`;
  if (problem === null) console.log(`pass  ${title} ${seconds}`);
  else if (problem === "absent") console.log(`none  ${title}: clang-format is not installed, so this was not checked`);
  else {
    failures++;
    console.log(`FAIL  ${title} ${seconds}\n${problem.replace(/^/gm, "      ")}`);
  }
}
console.log(failures === 0 ? "All checks passed." : `${failures} of ${steps.length} checks failed.`);
process.exitCode = failures === 0 ? 0 : 1;
