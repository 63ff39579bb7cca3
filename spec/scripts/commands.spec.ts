/** `doctor` and `build` as a user runs them, on machines that lack something. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const node = Bun.which("node");

function run(command: string[], env: Record<string, string> = {}) {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { cwd: root, env: { ...process.env, ...env } });
  return { stdout: String(stdout), stderr: String(stderr), exitCode };
}
const doctor = (env?: Record<string, string>) => run([process.execPath, "scripts/doctor.ts"], env);
const build = (env: Record<string, string>, ...args: string[]) => {
  if (node === null) throw new Error("these specs need Node, as the build itself does");
  return run([node, "node_modules/tsx/dist/cli.mjs", "scripts/build.ts", ...args], env);
};

test("doctor says what was loaded", () => {
  const { stdout, exitCode } = doctor({ THIMBLE_ISA: "portable", THIMBLE_THREADS: "1" });
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/loaded +.*libthimble_cpu\.\w+, ABI version \d+/);
  expect(stdout).toMatch(/threads +1\n/);
  expect(stdout).toMatch(/instruction sets +portable \(in use\)/);
  expect(stdout).toContain("THIMBLE_ISA");
});

test("doctor ends with 1 when the library cannot be loaded, and says why", () => {
  const missing = doctor({ THIMBLE_LIBRARY: "nowhere/libthimble_cpu.so" });
  expect(missing.exitCode).toBe(1);
  expect(missing.stdout).toContain("nowhere/libthimble_cpu.so (not there)");
  expect(missing.stdout).toContain("there is no native library");
  const other = doctor({ THIMBLE_LIBRARY: join(root, "package.json") });
  expect(other.exitCode).toBe(1);
  expect(other.stdout).toContain("cannot be loaded");
});

test("build names what is missing and how to install it", () => {
  const folder = mkdtempSync(join(tmpdir(), "thimble-path-"));
  try {
    if (node !== null) symlinkSync(node, join(folder, "node"));
    const { stderr, exitCode } = build({ PATH: folder, CC: "" });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("a C compiler (cc, gcc or clang)");
    expect(stderr).toContain("sudo apt-get install gcc libc6-dev cmake make");
    expect(stderr).toContain("THIMBLE_SKIP_BUILD=1");
    const compiler = build({ CC: "no-such-compiler" }, "--postinstall");
    expect(compiler.exitCode).toBe(1);
    expect(compiler.stderr).toContain("the C compiler that $CC names ('no-such-compiler')");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("THIMBLE_SKIP_BUILD leaves the build out at install time, and says so", () => {
  const { stdout, exitCode } = build({ THIMBLE_SKIP_BUILD: "1", PATH: "" }, "--postinstall");
  expect(exitCode).toBe(0);
  expect(stdout).toContain("was not built");
});

test("a program of one file: with thimble/embed it has the native library, without it the error says so", () => {
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build/bundle-"));
  const away = mkdtempSync(join(tmpdir(), "thimble-away-"));
  const bun = (args: string[]) => run([process.execPath, "build", ...args]);
  const start = (...command: string[]) => {
    const { THIMBLE_LIBRARY: _, ...env } = process.env;
    const { stdout, stderr, exitCode } = Bun.spawnSync(command, { cwd: away, env });
    return { stdout: String(stdout), stderr: String(stderr), exitCode };
  };
  try {
    const script = join(folder, "main.ts");
    const program = 'import { tensor } from "thimble";\nconsole.log(tensor([1, 2]).mul(2).toArray().join());\n';
    writeFileSync(script, `import "thimble/embed";\n${program}`);
    expect(bun(["--compile", script, "--outfile", join(away, "app")]).exitCode).toBe(0);
    expect(start(join(away, "app"))).toEqual({ stdout: "2,4\n", stderr: "", exitCode: 0 });
    expect(bun([script, "--target", "bun", "--outdir", join(away, "out")]).exitCode).toBe(0);
    expect(start(process.execPath, "out/main.js")).toEqual({ stdout: "2,4\n", stderr: "", exitCode: 0 });

    writeFileSync(script, program);
    expect(bun([script, "--target", "bun", "--outdir", join(away, "bare")]).exitCode).toBe(0);
    const { stderr, exitCode } = start(process.execPath, "bare/main.js");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("a bundled script has no native library");
    expect(stderr).toContain('Write import "thimble/embed" in the script');
  } finally {
    rmSync(folder, { recursive: true });
    rmSync(away, { recursive: true });
  }
}, 60_000);
