/**
 * The libraries that thimble is compared with. None of them is a dependency: each is looked for, and a missing one is
 * named with the way to get it.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { buildFolder, output, shortPath } from "../toolchain.ts";
import { type Contestant, startPeer } from "./peer.ts";

export type PeerName =
  "torch" | "torch-channels-last" | "torch-cuda" | "onednn" | "openblas" | "onnxruntime" | "tfjs-wasm" | "tfjs-cpu";

/** The JavaScript peers, with the versions that `--install-peers` installs. */
export const PACKAGES = {
  "onnxruntime-node": "1.30.0",
  "@tensorflow/tfjs": "4.22.0",
  "@tensorflow/tfjs-backend-wasm": "4.22.0",
} as const;

/** Where `--install-peers` puts them. */
export const peersFolder: string = join(buildFolder, "peers");
const driverFolder = join(buildFolder, "bench");
const sources = join(import.meta.dirname, "peers");

const PYTORCH = "PyTorch for Python: apt-get install python3-torch, or $PYTHON with one that has it";

/** How to get each. */
const REMEDY: Record<PeerName, string> = {
  torch: PYTORCH,
  "torch-channels-last": PYTORCH,
  "torch-cuda": "PyTorch 2 with CUDA, for the python3 that $PYTHON names",
  onednn: "oneDNN 2 and a C compiler: apt-get install libdnnl-dev",
  openblas: "OpenBLAS and a C compiler: apt-get install libopenblas-dev",
  onnxruntime: "onnxruntime-node: bun run bench --install-peers",
  "tfjs-wasm": "TensorFlow.js: bun run bench --install-peers",
  "tfjs-cpu": "TensorFlow.js: bun run bench --install-peers",
};

export interface PeerOptions {
  threads: number;
  /** The folder whose node_modules has the JavaScript peers. */
  folder: string;
}

/** Starts peers when a case first asks for them, and keeps them for the next. */
export class Peers {
  /** What could not be started, with the way to get it. */
  readonly missing = new Map<PeerName, string>();
  private readonly running = new Map<PeerName, Contestant[]>();

  private readonly options: PeerOptions;

  constructor(options: PeerOptions) {
    this.options = options;
  }

  /** Every configuration of the peers, those that can be started. */
  async get(names: readonly PeerName[]): Promise<Contestant[]> {
    const found: Contestant[] = [];
    for (const name of names) {
      let contestants = this.running.get(name);
      if (contestants === undefined) {
        contestants = await this.start(name);
        this.running.set(name, contestants);
        if (contestants.length === 0) this.missing.set(name, REMEDY[name]);
      }
      found.push(...contestants);
    }
    return found;
  }

  close(): void {
    for (const contestants of this.running.values()) for (const contestant of contestants) contestant.close();
    this.running.clear();
  }

  private async start(name: PeerName): Promise<Contestant[]> {
    const { threads, folder } = this.options;
    const started: (Contestant | null)[] = [];
    if (name === "torch" || name === "torch-channels-last") {
      const format = name === "torch" ? "contiguous" : "channels-last";
      for (const [setting, env] of Object.entries(TORCH_SETTINGS)) {
        const label = [format === "contiguous" ? "" : format, setting].filter(Boolean).join(", ");
        const full = { ...peerEnvironment(threads), ...env };
        started.push(await startPeer(torchPeer(threads, format), label, full));
        if (started[0] === null) break;
      }
    } else if (name === "torch-cuda") {
      const command = [...torchPeer(threads, "contiguous"), "cuda"];
      started.push(await startPeer(command, "CUDA", peerEnvironment(threads)));
    } else if (name === "onednn" || name === "openblas") {
      const library = name === "onednn" ? "-ldnnl" : "-lopenblas";
      const driver = compile(`${name}_peer.c`, ["-O2"], ["-lm", library]);
      if (driver !== null) started.push(await startPeer([driver], "", peerEnvironment(threads)));
    } else {
      const command = [process.execPath, join(sources, "javascript.ts"), name, folder, String(threads)];
      started.push(await startPeer(command, "", peerEnvironment(threads)));
    }
    return started.flatMap((contestant) => contestant ?? []);
  }
}

/** PyTorch's threads and OpenBLAS's fight over the cores: which setting is the best depends on the workload. */
const TORCH_SETTINGS: Record<string, Record<string, string>> = {
  "": {},
  "passive wait": { OMP_WAIT_POLICY: "passive" },
  "one BLAS thread": { OPENBLAS_NUM_THREADS: "1" },
};

/** This process's environment without what would hold OpenBLAS back, and with the number of threads. */
export function peerEnvironment(threads: number): Record<string, string | undefined> {
  const { OPENBLAS_CORETYPE: _type, OPENBLAS_L2_SIZE: _size, ...rest } = process.env;
  return { ...rest, OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) };
}

export function torchPeer(threads: number, format: string): string[] {
  return [python(), join(sources, "torch_peer.py"), String(threads), format];
}

export function python(): string {
  return process.env["PYTHON"] ?? (existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3");
}

/** Compiles a program of peers/ into the build folder; null when the compiler or a library is missing. */
export function compile(source: string, flags: readonly string[], libraries: readonly string[]): string | null {
  mkdirSync(driverFolder, { recursive: true });
  const program = join(driverFolder, source.replace(/\.c$/, ""));
  const args = ["-std=gnu11", ...flags, "-o", program, join(sources, source), ...libraries];
  return output(process.env["CC"] ?? "cc", args) === null ? null : program;
}

/** Installs the JavaScript peers into the build folder, without running their install scripts. */
export function installPeers(): void {
  mkdirSync(peersFolder, { recursive: true });
  const packages = Object.entries(PACKAGES).map(([name, version]) => `${name}@${version}`);
  console.log(`Installing ${packages.join(", ")} into ${shortPath(peersFolder)}`);
  const args = ["install", "--prefix", peersFolder, "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact"];
  const { exitCode } = Bun.spawnSync(["npm", ...args, ...packages], { stdout: "inherit", stderr: "inherit" });
  if (exitCode !== 0) throw new Error(`npm install failed with ${exitCode}`);
}
