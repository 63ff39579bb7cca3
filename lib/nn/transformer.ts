/** A layer of a Transformer (Vaswani et al., 2017): attention and a network for each position, with residuals. */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { describe } from "../ndarray/operands.ts";
import { checkFlag } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { add, gelu, relu } from "../ops/elementwise.ts";
import { dropout } from "../ops/dropout.ts";
import { checkNumber } from "../ops/support.ts";
import { MultiheadAttention, type MultiheadAttentionCall } from "./attention.ts";
import { Linear } from "./linear.ts";
import { type InPyTorch, inPyTorch, keepsNothing, Module } from "./module.ts";
import { checkModuleOptions, checkSize, type ModuleOptions } from "./options.ts";
import { LayerNorm } from "./norm.ts";

const ACTIVATIONS = { relu, gelu } as const;

export interface TransformerEncoderLayerOptions extends ModuleOptions {
  /** Hidden features of the network at each position. Default 2048. */
  dimFeedforward?: number | undefined;
  /** Of the weights of the attention, of the hidden features, and of what is added to x; in training. Default 0.1. */
  dropout?: number | undefined;
  /** Default "relu". */
  activation?: "relu" | "gelu" | undefined;
  /** Normalises what goes into the attention and the network, not the sums: trains deep models more easily. Default false. */
  normFirst?: boolean | undefined;
  /** Of the normalisations. Default 1e-5. */
  eps?: number | undefined;
  /** Whether the linear layers have biases. Default true. */
  bias?: boolean | undefined;
}

/**
 * Self-attention and a network for each position, each added to what goes into it, as PyTorch's, batch first:
 * x (N, L, dModel) gives the same shape. With `causal`, as a decoder-only language model has them, a position sees those
 * before it alone.
 *
 * @example The body of a small GPT.
 * ```ts
 * const options = { dimFeedforward: 512, activation: "gelu", normFirst: true } as const;
 * const layers = Array.from({ length: 4 }, () => new nn.TransformerEncoderLayer(128, 4, options));
 * const y = layers.reduce((x, layer) => layer.forward(x, { causal: true }), embedded);
 * ```
 */
export class TransformerEncoderLayer extends Module {
  static readonly [keepsNothing] = true;

  readonly attention: MultiheadAttention;
  readonly linear1: Linear;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;

  readonly activation: "relu" | "gelu";
  readonly normFirst: boolean;
  readonly dropout: number;

  constructor(dModel: number, numHeads: number, options: TransformerEncoderLayerOptions = {}) {
    super();
    const name = "TransformerEncoderLayer";
    checkModuleOptions(name, options, ["dimFeedforward", "dropout", "activation", "normFirst", "eps", "bias"]);
    const { dimFeedforward = 2048, activation = "relu", normFirst = false, eps, bias, ...rest } = options;
    const { dropout: p = 0.1, ...shared } = rest;
    checkSize(name, "dimFeedforward", dimFeedforward);
    checkNumber(name, "dropout", p, 0, 1);
    checkFlag(name, "normFirst", normFirst);
    if (!Object.hasOwn(ACTIVATIONS, activation))
      throw new ArgumentError(name, `activation is "relu" or "gelu", not ${describe(activation)}`);
    this.activation = activation;
    this.normFirst = normFirst;
    this.dropout = p;
    this.attention = new MultiheadAttention(dModel, numHeads, { bias, dropout: p, ...shared });
    const linear = { bias, gain: 1 / Math.sqrt(3), ...shared };
    this.linear1 = new Linear(dModel, dimFeedforward, linear);
    this.linear2 = new Linear(dimFeedforward, dModel, linear);
    this.norm1 = new LayerNorm(dModel, { eps, ...shared });
    this.norm2 = new LayerNorm(dModel, { eps, ...shared });
  }

  override forward(x: Tensor, options: MultiheadAttentionCall = {}): Tensor {
    const attend = (y: Tensor) => this.drop(this.attention.forward(y, y, y, options));
    return tidy(() => {
      if (this.normFirst) {
        const y = add(x, attend(this.norm1.forward(x)));
        return add(y, this.feedForward(this.norm2.forward(y)));
      }
      const y = this.norm1.forward(add(x, attend(x)));
      return this.norm2.forward(add(y, this.feedForward(y)));
    });
  }

  override [inPyTorch](name: string): InPyTorch {
    return { name: name.replace(/^attention\./, "self_attn.") };
  }

  private feedForward(x: Tensor): Tensor {
    const hidden = ACTIVATIONS[this.activation](this.linear1.forward(x));
    return this.drop(this.linear2.forward(this.drop(hidden)));
  }

  private drop(x: Tensor): Tensor {
    return this.training && this.dropout > 0 ? dropout(x, this.dropout) : x;
  }
}
