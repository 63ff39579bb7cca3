/** Modules. */
export { type ModuleOptions, Module, Parameter, type StateDict } from "./module.ts";
export { Linear } from "./linear.ts";
export { Conv } from "./conv.ts";
export { BatchNorm1d, BatchNorm2d, LayerNorm } from "./norm.ts";
export { Dropout, Flatten, ReLU, Sigmoid, SoftmaxLoss, Tanh } from "./activation.ts";
export { type Layer, Residual, Sequential } from "./container.ts";
