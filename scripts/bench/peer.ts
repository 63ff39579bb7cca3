/**
 * A peer is a process of its own that answers each line on its standard input with a line of JSON:
 *
 *   at the start              {"name": "PyTorch 1.13.1"}
 *   prepare WORKLOAD…         {"values": [0.25, 0.001]}, or {"missing": "why"} where it does not have that workload
 *   run SAMPLES REPEATS       {"ms": [0.5, 0.49]}: for each sample the time of one of REPEATS runs
 */

export interface Contestant {
  readonly name: string;
  /** Sets a workload up: the values that it gives, or null where this contestant does not have it. */
  prepare(workload: string): Promise<number[] | null>;
  /** Milliseconds a run; each sample is the mean over `repeats` runs. */
  time(samples: number, repeats: number): Promise<number[]>;
  close(): void;
}

/** What a peer answers. */
interface Answer {
  name?: string;
  values?: number[];
  missing?: string;
  ms?: number[];
}

/** A peer that stopped, or answered something else than the protocol says. */
export class PeerError extends Error {}

/** Starts a peer; null when it cannot be started: its library is not there. */
export async function startPeer(
  command: readonly string[],
  label: string,
  env: Record<string, string | undefined>,
): Promise<Contestant | null> {
  let child;
  try {
    child = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "pipe", env });
  } catch {
    return null;
  }
  const errors = new Response(child.stderr).text();
  const lines = readLines(child.stdout);
  const { stdin } = child;
  let name = label;
  const answer = async (): Promise<Answer> => {
    const line = await lines.next();
    if (!line.done) return JSON.parse(line.value);
    throw new PeerError(`${name} stopped: ${(await errors).trim().split("\n").at(-1) ?? ""}`);
  };
  const ask = async (request: string): Promise<Answer> => {
    try {
      await stdin.write(`${request}\n`);
      await stdin.flush();
    } catch {
      // It has ended, and `answer` says why.
    }
    return answer();
  };
  try {
    name = [(await answer()).name, label].filter(Boolean).join(", ");
  } catch (error) {
    if (error instanceof PeerError) return null;
    throw error;
  }
  return {
    name,
    async prepare(workload) {
      const { values } = await ask(`prepare ${workload}`);
      return values ?? null;
    },
    async time(samples, repeats) {
      const { ms } = await ask(`run ${samples} ${repeats}`);
      if (ms === undefined) throw new PeerError(`${name} gave no times`);
      return ms;
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
