import { ArgumentError, init, NDArray, nn, ops, ShapeError, Tensor } from "../lib/index.ts";
import { checkModuleOptions } from "../lib/nn/options.ts";
import type { HiddenState, SequenceLoss } from "../lib/training/index.ts";

const { Dropout, Embedding, GRU, Linear, LSTM, Module, Parameter, RNN } = nn;

/**
 * The embedding and the output start from U(±0.1), the output's bias from 0, as Zaremba et al. (2014) and PyTorch's
 * example have it: small logits, so that an untrained model is near uniform. From Embedding's N(0, 1) and Linear's
 * Kaiming numbers plain SGD with the usual rate of 20 and clipped gradients starts slower.
 */
const BOUND = 0.1;

const LAYERS = { rnn: RNN, lstm: LSTM, gru: GRU } as const;

export interface LanguageModelOptions extends nn.ModuleOptions {
  /** Recurrent layers. Default 1. */
  numLayers?: number | undefined;
  /** Default "rnn". */
  seqModel?: "rnn" | "lstm" | "gru" | undefined;
  /** On embedded words, between layers, and on what the output layer sees, in training. Default 0. */
  dropout?: number | undefined;
  /**
   * The output layer uses the embedding's table (Press and Wolf, 2017), whose words then have `hiddenSize` numbers.
   * Default false.
   */
  tieWeights?: boolean | undefined;
}

/** x · tableᵀ + bias, with another module's table (count, dim), which is a parameter of both and counts once. */
class TiedLinear extends Module {
  readonly bias: nn.Parameter;

  readonly weight: nn.Parameter;

  constructor(weight: nn.Parameter) {
    super();
    this.weight = weight;
    this.bias = new Parameter(NDArray.zeros([weight.shape[0]!], { device: weight.device }));
  }

  override forward(x: Tensor): Tensor {
    return ops.linear(x, ops.transpose(this.weight), this.bias);
  }

  crossEntropy(x: Tensor, labels: Tensor): ops.LinearLoss {
    return ops.linearCrossEntropy(x, ops.transpose(this.weight), this.bias, labels);
  }
}

/**
 * The word-level language model of CMU 10-714's homework 4: embedding, recurrent layers, and a linear layer to the
 * logits of the next word. `forward(x (L, N) int32, h?)` gives `[logits (L · N, outputSize), h]`; `h` is a state
 * (numLayers, N, hiddenSize), for an LSTM a pair of them, and starts as zeros.
 */
export class LanguageModel extends Module {
  readonly embedding: nn.Embedding;
  readonly recurrent: nn.RNN | nn.LSTM | nn.GRU;
  readonly linear: nn.Linear | TiedLinear;
  private readonly dropout: nn.Dropout | null;

  constructor(embeddingSize: number, outputSize: number, hiddenSize: number, options: LanguageModelOptions = {}) {
    super();
    checkModuleOptions("LanguageModel", options, ["numLayers", "seqModel", "dropout", "tieWeights"]);
    const { numLayers = 1, seqModel = "rnn", dropout = 0, tieWeights = false, ...rest } = options;
    if (seqModel !== "rnn" && seqModel !== "lstm" && seqModel !== "gru") {
      throw new ArgumentError("LanguageModel", `seqModel is "rnn", "lstm" or "gru", not ${String(seqModel)}`);
    }
    if (tieWeights && embeddingSize !== hiddenSize) {
      const problem = `tieWeights needs embeddingSize = hiddenSize, not ${embeddingSize} and ${hiddenSize}`;
      throw new ArgumentError("LanguageModel", problem);
    }
    const uniform = (shape: readonly number[]) => init.uniform(shape, { low: -BOUND, high: BOUND, ...rest });
    this.embedding = new Embedding(outputSize, embeddingSize, rest);
    this.embedding.weight.set(uniform([outputSize, embeddingSize]));
    this.recurrent = new LAYERS[seqModel](embeddingSize, hiddenSize, { numLayers, dropout, ...rest });
    if (tieWeights) {
      this.linear = new TiedLinear(this.embedding.weight);
    } else {
      this.linear = new Linear(hiddenSize, outputSize, rest);
      this.linear.weight.set(uniform([hiddenSize, outputSize]));
      this.linear.bias?.set(0);
    }
    this.dropout = dropout === 0 ? null : new Dropout(dropout);
  }

  /**
   * @throws ArgumentError for an id outside [0, outputSize), or a state that is a pair where it must not be, or the other
   * way round; ShapeError for one of other sizes.
   */
  override forward(x: Tensor, h: HiddenState | null = null): [logits: Tensor, h: HiddenState] {
    const [rows, state] = this.outputs(x, h);
    const logits = this.linear.forward(rows);
    rows.dispose();
    return [logits, state];
  }

  /**
   * The cross-entropy of `forward(x, h)` against the next words, labels (L · N) int32, and the state behind them. The
   * logits are made for some words at a time: see ops.linearCrossEntropy.
   */
  crossEntropy(x: Tensor, labels: Tensor, h: HiddenState | null = null): SequenceLoss {
    const [rows, state] = this.outputs(x, h);
    const { loss, correct } = this.linear.crossEntropy(rows, labels);
    rows.dispose();
    return { loss, correct, state };
  }

  /** What the output layer sees, a row for each word (L · N, hiddenSize). */
  private outputs(x: Tensor, h: HiddenState | null): [rows: Tensor, h: HiddenState] {
    if (x instanceof Tensor && x.ndim !== 2) {
      throw new ShapeError("LanguageModel", "takes words (L, N) int32", { shapes: [x.shape] });
    }
    const words = this.drop(this.embedding.forward(x));
    const [output, state] = this.advance(words, h);
    words.dispose();
    const seen = this.drop(output);
    const rows = seen.reshape([-1, seen.shape.at(-1)!]);
    seen.dispose();
    return [rows, state];
  }

  private advance(x: Tensor, h: HiddenState | null): [output: Tensor, h: HiddenState] {
    const { recurrent } = this;
    if (recurrent instanceof LSTM) {
      if (h instanceof Tensor) throw new ArgumentError("LanguageModel", "the state of an LSTM is a pair, [h, c]");
      return recurrent.forward(x, h);
    }
    if (h !== null && !(h instanceof Tensor)) {
      throw new ArgumentError("LanguageModel", "the state of an RNN or a GRU is one tensor, h");
    }
    return recurrent.forward(x, h);
  }

  /** In training, dropout of a tensor that nobody else holds. */
  private drop(x: Tensor): Tensor {
    if (this.dropout === null || !this.training) return x;
    const y = this.dropout.forward(x);
    x.dispose();
    return y;
  }
}
