/**
 * Recurrent cells and layers, with PyTorch's meanings: weights lie transposed, (in, G), and start from U(±1/√hidden).
 */
import type { Tensor } from "../autograd/tensor.ts";
import * as init from "../init/index.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { tidy } from "../ndarray/scope.ts";
import { dropout } from "../ops/dropout.ts";
import { checkNonlinearity, checkState, gru, lstm, type LSTMState, type Nonlinearity, rnn } from "../ops/recurrent.ts";
import { reshape, slice, split, stack } from "../ops/shape.ts";
import { checkFloat, checkNumber, checkShapeIs } from "../ops/support.ts";
import { checkModuleOptions, checkSize, keepsNothing, Module, type ModuleOptions } from "./module.ts";
import { type Parameter, parameter } from "./parameter.ts";

export interface CellOptions extends ModuleOptions {
  /** Default true. */
  bias?: boolean | undefined;
}

export interface RNNCellOptions extends CellOptions {
  /** Default "tanh". */
  nonlinearity?: Nonlinearity | undefined;
}

interface LayerOptions {
  /** Layers one upon another. Default 1. */
  numLayers?: number | undefined;
  /** Probability that dropout zeroes an output of a layer before the next one, in training. Default 0. */
  dropout?: number | undefined;
}

export interface LSTMCellOptions extends CellOptions {
  /** An LSTM's is "tanh"; another one is refused. */
  nonlinearity?: Nonlinearity | undefined;
}

export type RNNOptions = RNNCellOptions & LayerOptions;
export type LSTMOptions = LSTMCellOptions & LayerOptions;
export type GRUOptions = CellOptions & LayerOptions;

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
abstract class StateCell extends Cell {
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

/** What the layers share: feeding each layer's outputs to the next, with dropout between them. */
abstract class Recurrent extends Module {
  private readonly dropout: number;

  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;

  constructor(inputSize: number, hiddenSize: number, numLayers: number, p: number) {
    super();
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    checkSize(this.constructor.name, "numLayers", numLayers);
    checkNumber(this.constructor.name, "dropout", p, 0, 1);
    this.dropout = p;
  }

  /** Runs `layer` for each layer; `layer` takes the sequence and gives the next one. */
  protected run(x: Tensor, layer: (x: Tensor, index: number) => Tensor): Tensor {
    const name = this.constructor.name;
    checkFloat(name, x, "the input");
    if (x.ndim !== 3 || x.shape[2] !== this.inputSize || x.shape[0] === 0) {
      const problem = `takes a sequence (L, N, ${this.inputSize}) of at least one step`;
      throw new ShapeError(name, problem, { shapes: [x.shape] });
    }
    let sequence = x;
    for (let i = 0; i < this.numLayers; i++) {
      const drops = i > 0 && this.training && this.dropout > 0;
      sequence = layer(drops ? dropout(sequence, this.dropout) : sequence, i);
    }
    return sequence;
  }

  /** The states (numLayers, N, hidden) layer by layer; none where there are none. */
  protected perLayer(x: Tensor, states: Tensor | null | undefined): (Tensor | null)[] {
    if (states === null || states === undefined) return new Array<null>(this.numLayers).fill(null);
    const name = this.constructor.name;
    checkFloat(name, states, "the initial state");
    checkFloat(name, x, "the input");
    checkShapeIs(name, "the initial state", states, [this.numLayers, x.shape[1] ?? 0, this.hiddenSize]);
    return split(states, 0);
  }

  /** What an RNN or a GRU of these cells gives. */
  protected runStates(
    x: Tensor,
    h0: Tensor | null | undefined,
    cells: readonly StateCell[],
  ): [output: Tensor, hN: Tensor] {
    return tidy(() => {
      const given = this.perLayer(x, h0);
      const last: Tensor[] = [];
      const output = this.run(x, (sequence, i) => {
        const y = cells[i]!.sequence(sequence, given[i]!);
        last.push(slice(y, -1));
        return y;
      });
      return [output, stack(last)];
    });
  }
}

/**
 * Elman's recurrent network (1990): x (L, N, in) and h0 (numLayers, N, hidden), zeros if left out, give
 * [outputs of the last layer (L, N, hidden), last states of all layers (numLayers, N, hidden)].
 */
export class RNN extends Recurrent {
  static readonly [keepsNothing] = true;

  readonly rnnCells: readonly RNNCell[];

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    checkModuleOptions("RNN", options, ["numLayers", "dropout", "bias", "nonlinearity"]);
    const { numLayers = 1, dropout: p = 0, ...rest } = options;
    super(inputSize, hiddenSize, numLayers, p);
    this.rnnCells = Array.from({ length: numLayers }, (_, i) => {
      return new RNNCell(i === 0 ? inputSize : hiddenSize, hiddenSize, rest);
    });
  }

  override forward(x: Tensor, h0?: Tensor | null): [output: Tensor, hN: Tensor] {
    return this.runStates(x, h0, this.rnnCells);
  }
}

/**
 * A network of gated recurrent units (Cho et al., 2014): x (L, N, in) and h0 (numLayers, N, hidden), zeros if left out, give
 * [outputs of the last layer (L, N, hidden), last states of all layers (numLayers, N, hidden)].
 */
export class GRU extends Recurrent {
  static readonly [keepsNothing] = true;

  readonly gruCells: readonly GRUCell[];

  constructor(inputSize: number, hiddenSize: number, options: GRUOptions = {}) {
    checkModuleOptions("GRU", options, ["numLayers", "dropout", "bias"]);
    const { numLayers = 1, dropout: p = 0, ...rest } = options;
    super(inputSize, hiddenSize, numLayers, p);
    this.gruCells = Array.from({ length: numLayers }, (_, i) => {
      return new GRUCell(i === 0 ? inputSize : hiddenSize, hiddenSize, rest);
    });
  }

  override forward(x: Tensor, h0?: Tensor | null): [output: Tensor, hN: Tensor] {
    return this.runStates(x, h0, this.gruCells);
  }
}

/**
 * Long short-term memory (Hochreiter and Schmidhuber, 1997): x (L, N, in) and [h0, c0], each (numLayers, N, hidden),
 * zeros if left out, give [outputs of the last layer (L, N, hidden), [hN, cN] of all layers, each (numLayers, N,
 * hidden)].
 */
export class LSTM extends Recurrent {
  static readonly [keepsNothing] = true;

  readonly lstmCells: readonly LSTMCell[];

  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    checkModuleOptions("LSTM", options, ["numLayers", "dropout", "bias", "nonlinearity"]);
    const { numLayers = 1, dropout: p = 0, ...rest } = options;
    super(inputSize, hiddenSize, numLayers, p);
    this.lstmCells = Array.from({ length: numLayers }, (_, i) => {
      return new LSTMCell(i === 0 ? inputSize : hiddenSize, hiddenSize, rest);
    });
  }

  override forward(x: Tensor, state?: LSTMState | null): [output: Tensor, state: [hN: Tensor, cN: Tensor]] {
    return tidy(() => {
      const given = checkState("LSTM", state);
      const [h0, c0] = [this.perLayer(x, given?.[0]), this.perLayer(x, given?.[1])];
      const [lastH, lastC]: Tensor[][] = [[], []];
      const output = this.run(x, (sequence, i) => {
        const [h, c] = [h0[i]!, c0[i]!];
        const [y, cell] = this.lstmCells[i]!.sequence(sequence, h === null || c === null ? null : [h, c]);
        lastH!.push(slice(y, -1));
        lastC!.push(cell);
        return y;
      });
      return [output, [stack(lastH!), stack(lastC!)]];
    });
  }
}
