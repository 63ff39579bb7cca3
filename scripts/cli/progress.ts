/** Progress of one pass: a live bar on a terminal (cli-progress), a plain line now and then where output is piped. */
import { SingleBar } from "cli-progress";

export interface Progress {
  /** @param done of the total. @param figures what else to show, such as `loss 1.23`. */
  update(done: number, figures?: string): void;
  /** Removes the bar. Call it also when the pass was interrupted. */
  stop(): void;
}

export interface ProgressOptions {
  title: string;
  total: number;
  /** What is counted: "images". */
  unit: string;
  /** Done before this pass began, which therefore says nothing about speed. */
  from?: number;
}

/** Milliseconds between plain lines. */
const PLAIN_INTERVAL = 15_000;
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const silent: Progress = { update() {}, stop() {} };

/** Shown on standard error, so that what is piped elsewhere stays clean. */
export function showProgress(options: ProgressOptions): Progress {
  return process.stderr.isTTY ? liveBar(options) : plainLines(options);
}

function liveBar({ title, total, unit, from = 0 }: ProgressOptions): Progress {
  const bar = new SingleBar({
    format: `${title} {bar} {percentage}%  {speed} ${unit}/s  {figures}{left}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    fps: 10,
    gracefulExit: false, // the script decides what Ctrl-C does
  });
  const rate = rateFrom(from);
  const showCursor = () => bar.stop(); // a second Ctrl-C quits at once, in the middle of the pass
  process.once("exit", showCursor);
  bar.start(total, from, { speed: "…", figures: "", left: "" });
  return {
    update(done, figures = "") {
      const speed = rate(done);
      const left = speed > 0 ? `  ${duration((total - done) / speed)} left` : "";
      bar.update(done, { speed: whole.format(speed), figures, left });
    },
    stop() {
      process.off("exit", showCursor);
      bar.stop();
    },
  };
}

function plainLines({ title, total, unit, from = 0 }: ProgressOptions): Progress {
  const rate = rateFrom(from);
  let due = performance.now() + PLAIN_INTERVAL;
  return {
    update(done, figures = "") {
      if (performance.now() < due) return;
      due += PLAIN_INTERVAL;
      const part = `${whole.format(done)} of ${whole.format(total)} ${unit}`;
      console.error(`${title}: ${part}, ${whole.format(rate(done))} ${unit}/s${figures && `, ${figures}`}`);
    },
    stop() {},
  };
}

/** Units a second since now. */
function rateFrom(from: number): (done: number) => number {
  const started = performance.now();
  return (done) => (done - from) / Math.max(1e-3, (performance.now() - started) / 1000);
}

/** "8.2 s", "42 s", "3:05 min", "1:02 h". */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const rounded = Math.round(seconds);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${Math.floor(rounded / 60)}:${two(rounded % 60)} min`;
  return `${Math.floor(rounded / 3600)}:${two((rounded % 3600) / 60)} h`;
}
