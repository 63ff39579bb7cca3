/** Modules made of modules. */
import { gradEnabled } from "../autograd/mode.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { describe } from "../ndarray/operands.ts";
import { add } from "../ops/elementwise.ts";
import { Chain } from "./chain.ts";
import { Conv } from "./conv.ts";
import { joins, keepsNothing, members, Module } from "./module.ts";
import { checkModuleOptions, type ModuleOptions } from "./options.ts";
import { BatchNorm2d } from "./norm.ts";

/** A module that turns one tensor into one. */
export type Layer = Module & { forward(x: Tensor): Tensor };

/**
 * Runs modules one after another. The last argument may be options. Where nothing is recorded for backward, as in
 * noGrad, convolutions and linear layers with the normalisation, ReLU and residuals that follow them run as one
 * native call.
 */
export class Sequential extends Module {
  readonly modules: readonly Layer[];

  constructor(...modules: readonly (Layer | ModuleOptions)[]) {
    super();
    const options = modules.at(-1);
    const layers = isOptions(options) ? modules.slice(0, -1) : modules;
    if (isOptions(options)) checkModuleOptions("Sequential", options);
    this.modules = layers.map((layer) => checkLayer("Sequential", layer));
  }

  override forward(x: Tensor): Tensor {
    let current = x;
    let unseen = false; // whether only modules that keep nothing have seen `current`
    for (let i = 0; i < this.modules.length;) {
      const { next, count, passes } = this.advance(i, current);
      i += count;
      if (next === current) {
        unseen &&= passes;
      } else {
        if (unseen && passes) release(current, next);
        unseen = passes && next !== x;
      }
      current = next;
    }
    return current;
  }

  override [joins](chain: Chain): boolean {
    return chain.addAll(this.modules);
  }

  /** The modules are named by their place, `0.weight`, as PyTorch's. */
  override [members](): [string, unknown][] {
    const { modules, ...own } = this;
    return Object.entries({ ...own, ...modules });
  }

  /** Runs module i and, where they go together, some after it; whether none of them keeps a tensor. */
  private advance(i: number, x: Tensor): { next: Tensor; count: number; passes: boolean } {
    const module = this.modules[i]!;
    const norm = this.modules[i + 1];
    const chain = gradEnabled() ? null : Chain.of(this.modules, i, x);
    if (chain !== null) return { next: chain.run(), count: chain.joined, passes: true };
    if (isExactly(Conv, module) && isExactly(BatchNorm2d, norm)) {
      return { next: module.forwardNormalized(x, norm), count: 2, passes: true };
    }
    return { next: module.forward(x), count: 1, passes: isTransient(module) };
  }
}

/** module(x) + x. */
export class Residual extends Module {
  readonly module: Layer;

  constructor(module: Layer, options: ModuleOptions = {}) {
    super();
    checkModuleOptions("Residual", options);
    this.module = checkLayer("Residual", module);
  }

  override forward(x: Tensor): Tensor {
    const y = this.module.forward(x);
    const sum = add(y, x);
    if (y !== x && isTransient(this.module)) release(y, sum);
    return sum;
  }

  override [joins](chain: Chain): boolean {
    return chain.residual(this.module);
  }
}

/** Whether a module keeps no tensor that passes through it; a subclass must say so itself. */
function isTransient(module: Module): boolean {
  if (Object.hasOwn(module, "forward")) return false; // replaced on the object itself
  if (module.constructor === Sequential) return (module as Sequential).modules.every(isTransient);
  if (module.constructor === Residual) return isTransient((module as Residual).module);
  return Object.hasOwn(module.constructor, keepsNothing);
}

/** Whether a module is of this class itself: a subclass may do something else. */
function isExactly<M extends Module>(type: new (...args: never[]) => M, module: Module | undefined): module is M {
  return module?.constructor === type && !Object.hasOwn(module, "forward");
}

/** Frees a tensor that was used to make `next`: the tape has what backward needs of it. */
function release(used: Tensor, next: Tensor): void {
  if (next.data !== used.data) used.dispose();
}

/** Whether the last argument of Sequential is its options, and no module nor a mistake. */
function isOptions(value: Layer | ModuleOptions | undefined): value is ModuleOptions {
  if (typeof value !== "object" || value === null) return false;
  const type: unknown = Object.getPrototypeOf(value);
  return type === null || type === Object.prototype;
}

function checkLayer(name: string, value: unknown): Layer {
  if (value instanceof Module && "forward" in value) return value as Layer;
  if (Array.isArray(value))
    throw new ArgumentError(name, "takes modules, not a list of them", { hint: "Spread it: (...modules)" });
  const hint = typeof value === "function" ? { hint: "Operations have modules too, such as new nn.ReLU()" } : {};
  throw new ArgumentError(name, `takes modules, not ${describe(value)}`, hint);
}
