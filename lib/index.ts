/** What users import. */
export { tensor, Tensor, type TensorOptions } from "./autograd/tensor.ts";
export { noGrad } from "./autograd/mode.ts";
export { cpu, cuda, Device } from "./ndarray/device.ts";
export type { DType, TypedArrayOf } from "./ndarray/dtype.ts";
export type { Shape } from "./ndarray/layout.ts";
export type { NestedNumbers, Values } from "./ndarray/values.ts";
export type { Axes, ReduceOptions } from "./ndarray/arithmetic.ts";
export type { Range } from "./ndarray/views.ts";
export { type ArrayOptions, NDArray } from "./ndarray/ndarray.ts";
export { defaultGenerator, Generator, type GeneratorState, manualSeed } from "./ndarray/random.ts";
export { tidy } from "./ndarray/scope.ts";
export * from "./native/errors.ts";
export { Profile, profile, type Profiled, type ProfileOptions, startProfile } from "./profile/index.ts";
export * as data from "./data/index.ts";
export * as init from "./init/index.ts";
export * as nn from "./nn/index.ts";
export * as ops from "./ops/index.ts";
export * as optim from "./optim/index.ts";
