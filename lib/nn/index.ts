/** Modules. */
export { keepsNothing, type ModuleOptions, Module, type StateDict } from "./module.ts";
export { Buffer, Parameter } from "./parameter.ts";
export { MultiheadAttention, type MultiheadAttentionCall, type MultiheadAttentionOptions } from "./attention.ts";
export { Embedding } from "./embedding.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Conv, type ConvModuleOptions } from "./conv.ts";
export { BatchNorm1d, BatchNorm2d, type BatchNormModuleOptions, LayerNorm, type LayerNormOptions } from "./norm.ts";
export { Dropout, Flatten, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, SoftmaxLoss, Softplus, Tanh } from "./activation.ts";
export {
  type CellOptions,
  LSTM,
  LSTMCell,
  type LSTMCellOptions,
  type LSTMOptions,
  RNN,
  RNNCell,
  type RNNCellOptions,
  type RNNOptions,
} from "./recurrent.ts";
export type { LSTMState } from "../ops/recurrent.ts";
export { type Layer, Residual, Sequential } from "./container.ts";
