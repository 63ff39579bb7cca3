/**
 * Profiling: which native calls a piece of code makes, how long each takes, and what it reaches of the machine.
 *
 * While a profile is taken, the functions of the device's library are replaced by ones that read the clock before and
 * after; then the functions themselves are put back. So it costs nothing when off, and about two microseconds a call
 * when on.
 */
import { ArgumentError } from "../native/errors.ts";
import { type Backend, symbols } from "../native/symbols.gen.ts";
import { checkDevice } from "../ndarray/array-options.ts";
import { cpu, type Device } from "../ndarray/device.ts";
import { checkOptions } from "../ndarray/options.ts";
import { isPromise } from "../ndarray/scope.ts";
import { type Call, Profile } from "./profile.ts";
import { type Arguments, type Work, WORK } from "./work.ts";

export { type Call, type OperationTotal, Profile, type TraceEvent } from "./profile.ts";
export type { Work } from "./work.ts";

export interface ProfileOptions {
  /** Whose calls. Default cpu(). */
  device?: Device | undefined;
  /** Calls kept for the trace; those after them count in the totals alone. Default 200,000. */
  maxCalls?: number | undefined;
}

/** What the profiled function gave, beside the profile. */
export interface Profiled<R> {
  result: R;
  profile: Profile;
}

/** The functions of a library, written so that a name ties arguments to results. */
type Functions = { [Name in keyof Backend]: (...args: Arguments[Name]) => Results[Name] };
type Results = { [Name in keyof Backend]: ReturnType<Backend[Name]> };

/** Questions, settings, and memory, which take no time worth a line. */
const UNTIMED: readonly (keyof Backend)[] = [
  "th_abi_version",
  "th_last_error",
  "th_open",
  "th_device_name",
  "th_get_threads",
  "th_set_threads",
  "th_get_isa",
  "th_set_isa",
  "th_alloc",
  "th_free",
  "th_deallocator",
  "th_memory_stat",
  "th_memory_reset_peak",
  "th_memory_set_limit",
  "th_memory_trim",
];

const isTimed = (name: string): name is keyof Backend => !UNTIMED.some((untimed) => untimed === name);

const profiled = new Set<Device>();

/**
 * Starts profiling a device. The function that it gives ends it and gives the profile; nothing stays replaced.
 * @throws ArgumentError while the device is being profiled already.
 */
export function startProfile(options: ProfileOptions = {}): () => Profile {
  const { device = cpu(), maxCalls = 200_000 } = checkOptions("profile", options, ["device", "maxCalls"]);
  checkDevice("profile", device);
  if (profiled.has(device)) throw new ArgumentError("profile", `${device} is being profiled already`);
  if (typeof maxCalls !== "number" || !(maxCalls >= 0)) {
    throw new ArgumentError("profile", `maxCalls must be 0 or a positive number, not ${String(maxCalls)}`);
  }
  profiled.add(device);
  const { backend } = device;
  const recorder = new Recorder(maxCalls);
  const originals: Partial<Functions> = {};
  for (const name of Object.keys(symbols)) if (isTimed(name)) recorder.replace(backend, name, originals);
  let finished: Profile | null = null;
  return () => {
    if (finished !== null) return finished;
    Object.assign(backend, originals);
    profiled.delete(device);
    return (finished = recorder.finish());
  };
}

/**
 * Runs `fn` and gives, beside its result, the profile of the native calls that it makes; a promise of both if `fn`
 * returns a promise, whose calls count until it is settled.
 */
export function profile<R>(fn: () => Promise<R>, options?: ProfileOptions): Promise<Profiled<R>>;
export function profile<R>(fn: () => R, options?: ProfileOptions): Profiled<R>;
export function profile<R>(fn: () => R, options: ProfileOptions = {}): Profiled<R> | Promise<Profiled<Awaited<R>>> {
  if (typeof fn !== "function") throw new ArgumentError("profile", `takes a function, not ${String(fn)}`);
  const stop = startProfile(options);
  let result: R;
  try {
    result = fn();
  } catch (error) {
    stop();
    throw error;
  }
  if (!isPromise(result)) return { result, profile: stop() };
  return Promise.resolve(result).then(
    (settled) => ({ result: settled, profile: stop() }),
    (error) => {
      stop();
      throw error;
    },
  );
}

/** Of a function that work.ts does not know. */
function unknownWork(symbol: string): Work {
  return { name: symbol.replace(/^th_/, "").replaceAll("_", " "), shape: "", flops: 0, bytes: 0 };
}

interface Total {
  name: string;
  shape: string;
  calls: number;
  ms: number;
  flops: number;
  bytes: number;
}

class Recorder {
  private readonly began = Bun.nanoseconds();
  private readonly calls: Call[] = [];
  private readonly totals = new Map<string, Total>();

  private readonly maxCalls: number;

  constructor(maxCalls: number) {
    this.maxCalls = maxCalls;
  }

  /** Puts a function that is timed in place of `functions[name]`, which goes to `originals`. */
  replace<Name extends keyof Backend>(functions: Functions, name: Name, originals: Partial<Functions>): void {
    const original = functions[name];
    const workOf: ((...args: Arguments[Name]) => Work) | undefined = WORK[name];
    const unknown = unknownWork(name);
    originals[name] = original;
    const timed = (...args: Arguments[Name]): Results[Name] => {
      const start = Bun.nanoseconds();
      const result = original(...args);
      const end = Bun.nanoseconds();
      this.add(workOf?.(...args) ?? unknown, start, end);
      return result;
    };
    Object.assign(functions, { [name]: timed });
  }

  finish(): Profile {
    const wallMs = (Bun.nanoseconds() - this.began) / 1e6;
    const shapes = [...this.totals.values()].sort((a, b) => b.ms - a.ms);
    return new Profile(this.calls, shapes, wallMs);
  }

  private add(work: Work, start: number, end: number): void {
    const ms = (end - start) / 1e6;
    if (this.calls.length < this.maxCalls) this.calls.push({ work, start: (start - this.began) / 1e6, ms });
    const key = `${work.name} ${work.shape}`;
    let total = this.totals.get(key);
    if (total === undefined) {
      total = { name: work.name, shape: work.shape, calls: 0, ms: 0, flops: 0, bytes: 0 };
      this.totals.set(key, total);
    }
    total.calls++;
    total.ms += ms;
    total.flops += work.flops;
    total.bytes += work.bytes;
  }
}
