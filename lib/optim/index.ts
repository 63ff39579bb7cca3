/** Optimizers. */
export { Adam, type AdamOptions } from "./adam.ts";
export { clipGradNorm } from "./clip.ts";
export { Optimizer, type OptimizerState } from "./optimizer.ts";
export { SGD, type SGDOptions } from "./sgd.ts";
