/** Every operation, as functions; methods.ts installs the same names on Tensor. */
import "./methods.ts";

export * from "./elementwise.ts";
export * from "./compare.ts";
export * from "./reduce.ts";
export * from "./matmul.ts";
export { crossEntropy, type CrossEntropyOptions, logSoftmax, softmax } from "./softmax.ts";
export type { Reduction } from "./loss.ts";
export * from "./linear-cross-entropy.ts";
export * from "./shape.ts";
export * from "./conv.ts";
export { convTranspose, type ConvTransposeOptions } from "./conv-transpose.ts";
export { avgPool, maxPool, type PoolOptions } from "./pool.ts";
export * from "./upsample.ts";
export * from "./norm.ts";
export { groupNorm } from "./group-norm.ts";
export { embedding } from "./embedding.ts";
export { gather, indexSelect } from "./gather.ts";
export * from "./cum-sum.ts";
export * from "./sort.ts";
export { gru, lstm, type LSTMState, type Nonlinearity, type RecurrentWeights, rnn } from "./recurrent.ts";
export { dropout } from "./dropout.ts";
export { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
export { type CustomBackward, customGradient, type CustomResult } from "./custom.ts";
export * from "./move.ts";
