/** Drawing by probabilities. What is drawn is the same on every device, and has no gradient. */
import { noGrad } from "../autograd/mode.ts";
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { binary, compare, reduce } from "../ndarray/arithmetic.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { defaultGenerator, Generator, uniform } from "../ndarray/random.ts";
import { tidy } from "../ndarray/scope.ts";
import { less, where } from "./compare.ts";
import { cumSum } from "./cum-sum.ts";
import { div, sub } from "./elementwise.ts";
import { gather } from "./gather.ts";
import { argMax } from "./reduce.ts";
import { reshape } from "./shape.ts";
import { softmax } from "./softmax.ts";
import { topK as firstOf } from "./sort.ts";
import { checkFloat, checkInteger, checkNumber } from "./support.ts";

export interface RandomOptions {
  /** Default: the one that `manualSeed` seeds. */
  generator?: Generator | undefined;
}

export interface MultinomialOptions extends RandomOptions {
  /** Whether an index of a row may be drawn again. Default false. */
  replacement?: boolean | undefined;
}

/**
 * int32 indices (…, numSamples), drawn with probabilities in proportion to the weights (…, C) of their row. Weights need not
 * add up to 1. Without replacement each draw is among those that are left.
 * @throws ArgumentError for weights that are negative, infinite or NaN, a row without any, and without replacement a row of
 * fewer than `numSamples`.
 */
export function multinomial(weights: Tensor, numSamples: number, options: MultinomialOptions = {}): Tensor {
  checkFloat("multinomial", weights, "the weights");
  checkInteger("multinomial", "numSamples", numSamples, 1);
  const { replacement = false } = checkOptions("multinomial", options, ["replacement", "generator"]);
  checkFlag("multinomial", "replacement", replacement);
  if (weights.ndim === 0) throw new ShapeError("multinomial", "takes at least one axis", { shapes: [weights.shape] });
  const generator = readGenerator("multinomial", options);
  checkWeights(weights.data, replacement ? 1 : numSamples);
  return new Tensor(draw("multinomial", weights.data, numSamples, replacement, generator));
}

/** Throws unless all weights (…, C) count something, and each row has at least `count` that are not zero. */
function checkWeights(weights: NDArray, count: number): void {
  const refuse = (problem: string): never => {
    throw new ArgumentError("multinomial", problem, { shapes: [weights.shape] });
  };
  const rows = weights.shape.slice(0, -1).reduce((n, m) => n * m, 1);
  if (rows === 0) return;
  if (weights.size === 0) refuse("there are no weights to draw by");
  using least = reduce("min", weights);
  using most = reduce("max", weights, { axes: -1 });
  const largest = most.toTypedArray();
  if (!(least.item() >= 0 && largest.every(Number.isFinite))) refuse("the weights must be finite, and none negative");
  if (largest.includes(0)) refuse(`the weights of row ${largest.indexOf(0)} are all zero`);
  if (count === 1) return;
  using isThere = compare("notEqual", weights, 0);
  using counts = reduce("sum", isThere, { axes: -1 });
  const there = counts.toTypedArray();
  const row = there.findIndex((n) => n < count);
  if (row >= 0) {
    const problem = `${count} indices cannot be drawn without replacement: ${there[row]} weights of row ${row} are not zero`;
    refuse(problem);
  }
}

/** Indices (…, count) by weights (…, C) that are known to be right. */
function draw(operation: string, weights: NDArray, count: number, replacement: boolean, generator: Generator): NDArray {
  const { device } = weights;
  const out = NDArray.allocate(operation, [...weights.shape.slice(0, -1), count], { dtype: "int32", device }, [
    weights.shape,
  ]);
  if (out.size === 0) return out;
  using compact = weights.compact();
  const { backend } = device;
  const { seed, stream } = generator.next();
  const sizes = [out.size / count, weights.shape.at(-1)!, count] as const;
  const status = backend.th_multinomial(out.pointer, compact.pointer, ...sizes, replacement ? 1 : 0, seed, stream);
  check(status, backend, operation);
  return out;
}

/** 1 with probability p, element by element, else 0, as float32. @throws ArgumentError for p outside [0, 1], or NaN. */
export function bernoulli(p: Tensor, options: RandomOptions = {}): Tensor {
  checkFloat("bernoulli", p, "p");
  const generator = readGenerator("bernoulli", checkOptions("bernoulli", options, ["generator"]));
  if (p.size > 0) {
    using least = reduce("min", p.data);
    using most = reduce("max", p.data);
    if (!(least.item() >= 0 && most.item() <= 1)) {
      const problem = `probabilities must be in [0, 1], and are from ${least.item()} to ${most.item()}`;
      throw new ArgumentError("bernoulli", problem, { shapes: [p.shape] });
    }
  }
  using u = uniform(p.shape, 0, 1, { device: p.device }, generator);
  return new Tensor(binary("less", u, p.data));
}

export interface SampleOptions extends RandomOptions {
  /** Divides the logits: below 1 what is likely becomes likelier; 0 takes the likeliest. Default 1. */
  temperature?: number | undefined;
  /** Draws among the so many likeliest (Fan et al., 2018). Default: all. */
  topK?: number | undefined;
  /**
   * Draws among the fewest of the likeliest whose probabilities, after `topK`, add up to at least this: nucleus sampling
   * (Holtzman et al., 2020). In (0, 1]; default 1: all.
   */
  topP?: number | undefined;
}

/**
 * An int32 index (…) for each row of logits (…, C), drawn with the probabilities softmax(logits / temperature): the next
 * word of a language model.
 * @throws ArgumentError for a row of which no logit is the largest: one is NaN or Infinity, or all are -Infinity.
 */
export function sample(logits: Tensor, options: SampleOptions = {}): Tensor {
  checkFloat("sample", logits, "the logits");
  const { temperature: given = 1, topK, topP = 1 } = checkOptions("sample", options, SAMPLE_OPTIONS);
  const temperature = typeof given === "number" ? Math.fround(given) : NaN;
  if (!(Number.isFinite(temperature) && temperature >= 0))
    throw new ArgumentError("sample", `temperature must be a finite number of at least 0, not ${describe(given)}`);
  if (topK !== undefined) checkInteger("sample", "topK", topK, 1);
  checkNumber("sample", "topP", topP, Number.MIN_VALUE, 1);
  const generator = readGenerator("sample", options);
  const { shape } = logits;
  const classes = shape.at(-1) ?? 0;
  if (classes === 0) throw new ShapeError("sample", "there must be at least one logit a row", { shapes: [shape] });
  const rows = shape.slice(0, -1);
  return noGrad(() =>
    tidy(() => {
      const highest = new Tensor(reduce("max", logits.data, { axes: -1, keepDims: true }));
      if (!highest.toTypedArray().every(Number.isFinite)) {
        const problem = "a row of logits has NaN or Infinity, or nothing but -Infinity";
        throw new ArgumentError("sample", problem, { shapes: [shape] });
      }
      if (temperature === 0) return argMax(logits, -1);
      const scaled = div(sub(logits, highest), temperature);
      const one = (p: Tensor): Tensor => new Tensor(draw("sample", p.data, 1, true, generator));
      if (topK === undefined && topP === 1) return reshape(one(softmax(scaled)), rows);
      const [kept, ids] = firstOf(scaled, Math.min(topK ?? classes, classes));
      const p = softmax(kept);
      const before = sub(cumSum(p, -1), p); // the probability of all that are likelier
      const mass = Math.max(topP, 2 ** -126); // float32 has no less, and the likeliest is always there
      return reshape(gather(ids, -1, one(topP < 1 ? where(less(before, mass), p, 0) : p)), rows);
    }),
  );
}

const SAMPLE_OPTIONS = ["temperature", "topK", "topP", "generator"] as const;

function readGenerator(operation: string, { generator = defaultGenerator }: RandomOptions): Generator {
  if (generator instanceof Generator) return generator;
  throw new ArgumentError(operation, `generator must be a Generator, not ${describe(generator)}`);
}
