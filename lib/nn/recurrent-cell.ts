/**
 * One step of a recurrent layer, with PyTorch's meanings: weights lie transposed, (in, G), and start from U(±1/√hidden).
 */
import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { tidy } from "../ndarray/scope.ts";
import { checkNonlinearity, checkState, gru, lstm, type LSTMState, type Nonlinearity, rnn } from "../ops/recurrent.ts";
import { reshape } from "../ops/shape.ts";
import { checkFloat } from "../ops/support.ts";
import { type InPyTorch, inPyTorch, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
import { type Parameter, parameter } from "./parameter.ts";

export interface CellOptions extends ModuleOptions {
  /** Default true. */
  bias?: boolean | undefined;
}

export interface RNNCellOptions extends CellOptions {
  /** Default "tanh". */
  nonlinearity?: Nonlinearity | undefined;
}

export interface LSTMCellOptions extends CellOptions {
  /** An LSTM's is "tanh"; another one is refused. */
  nonlinearity?: Nonlinearity | undefined;
}

/** What the cells share: the parameters of one layer, whose weights have `gates` columns for each hidden unit. */
abstract class Cell extends Module {
  /** (in, gates · hidden) and (hidden, gates · hidden). */
  readonly W_ih: Parameter;
  readonly W_hh: Parameter;
  /** Each (gates · hidden). */
  readonly bias_ih: Parameter | null;
  readonly bias_hh: Parameter | null;

  readonly inputSize: number;
  readonly hiddenSize: number;

  constructor(inputSize: number, hiddenSize: number, gates: number, options: CellOptions) {
    super();
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    const { bias = true, ...rest } = checkModuleOptions(this.constructor.name, options, ["bias"]);
    checkSize(this.constructor.name, "inputSize", inputSize);
    checkSize(this.constructor.name, "hiddenSize", hiddenSize);
    const high = 1 / Math.sqrt(hiddenSize);
    const columns = gates * hiddenSize;
    const make = (...shape: number[]) => parameter(() => init.uniform(shape, { ...rest, low: -high, high }));
    this.W_ih = make(inputSize, columns);
    this.W_hh = make(hiddenSize, columns);
    this.bias_ih = bias ? make(columns) : null;
    this.bias_hh = bias ? make(columns) : null;
  }

  override [inPyTorch](name: string): InPyTorch {
    const [, which] = /^W_(ih|hh)$/.exec(name) ?? [];
    return which === undefined ? { name } : { name: `weight_${which}`, axes: [1, 0] };
  }

  /** x (N, in) as a sequence of one step. */
  protected asSequence(x: Tensor): Tensor {
    const name = this.constructor.name;
    checkFloat(name, x, "the input");
    if (x.ndim !== 2 || x.shape[1] !== this.inputSize) {
      throw new ShapeError(name, `takes x (N, ${this.inputSize})`, { shapes: [x.shape] });
    }
    return reshape(x, [1, ...x.shape]);
  }
}

/** A cell whose state is h alone, its output. */
export abstract class StateCell extends Cell {
  /** x (N, in) and h (N, hidden), zeros if left out: the next h. */
  override forward(x: Tensor, h?: Tensor | null): Tensor {
    return tidy(() => reshape(this.sequence(this.asSequence(x), h ?? null), [x.shape[0]!, this.hiddenSize]));
  }

  /** @internal All steps of x (L, N, in): (L, N, hidden). */
  abstract sequence(x: Tensor, h0: Tensor | null): Tensor;
}

/** tanh(x · W_ih + bias_ih + h · W_hh + bias_hh), or ReLU of it (Elman, 1990). */
export class RNNCell extends StateCell {
  static readonly [keepsNothing] = true;

  readonly nonlinearity: Nonlinearity;

  constructor(inputSize: number, hiddenSize: number, options: RNNCellOptions = {}) {
    checkModuleOptions("RNNCell", options, ["bias", "nonlinearity"]);
    const { nonlinearity = "tanh", ...rest } = options;
    super(inputSize, hiddenSize, 1, rest);
    checkNonlinearity("RNNCell", nonlinearity);
    this.nonlinearity = nonlinearity;
  }

  /** @internal */
  override sequence(x: Tensor, h0: Tensor | null): Tensor {
    return rnn(x, h0, this, this.nonlinearity);
  }
}

/** One step of a gated recurrent unit (Cho et al., 2014), see ops.gru; gates in the order r, z, n. */
export class GRUCell extends StateCell {
  static readonly [keepsNothing] = true;

  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(inputSize, hiddenSize, 3, options);
  }

  /** @internal */
  override sequence(x: Tensor, h0: Tensor | null): Tensor {
    return gru(x, h0, this);
  }
}

/** One step of long short-term memory (Hochreiter and Schmidhuber, 1997); gates in the order i, f, g, o. */
export class LSTMCell extends Cell {
  static readonly [keepsNothing] = true;

  constructor(inputSize: number, hiddenSize: number, options: LSTMCellOptions = {}) {
    checkModuleOptions("LSTMCell", options, ["bias", "nonlinearity"]);
    const { nonlinearity = "tanh", ...rest } = options;
    if (nonlinearity !== "tanh")
      throw new ArgumentError("LSTMCell", `the nonlinearity of an LSTM is "tanh", not ${String(nonlinearity)}`);
    super(inputSize, hiddenSize, 4, rest);
  }

  /** x (N, in) and [h, c], each (N, hidden), zeros if left out: the next [h, c]. */
  override forward(x: Tensor, state?: LSTMState | null): [h: Tensor, c: Tensor] {
    return tidy(() => {
      const [y, c] = this.sequence(this.asSequence(x), checkState("LSTMCell", state));
      return [reshape(y, c.shape), c];
    });
  }

  /** @internal All steps of x (L, N, in): every h, and the last c. */
  sequence(x: Tensor, state: LSTMState | null): [h: Tensor, c: Tensor] {
    return lstm(x, state, this);
  }
}
