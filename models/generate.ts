import { ArgumentError, data, noGrad, tensor, tidy } from "../lib/index.ts";
import { checkOptions } from "../lib/ndarray/options.ts";
import { inMode } from "../lib/nn/mode.ts";
import { type HiddenState, type SequenceModel, tensorsOf } from "../lib/training/index.ts";

export interface GenerateOptions {
  /** Divides the logits: below 1 likely words become likelier, above 1 rare ones; 0 takes the likeliest. Default 1. */
  temperature?: number | undefined;
  /** Default: one that `manualSeed` determines. */
  random?: data.RandomSource | undefined;
}

/**
 * Words that a language model says after `prompt`, one after another without end: ids, drawn from the model's
 * distribution. The model is in evaluation mode while a word is computed.
 * @param prompt at least one id.
 */
export function* generate(
  model: SequenceModel,
  prompt: readonly number[],
  options: GenerateOptions = {},
): Generator<number, never> {
  checkOptions("generate", options, ["temperature", "random"]);
  const { temperature = 1, random = data.RandomSource.fresh() } = options;
  if (!Array.isArray(prompt) || prompt.length === 0) {
    throw new ArgumentError("generate", "the prompt must be a list of at least one id");
  }
  if (typeof temperature !== "number" || !(temperature >= 0 && temperature < Infinity)) {
    throw new ArgumentError("generate", `temperature must be a number of at least 0, not ${String(temperature)}`);
  }
  let hidden: HiddenState | null = null;
  let read = prompt;
  try {
    for (;;) {
      const before: HiddenState | null = hidden;
      const [logits, state]: [ArrayLike<number>, HiddenState] = nextLogits(model, read, before);
      if (before !== null) dispose(before);
      hidden = state;
      const id = temperature === 0 ? likeliest(logits) : draw(logits, temperature, random);
      yield id;
      read = [id];
    }
  } finally {
    if (hidden !== null) dispose(hidden);
  }
}

const dispose = (state: HiddenState): void => tensorsOf(state).forEach((each) => each.dispose());

/** The logits of the word behind `words`, and the state there. */
function nextLogits(
  model: SequenceModel,
  words: readonly number[],
  hidden: HiddenState | null,
): [ArrayLike<number>, HiddenState] {
  const run = (): [ArrayLike<number>, HiddenState] => {
    const x = tensor(words, { dtype: "int32", shape: [words.length, 1], device: model.parameters()[0]?.device });
    const [logits, state] = model.forward(x, hidden);
    return [logits.data.slice(-1).toTypedArray(), state];
  };
  return inMode(model, false, () => tidy(() => noGrad(run)));
}

const likeliest = (logits: ArrayLike<number>): number => {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
};

/** An index with probability proportional to exp(logit / temperature). */
function draw(logits: ArrayLike<number>, temperature: number, random: data.RandomSource): number {
  const highest = logits[likeliest(logits)]!;
  const weights = Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
  let left = random.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  const id = weights.findIndex((weight) => (left -= weight) < 0);
  return id < 0 ? likeliest(logits) : id; // where rounding left something over
}
