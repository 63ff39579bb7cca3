import { ArgumentError, noGrad, ops, tensor, tidy } from "../lib/index.ts";
import { inMode } from "../lib/nn/mode.ts";
import { type HiddenState, type SequenceModel, tensorsOf } from "../lib/training/index.ts";

/** How a word is drawn: as {@link ops.sample} does. */
export type GenerateOptions = ops.SampleOptions;

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
  if (!Array.isArray(prompt) || prompt.length === 0) {
    throw new ArgumentError("generate", "the prompt must be a list of at least one id");
  }
  let hidden: HiddenState | null = null;
  let read = prompt;
  try {
    for (;;) {
      const before: HiddenState | null = hidden;
      const [id, state]: [number, HiddenState] = nextWord(model, read, before, options);
      if (before !== null) dispose(before);
      hidden = state;
      yield id;
      read = [id];
    }
  } finally {
    if (hidden !== null) dispose(hidden);
  }
}

const dispose = (state: HiddenState): void => tensorsOf(state).forEach((each) => each.dispose());

/** The word behind `words`, and the state before it. */
function nextWord(
  model: SequenceModel,
  words: readonly number[],
  hidden: HiddenState | null,
  options: GenerateOptions,
): [number, HiddenState] {
  const run = (): [number, HiddenState] => {
    const x = tensor(words, { dtype: "int32", shape: [words.length, 1], device: model.parameters()[0]?.device });
    const [logits, state] = model.forward(x, hidden);
    return [ops.sample(logits.slice(-1), options).item(), state];
  };
  return inMode(model, false, () => tidy(() => noGrad(run)));
}
