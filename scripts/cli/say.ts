/** Words that a saved language model says. */
import { type Dictionary, END_OF_SENTENCE, UNKNOWN } from "../../datasets/index.ts";
import { ArgumentError, type Device, Generator } from "../../lib/index.ts";
import { generate } from "../../models/index.ts";
import { loadModel } from "./lm-run.ts";

export interface SayOptions {
  /** Words to print. */
  count: number;
  /** Words that come before. Default: the beginning of a sentence. */
  prompt?: string | undefined;
  temperature: number;
  topK?: number | undefined;
  topP: number;
  seed: number;
  /** Ends it after the running word. */
  signal: AbortSignal;
}

/** Prints `count` words as a checkpoint's model goes on after the prompt, each sentence on a line of its own. */
export async function sayWords(file: string, device: Device, options: SayOptions): Promise<void> {
  const { count, prompt = "", temperature, topK, topP, seed, signal } = options;
  const { model, dictionary } = loadModel(file, device);
  const words = prompt.split(/\s+/).filter((word) => word !== "");
  const ids = (words.length === 0 ? [END_OF_SENTENCE] : words).map((word) => idOf(dictionary, word));
  const said = generate(model, ids, { temperature, topK, topP, generator: new Generator(seed) });
  for (let i = 1; i <= count; i++) {
    const word = dictionary.word(said.next().value);
    const ends = word === END_OF_SENTENCE || i === count;
    if (!(await print(word + (ends ? "\n" : " ")))) return; // nobody reads on, such as behind `| head`
    if (signal.aborted) {
      if (!ends) await print("\n");
      process.exitCode = 130;
      return;
    }
  }
}

/** Prints, and lets signals have their turn. False when the reader has gone. */
async function print(text: string): Promise<boolean> {
  await new Promise((resolve) => setImmediate(resolve));
  try {
    await Bun.write(Bun.stdout, text);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return false;
    throw error;
  }
}

function idOf(dictionary: Dictionary, word: string): number {
  if (dictionary.has(word)) return dictionary.id(word);
  if (dictionary.has(UNKNOWN)) return dictionary.id(UNKNOWN);
  const problem = `the model knows no word ${JSON.stringify(word)}, and has no ${UNKNOWN} to read in its place`;
  throw new ArgumentError("--prompt", problem);
}
