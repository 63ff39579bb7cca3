/** Optimizers. */
export { Adam, type AdamOptions, AdamW } from "./adam.ts";
export { AveragedModel, type AveragedModelOptions } from "./averaged-model.ts";
export { clipGradNorm } from "./clip.ts";
export { Optimizer, type OptimizerState, type ParameterGroup, type Trained } from "./optimizer.ts";
export { RMSprop, type RMSpropOptions } from "./rmsprop.ts";
export { SGD, type SGDOptions } from "./sgd.ts";
export * as schedules from "./schedule.ts";
export type { Schedule } from "./schedule.ts";
