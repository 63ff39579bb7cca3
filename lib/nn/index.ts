/** Modules. */
export { keepsNothing, Module } from "./module.ts";
export { type ModuleOptions } from "./options.ts";
export { type LeftAlone, type StateDict } from "./state-dict.ts";
export { Buffer, Parameter } from "./parameter.ts";
export { MultiheadAttention, type MultiheadAttentionCall, type MultiheadAttentionOptions } from "./attention.ts";
export { TransformerEncoderLayer, type TransformerEncoderLayerOptions } from "./transformer.ts";
export { Embedding } from "./embedding.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Conv, type ConvModuleOptions } from "./conv.ts";
export { ConvTranspose, type ConvTransposeModuleOptions } from "./conv-transpose.ts";
export { AvgPool2d, GlobalAvgPool2d, MaxPool2d, type PoolModuleOptions } from "./pool.ts";
export { Upsample } from "./upsample.ts";
export {
  BatchNorm1d,
  BatchNorm2d,
  type BatchNormModuleOptions,
  GroupNorm,
  type GroupNormOptions,
  LayerNorm,
  type LayerNormOptions,
  RMSNorm,
  type RMSNormOptions,
} from "./norm.ts";
export { Dropout, Flatten, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh } from "./activation.ts";
export {
  BCEWithLogitsLoss,
  type BCEWithLogitsLossOptions,
  HuberLoss,
  type HuberLossOptions,
  L1Loss,
  type LossOptions,
  MSELoss,
  SmoothL1Loss,
  type SmoothL1LossOptions,
  SoftmaxLoss,
  type SoftmaxLossOptions,
} from "./loss.ts";
export {
  type CellOptions,
  GRUCell,
  LSTMCell,
  type LSTMCellOptions,
  RNNCell,
  type RNNCellOptions,
} from "./recurrent-cell.ts";
export { GRU, type GRUOptions, LSTM, type LSTMOptions, RNN, type RNNOptions } from "./recurrent.ts";
export type { LSTMState } from "../ops/recurrent.ts";
export { type Layer, Residual, Sequential } from "./container.ts";
