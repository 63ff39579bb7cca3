/**
 * Contestants of a benchmark: thimble in this process, peers each in a process of their own that runs rounds on
 * request. Rounds alternate, so that whatever else the machine does meets all of them alike.
 */
export interface Contestant {
  readonly name: string;
  /** Runs some steps and gives each one's time in milliseconds. */
  round(steps: number): Promise<number[]>;
  close(): void;
}

export function inProcess(name: string, step: () => void): Contestant {
  return {
    name,
    async round(steps) {
      return Array.from({ length: steps }, () => {
        const start = Bun.nanoseconds();
        step();
        return (Bun.nanoseconds() - start) / 1e6;
      });
    },
    close() {},
  };
}

/** A peer that reads a number of steps a line and answers with a JSON list of times; null when it cannot be started. */
export async function subprocess(
  command: readonly string[],
  label: string,
  env: Record<string, string> = {},
): Promise<Contestant | null> {
  let child;
  try {
    child = Bun.spawn([...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "ignore",
      env: { ...process.env, ...env },
    });
  } catch {
    return null;
  }
  const lines = readLines(child.stdout);
  const hello = await lines.next();
  if (hello.done) return null;
  const { name }: { name: string } = JSON.parse(hello.value);
  const { stdin } = child;
  return {
    name: `${name} ${label}`.trim(),
    async round(steps) {
      stdin.write(`${steps}\n`);
      stdin.flush();
      const answer = await lines.next();
      if (answer.done) throw new Error(`${name} stopped`);
      return JSON.parse(answer.value);
    },
    close() {
      stdin.end();
      child.kill();
    },
  };
}

async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
