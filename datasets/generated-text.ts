/**
 * Generated English-like sentences for language models, for trying things out and for tests where no real text is at
 * hand.
 *
 * A little grammar of our own: verbs agree with their subjects across what stands between, a pronoun fits the noun
 * that it stands for, and five sentences in a row keep to one place and its words. So there is something to learn at
 * every distance, and a small network learns it in a minute. They say nothing about perplexity on real text.
 */
import { RandomSource } from "../lib/data/random.ts";
import { ArgumentError } from "../lib/native/errors.ts";
import { checkOptions } from "../lib/ndarray/options.ts";
import { Dictionary } from "./dictionary.ts";
import { encode, type TextSet } from "./text.ts";

export interface GeneratedTextOptions {
  /** Sentences of the training text, of nine words on average; the two others have a tenth each. Default 5,000. */
  sentences?: number | undefined;
  /** Determines every word; an integer. Default 0. */
  seed?: number | undefined;
}

/** A word in the singular and in the plural: verbs as `he` and as `they` use them. */
type Forms = readonly [singular: string, plural: string];

interface Scene {
  readonly place: string;
  readonly people: readonly Forms[];
  readonly things: readonly Forms[];
  readonly verbs: readonly Forms[];
  readonly qualities: readonly string[];
}

const forms = (text: string): Forms[] =>
  text.split(" ").map((word) => {
    const [singular = "", plural = `${singular}s`] = word.split("/");
    return [singular, plural];
  });
const verbs = (text: string): Forms[] => text.split(" ").map((stem) => [`${stem}s`, stem]);

const scenes: readonly Scene[] = [
  {
    place: "on the farm",
    people: forms("farmer neighbor goose/geese horse"),
    things: forms("apple field fence egg barn"),
    verbs: verbs("plow mend see guard"),
    qualities: ["muddy", "ripe", "old"],
  },
  {
    place: "in the harbor",
    people: forms("sailor captain gull fisherman/fishermen"),
    things: forms("boat net anchor sail fish/fish"),
    verbs: verbs("haul clean paint lower"),
    qualities: ["salty", "heavy", "blue"],
  },
  {
    place: "at the school",
    people: forms("teacher child/children student visitor"),
    things: forms("book poem map lesson window"),
    verbs: verbs("read draw open forget"),
    qualities: ["long", "quiet", "clever"],
  },
  {
    place: "in the kitchen",
    people: forms("cook baker guest waiter"),
    things: forms("cake knife/knives onion pot soup"),
    verbs: verbs("stir cut taste serve"),
    qualities: ["sweet", "hot", "fresh"],
  },
  {
    place: "in the city",
    people: forms("driver clerk woman/women thief/thieves"),
    things: forms("train letter street coin bicycle"),
    verbs: verbs("count find sell follow"),
    qualities: ["noisy", "new", "expensive"],
  },
];

const times = ["every morning", "at noon", "in winter", "on sundays", "before dinner"];
/** Sentences in a row that keep to one scene. */
const PARAGRAPH = 5;

/** A text of simple sentences about a few scenes: what trains where there is no Penn Treebank. */
export class GeneratedText implements TextSet {
  readonly name = "generated text (not the Penn Treebank)";
  readonly dictionary = new Dictionary();
  readonly train: Int32Array;
  readonly valid: Int32Array;
  readonly test: Int32Array;

  constructor(options: GeneratedTextOptions = {}) {
    checkOptions("GeneratedText", options, ["sentences", "seed"]);
    const { sentences = 5000, seed = 0 } = options;
    if (!Number.isInteger(sentences) || sentences < 1 || sentences > 1e6) {
      throw new ArgumentError(
        "GeneratedText",
        `sentences must be an integer in [1, 1000000], not ${String(sentences)}`,
      );
    }
    if (!Number.isInteger(seed))
      throw new ArgumentError("GeneratedText", `seed must be an integer, not ${String(seed)}`);
    const part = (stream: number, count: number): Int32Array => {
      const random = new RandomSource(seed, stream);
      const lines = Array.from({ length: count }, (_, i) => {
        const scene = pick(random.at(Math.floor(i / PARAGRAPH)), scenes);
        return sentence(scene, random.at(-1 - i));
      });
      return encode(lines, (word) => this.dictionary.addWord(word));
    };
    this.train = part(0, sentences);
    this.valid = part(1, Math.ceil(sentences / 10));
    this.test = part(2, Math.ceil(sentences / 10));
  }
}

const pick = <T>(random: RandomSource, list: readonly T[]): T => list[random.integer(0, list.length - 1)]!;

function sentence(scene: Scene, random: RandomSource): string {
  const chance = (probability: number) => random.uniform() < probability;
  const number = () => (chance(0.5) ? 0 : 1);
  const noun = (list: readonly Forms[], form: 0 | 1) => {
    const article = form === 1 ? pick(random, ["the", "some", "many"]) : pick(random, ["the", "every"]);
    const quality = chance(0.3) ? `${pick(random, scene.qualities)} ` : "";
    return `${article} ${quality}${pick(random, list)[form]}`;
  };
  const verb = (form: 0 | 1) => pick(random, scene.verbs)[form];

  const form = number();
  const between = chance(0.25) ? ` near ${noun(scene.things, number())}` : "";
  const subject = noun(scene.people, form) + between;
  const parts = [`${subject} ${verb(form)} ${noun(scene.things, number())}`];
  if (chance(0.3)) parts.push(`because ${form === 0 ? "it" : "they"} ${verb(form)} ${noun(scene.things, number())}`);
  if (chance(0.5)) parts.push(scene.place);
  if (chance(0.3)) parts.unshift(pick(random, times));
  return parts.join(" ");
}
