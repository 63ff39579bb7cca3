/** Ctrl-C that stops cleanly: the first one asks, the second one quits at once. */

export interface Stop {
  /** Aborted by the first Ctrl-C (SIGINT), SIGTERM, or SIGHUP, as when a terminal is closed. */
  readonly signal: AbortSignal;
  /** Ends it: from then on, Ctrl-C does what it always does. */
  release(): void;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function stopOnSignal(): Stop {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nStopping after the running step. Ctrl-C again quits at once.\n");
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: controller.signal,
    release() {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}
