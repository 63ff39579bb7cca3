/** Running the scripts as a user does, in processes of their own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Outcome {
  stdout: string;
  stderr: string;
  code: number;
}

const start = (script: string, args: readonly string[], env: Record<string, string>) =>
  Bun.spawn([process.execPath, join(import.meta.dir, "../../scripts", script), ...args], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });

/** Runs a script of scripts/ to its end. */
export async function runScript(
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const child = start(script, args, env);
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

/** Runs a script, and presses Ctrl-C as soon as it has printed `text`. */
export async function runUntil(text: string, script: string, args: readonly string[]): Promise<Outcome> {
  const child = start(script, args, {});
  const decoder = new TextDecoder();
  let stdout = "";
  for await (const chunk of child.stdout) {
    const before = stdout;
    stdout += decoder.decode(chunk, { stream: true });
    if (stdout.includes(text) && !before.includes(text)) child.kill("SIGINT");
  }
  return { stdout, stderr: await new Response(child.stderr).text(), code: await child.exited };
}

/** The lines of a log that --log wrote. */
export const readLog = <Line>(file: string): Line[] =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
