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
export { gru, lstm, type LSTMState, type Nonlinearity, type RecurrentWeights, rnn } from "./recurrent.ts";
export * from "./dropout.ts";
export * from "./move.ts";
