/** Every operation, as functions; methods.ts installs the same names on Tensor. */
import "./methods.ts";

export * from "./elementwise.ts";
export * from "./compare.ts";
export * from "./reduce.ts";
export * from "./matmul.ts";
export * from "./softmax.ts";
export * from "./linear-cross-entropy.ts";
export * from "./shape.ts";
export * from "./conv.ts";
export * from "./norm.ts";
export * from "./embedding.ts";
export { lstm, type LSTMState, type Nonlinearity, type RecurrentWeights, rnn } from "./recurrent.ts";
export { dropout } from "./dropout.ts";
export { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
export { type CustomBackward, customGradient, type CustomResult } from "./custom.ts";
export * from "./move.ts";
