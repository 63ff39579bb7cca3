/**
 * The JavaScript peers, what a user of this language has today: `javascript.ts onnxruntime|tfjs-wasm|tfjs-cpu FOLDER
 * THREADS` with the folder whose node_modules has them. Speaks the protocol of scripts/bench/peer.ts.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { openOnnxRuntime } from "./onnxruntime.ts";
import { openTensorFlow } from "./tensorflow.ts";

/** A workload of a peer: `run` once gives the values to compare. */
export interface PeerWorkload {
  run(): void | Promise<void>;
  values(): Promise<number[]>;
}

export interface JavaScriptPeer {
  name: string;
  /** Null for a workload that it does not have. */
  prepare(words: string[]): Promise<PeerWorkload | null>;
}

const [kind = "", folder = ".", threads = "1"] = process.argv.slice(2);
const load = createRequire(join(folder, "package.json"));
const peer = kind === "onnxruntime" ? openOnnxRuntime(load, Number(threads)) : await openTensorFlow(load, kind, folder);

const answer = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
answer({ name: peer.name });
let workload: PeerWorkload | null = null;
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.trim().split(" ");
  if (command === "prepare") {
    workload = await peer.prepare(words);
    answer(workload === null ? { missing: "not in this peer" } : { values: await workload.values() });
  } else if (workload !== null) {
    const [samples = 1, repeats = 1] = words.map(Number);
    const ms: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      const start = performance.now();
      for (let i = 0; i < repeats; i++) await workload.run();
      ms.push((performance.now() - start) / repeats);
    }
    answer({ ms });
  }
}
