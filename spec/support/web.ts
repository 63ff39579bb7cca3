/** What specs of downloads need: a server of their own, and other environment variables for a while. */
import type { Server } from "node:http";

/** Starts a server; its address. */
export async function listen(started: Server): Promise<string> {
  await new Promise<void>((listening) => started.listen(0, "127.0.0.1", listening));
  const address = started.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return `http://127.0.0.1:${address.port}/file`;
}

/** Runs with environment variables set, or unset where undefined, and restores them. */
export function withEnvironment(values: Record<string, string | undefined>, run: () => void): void {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const);
  const apply = (entries: readonly (readonly [string, string | undefined])[]): void => {
    for (const [name, value] of entries) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  apply(Object.entries(values));
  try {
    run();
  } finally {
    apply(before);
  }
}
