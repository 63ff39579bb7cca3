/** Ctrl-C that stops cleanly: the first one asks, the second one quits at once. */

export interface Stop {
  /** Aborted by the first Ctrl-C (SIGINT) or SIGTERM. */
  readonly signal: AbortSignal;
  /** Ends it: from then on, Ctrl-C does what it always does. */
  release(): void;
}

export function stopOnSignal(): Stop {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nStopping after the running step. Ctrl-C again quits at once.\n");
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    release() {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
