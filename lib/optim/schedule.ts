/** Learning-rate schedules. */
import { ArgumentError } from "../native/errors.ts";
import { describe } from "../ndarray/operands.ts";
import { checkNonNegative, checkRate } from "./optimizer.ts";

/**
 * Learning-rate schedules: functions of the progress of a run, from 0 to 1, giving the factor by which the peak
 * learning rate is multiplied. Set `optimizer.lr = peak * schedule(step / steps)` before each step. Beyond 1 they stay as they
 * are at 1.
 */
export type Schedule = (progress: number) => number;

/** Always 1. */
export const constant: Schedule = () => 1;

/** Half a cosine from 1 down to 0 (Loshchilov and Hutter, 2017, without restarts). */
export const cosine: Schedule = (progress) => (1 + Math.cos(Math.PI * Math.min(progress, 1))) / 2;

/** Up from 1/25 to 1 over the first 30%, then half a cosine down to 0 (Smith and Topin, 2018). */
export const oneCycle: Schedule = (progress) => {
  const rising = 0.3;
  if (progress < rising) return 1 / 25 + (24 / 25) * (progress / rising);
  return cosine((progress - rising) / (1 - rising));
};

/** Down from 1 to 0 at one rate. */
export const linear: Schedule = (progress) => 1 - Math.min(progress, 1);

/**
 * Up from 0 to 1 over the first `fraction` of the run, in [0, 1), then the schedule `then` over the rest of it, by default
 * {@link cosine} (as Vaswani et al., 2017, and many since). The factor of the very first step is 0.
 */
export function warmUp(fraction: number, then: Schedule = cosine): Schedule {
  checkRate("warmUp", "the fraction", fraction);
  if (typeof then !== "function") throw new ArgumentError("warmUp", `takes a schedule, not ${describe(then)}`);
  return (progress) => (progress < fraction ? progress / fraction : then((progress - fraction) / (1 - fraction)));
}

/**
 * 1, times `gamma` (default 0.1) at each of the milestones, which are fractions of the run: `steps([0.5, 0.75])` is 1, 0.1
 * and 0.01 (PyTorch's MultiStepLR).
 */
export function steps(milestones: readonly number[], gamma = 0.1): Schedule {
  if (!Array.isArray(milestones)) throw new ArgumentError("steps", `takes a list, not ${describe(milestones)}`);
  const own = milestones.map((milestone: number) => checkFraction("steps", "a milestone", milestone));
  checkNonNegative("steps", "gamma", gamma);
  return (progress) => gamma ** own.filter((milestone) => progress >= milestone).length;
}

/** From 1 down to `final`, in (0, 1], by the same factor in each step. */
export function exponential(final: number): Schedule {
  if (checkFraction("exponential", "final", final) === 0)
    throw new ArgumentError("exponential", "final must be above 0", { hint: "linear and cosine fall to 0" });
  return (progress) => final ** Math.min(progress, 1);
}

function checkFraction(name: string, what: string, value: number): number {
  if (checkNonNegative(name, what, value) > 1) throw new ArgumentError(name, `${what} must be at most 1, not ${value}`);
  return value;
}
