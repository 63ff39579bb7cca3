/**
 * Learning-rate schedules: functions of the progress of a run, from 0 to 1, giving the factor by which the peak
 * learning rate is multiplied. Set `optimizer.lr = peak * schedule(step / steps)` before each step.
 */
export type Schedule = (progress: number) => number;

/** Always 1. */
export const constant: Schedule = () => 1;

/** Half a cosine from 1 down to 0 (Loshchilov and Hutter, 2017, without restarts). */
export const cosine: Schedule = (progress) => (1 + Math.cos(Math.PI * progress)) / 2;

/** Up from 1/25 to 1 over the first 30%, then half a cosine down to 0 (Smith and Topin, 2018). */
export const oneCycle: Schedule = (progress) => {
  const warmUp = 0.3;
  if (progress < warmUp) return 1 / 25 + (24 / 25) * (progress / warmUp);
  return cosine((progress - warmUp) / (1 - warmUp));
};
