/** Recurrent layers, with PyTorch's meanings: one upon another, in one direction or both. */
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { checkFlag } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { dropout } from "../ops/dropout.ts";
import { checkState, type LSTMState } from "../ops/recurrent.ts";
import { concat, flip, slice, split, stack, transpose } from "../ops/shape.ts";
import { checkFloat, checkNumber, checkShapeIs } from "../ops/support.ts";
import { type InPyTorch, inPyTorch, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize } from "./options.ts";
import {
  type CellOptions,
  GRUCell,
  LSTMCell,
  type LSTMCellOptions,
  RNNCell,
  type RNNCellOptions,
  type StateCell,
} from "./recurrent-cell.ts";

interface LayerOptions {
  /** Layers one upon another. Default 1. */
  numLayers?: number | undefined;
  /** Probability that dropout zeroes an output of a layer before the next one, in training. Default 0. */
  dropout?: number | undefined;
  /** Whether a second set of cells runs from the last step to the first. Default false. */
  bidirectional?: boolean | undefined;
  /** Whether inputs and outputs, not the states, are (N, L, …) in place of (L, N, …). Default false. */
  batchFirst?: boolean | undefined;
}

const LAYER_OPTIONS = ["numLayers", "dropout", "bidirectional", "batchFirst"] as const;

export type RNNOptions = RNNCellOptions & LayerOptions;
export type LSTMOptions = LSTMCellOptions & LayerOptions;
export type GRUOptions = CellOptions & LayerOptions;

/**
 * What the layers share: feeding each layer's outputs to the next, with dropout between them. Of two directions the second
 * runs over the steps from the last to the first, and its outputs follow the first one's, feature after feature.
 */
abstract class Recurrent extends Module {
  private readonly dropout: number;

  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bidirectional: boolean;
  readonly batchFirst: boolean;

  constructor(inputSize: number, hiddenSize: number, options: LayerOptions) {
    super();
    const { numLayers = 1, dropout: p = 0, bidirectional = false, batchFirst = false } = options;
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    const name = this.constructor.name;
    checkSize(name, "numLayers", numLayers);
    checkNumber(name, "dropout", p, 0, 1);
    checkFlag(name, "bidirectional", bidirectional);
    checkFlag(name, "batchFirst", batchFirst);
    this.dropout = p;
    this.bidirectional = bidirectional;
    this.batchFirst = batchFirst;
  }

  override [inPyTorch](name: string): InPyTorch {
    const [, reverse, layer, own] = /^(?:rnn|lstm|gru)Cells(Reverse)?\.(\d+)\.(\w+)$/.exec(name) ?? [];
    return { name: own === undefined ? name : `${own}_l${layer}${reverse === undefined ? "" : "_reverse"}` };
  }

  /** A cell for each layer. All but the first see the outputs of both directions. */
  protected makeCells<C>(make: (inputs: number, hidden: number) => C): C[] {
    const { inputSize, hiddenSize, numLayers, bidirectional } = this;
    const outputs = bidirectional ? 2 * hiddenSize : hiddenSize;
    return Array.from({ length: numLayers }, (_, i) => make(i === 0 ? inputSize : outputs, hiddenSize));
  }

  /** The cells in the order of their states: of each layer the one forward, then the one backward if there is one. */
  protected inOrder<C>(forward: readonly C[], reverse: readonly C[]): readonly C[] {
    return this.bidirectional ? forward.flatMap((cell, i) => [cell, reverse[i]!]) : forward;
  }

  /** Runs `cell` for each layer and direction, number `index` of the states; it takes the sequence and gives the next one. */
  protected run(x: Tensor, cell: (x: Tensor, index: number) => Tensor): Tensor {
    const { bidirectional, batchFirst, constructor, inputSize } = this;
    checkFloat(constructor.name, x, "the input");
    if (x.ndim !== 3 || x.shape[2] !== inputSize || x.shape[batchFirst ? 1 : 0] === 0) {
      const axes = batchFirst ? "(N, L" : "(L, N";
      const problem = `takes a sequence ${axes}, ${inputSize}) of at least one step`;
      throw new ShapeError(constructor.name, problem, { shapes: [x.shape] });
    }
    let sequence = batchFirst ? transpose(x, 0, 1) : x;
    for (let i = 0; i < this.numLayers; i++) {
      if (i > 0 && this.training && this.dropout > 0) sequence = dropout(sequence, this.dropout);
      if (!bidirectional) sequence = cell(sequence, i);
      else {
        const reversed = cell(flip(sequence, 0), 2 * i + 1);
        sequence = concat([cell(sequence, 2 * i), flip(reversed, 0)], 2);
      }
    }
    return batchFirst ? transpose(sequence, 0, 1) : sequence;
  }

  /** The states (numLayers · directions, N, hidden) one by one; none where there are none. */
  protected perCell(x: Tensor, states: Tensor | null | undefined): (Tensor | null)[] {
    const count = this.bidirectional ? 2 * this.numLayers : this.numLayers;
    if (states === null || states === undefined) return new Array<null>(count).fill(null);
    const name = this.constructor.name;
    checkFloat(name, states, "the initial state");
    checkFloat(name, x, "the input");
    const batch = x.shape[this.batchFirst ? 0 : 1] ?? 0;
    checkShapeIs(name, "the initial state", states, [count, batch, this.hiddenSize]);
    return split(states, 0);
  }

  /** What an RNN or a GRU of these cells gives. */
  protected runStates(
    x: Tensor,
    h0: Tensor | null | undefined,
    cells: readonly StateCell[],
  ): [output: Tensor, hN: Tensor] {
    return tidy(() => {
      const given = this.perCell(x, h0);
      const last: Tensor[] = [];
      const output = this.run(x, (sequence, i) => {
        const y = cells[i]!.sequence(sequence, given[i]!);
        last[i] = slice(y, -1);
        return y;
      });
      return [output, stack(last)];
    });
  }
}

/**
 * Elman's recurrent network (1990): x (L, N, in) and h0 (numLayers, N, hidden), zeros if left out, give
 * [outputs of the last layer (L, N, hidden), last states of all layers (numLayers, N, hidden)]. If `bidirectional`, the
 * outputs are (L, N, 2 · hidden), and the states (2 · numLayers, N, hidden): of each layer the one forward, then the one
 * backward.
 */
export class RNN extends Recurrent {
  static readonly [keepsNothing] = true;

  readonly rnnCells: readonly RNNCell[];
  /** Those that run backward; none unless `bidirectional`. */
  readonly rnnCellsReverse: readonly RNNCell[];

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    checkModuleOptions("RNN", options, [...LAYER_OPTIONS, "bias", "nonlinearity"]);
    const { numLayers, dropout: p, bidirectional, batchFirst, ...rest } = options;
    super(inputSize, hiddenSize, { numLayers, dropout: p, bidirectional, batchFirst });
    const make = (inputs: number, hidden: number) => new RNNCell(inputs, hidden, rest);
    this.rnnCells = this.makeCells(make);
    this.rnnCellsReverse = this.bidirectional ? this.makeCells(make) : [];
  }

  override forward(x: Tensor, h0?: Tensor | null): [output: Tensor, hN: Tensor] {
    return this.runStates(x, h0, this.inOrder(this.rnnCells, this.rnnCellsReverse));
  }
}

/**
 * A network of gated recurrent units (Cho et al., 2014): x (L, N, in) and h0 (numLayers, N, hidden), zeros if left out, give
 * [outputs of the last layer (L, N, hidden), last states of all layers (numLayers, N, hidden)]. If `bidirectional`, the
 * outputs are (L, N, 2 · hidden), and the states (2 · numLayers, N, hidden): of each layer the one forward, then the one
 * backward.
 */
export class GRU extends Recurrent {
  static readonly [keepsNothing] = true;

  readonly gruCells: readonly GRUCell[];
  /** Those that run backward; none unless `bidirectional`. */
  readonly gruCellsReverse: readonly GRUCell[];

  constructor(inputSize: number, hiddenSize: number, options: GRUOptions = {}) {
    checkModuleOptions("GRU", options, [...LAYER_OPTIONS, "bias"]);
    const { numLayers, dropout: p, bidirectional, batchFirst, ...rest } = options;
    super(inputSize, hiddenSize, { numLayers, dropout: p, bidirectional, batchFirst });
    const make = (inputs: number, hidden: number) => new GRUCell(inputs, hidden, rest);
    this.gruCells = this.makeCells(make);
    this.gruCellsReverse = this.bidirectional ? this.makeCells(make) : [];
  }

  override forward(x: Tensor, h0?: Tensor | null): [output: Tensor, hN: Tensor] {
    return this.runStates(x, h0, this.inOrder(this.gruCells, this.gruCellsReverse));
  }
}

/**
 * Long short-term memory (Hochreiter and Schmidhuber, 1997): x (L, N, in) and [h0, c0], each (numLayers, N, hidden),
 * zeros if left out, give [outputs of the last layer (L, N, hidden), [hN, cN] of all layers, each (numLayers, N,
 * hidden)]. If `bidirectional`, the outputs are (L, N, 2 · hidden), and the states (2 · numLayers, N, hidden): of each
 * layer the one forward, then the one backward.
 */
export class LSTM extends Recurrent {
  static readonly [keepsNothing] = true;

  readonly lstmCells: readonly LSTMCell[];
  /** Those that run backward; none unless `bidirectional`. */
  readonly lstmCellsReverse: readonly LSTMCell[];

  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    checkModuleOptions("LSTM", options, [...LAYER_OPTIONS, "bias", "nonlinearity"]);
    const { numLayers, dropout: p, bidirectional, batchFirst, ...rest } = options;
    super(inputSize, hiddenSize, { numLayers, dropout: p, bidirectional, batchFirst });
    const make = (inputs: number, hidden: number) => new LSTMCell(inputs, hidden, rest);
    this.lstmCells = this.makeCells(make);
    this.lstmCellsReverse = this.bidirectional ? this.makeCells(make) : [];
  }

  override forward(x: Tensor, state?: LSTMState | null): [output: Tensor, state: [hN: Tensor, cN: Tensor]] {
    return tidy(() => {
      const given = checkState("LSTM", state);
      const [h0, c0] = [this.perCell(x, given?.[0]), this.perCell(x, given?.[1])];
      const [lastH, lastC]: [Tensor[], Tensor[]] = [[], []];
      const cells = this.inOrder(this.lstmCells, this.lstmCellsReverse);
      const output = this.run(x, (sequence, i) => {
        const [h, c] = [h0[i]!, c0[i]!];
        const [y, cell] = cells[i]!.sequence(sequence, h === null || c === null ? null : [h, c]);
        [lastH[i], lastC[i]] = [slice(y, -1), cell];
        return y;
      });
      return [output, [stack(lastH), stack(lastC)]];
    });
  }
}
