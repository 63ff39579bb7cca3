/** Thimble as a contestant: in this process, as its users run it. */
import { cpu } from "thimble";

import type { Contestant } from "./peer.ts";
import type { Case, Workload } from "./workload.ts";

export function ours(item: Case): Contestant {
  let workload: Workload | null = null;
  return {
    name: `thimble, ${cpu().isa}`,
    async prepare() {
      workload = item.prepare();
      return workload.values();
    },
    async time(samples, repeats) {
      const { run, finish } = workload!;
      return Array.from({ length: samples }, () => {
        const start = Bun.nanoseconds();
        for (let i = 0; i < repeats; i++) run();
        finish?.();
        return (Bun.nanoseconds() - start) / 1e6 / repeats;
      });
    },
    close() {},
  };
}
