/**
 * Command-line options from a table: each has a type, a range and a default, and `--help` prints just that.
 * Names are written as in TypeScript in the table (`batchSize`) and with hyphens on the command line (`--batch-size`).
 */
import { parseArgs } from "node:util";

interface Described {
  help: string;
  /** What stands for the value in the help, such as FILE. */
  value?: string;
}
type TextOption = Described & { type: "text"; default?: string };
type NumberOption = Described & { type: "number" | "integer"; default?: number; min?: number; max?: number };
type ChoiceOption = Described & { type: "choice"; of: readonly string[]; default: string };
/** Given as `--name` or `--no-name`. */
type FlagOption = Described & { type: "flag"; default: boolean };
type Option = TextOption | NumberOption | ChoiceOption | FlagOption;
type Value = string | number | boolean | undefined;

type Missing<O> = O extends { default: string | number } ? never : undefined;
type ValueOf<O> = O extends { type: "flag" }
  ? boolean
  : O extends { of: readonly (infer Name)[] }
    ? Name
    : O extends { type: "text" }
      ? string | Missing<O>
      : number | Missing<O>;

/** The value of each option of a table. */
export type ValuesOf<Table> = { [Name in keyof Table]: ValueOf<Table[Name]> };

export interface Parsed<Table> {
  values: ValuesOf<Table>;
  /** The options that were on the command line; the others have their defaults. */
  given: ReadonlySet<keyof Table & string>;
  /** What is there besides options, such as names of groups. */
  words: readonly string[];
}

/** What is wrong with a command line. */
export class UsageError extends Error {}

/**
 * Parses arguments. Besides options there may be any of `allowed`.
 * @throws UsageError for what the table does not allow.
 */
export function parseOptions<const Table extends Record<string, Option>>(
  table: Table,
  args: string[],
  allowed: readonly string[] = [],
): Parsed<Table> {
  const names = Object.keys(table);
  const { raw, words } = read(table, args, allowed.length > 0);
  const unknown = words.find((word) => !allowed.includes(word));
  if (unknown !== undefined) throw new UsageError(`'${unknown}' is not one of ${allowed.join(", ")}`);
  const values = Object.fromEntries(names.map((name) => [name, convert(name, table[name]!, raw[hyphenated(name)])]));
  const given = new Set(names.filter((name) => raw[hyphenated(name)] !== undefined));
  return { values: values as ValuesOf<Table>, given, words };
}

interface Raw {
  raw: Record<string, string | boolean | undefined>;
  words: string[];
}

function read(table: Record<string, Option>, args: string[], allowPositionals: boolean): Raw {
  const options = Object.entries(table).map(([name, { type }]) => {
    return [hyphenated(name), { type: type === "flag" ? "boolean" : "string" }] as const;
  });
  try {
    const config = { args, options: Object.fromEntries(options), allowNegative: true, allowPositionals };
    const { values, positionals } = parseArgs(config);
    return { raw: { ...values }, words: positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message.replaceAll("\n", " ") : String(error));
  }
}

function convert(name: string, option: Option, raw: string | boolean | undefined): Value {
  if (raw === undefined) return option.default;
  const refuse = (what: string): never => {
    throw new UsageError(`--${hyphenated(name)} must be ${what}, not '${raw}'`);
  };
  if (option.type === "choice") return option.of.includes(String(raw)) ? raw : refuse(`one of ${option.of.join(", ")}`);
  if (option.type === "text") return raw === "" ? refuse("a text") : raw;
  if (option.type === "flag") return raw;
  const number = String(raw).trim() === "" ? NaN : Number(raw);
  const { min = -Infinity, max = Infinity, type } = option;
  const isOne = type === "integer" ? Number.isSafeInteger(number) : Number.isFinite(number);
  return isOne && number >= min && number <= max ? number : refuse(`${numberName(type)}${range(option)}`);
}

/** The text of `--help`. */
export function helpText(program: string, summary: string, table: Record<string, Option>): string {
  const help: Option = { type: "flag", default: false, help: "Print this text" };
  const rows = Object.entries({ ...table, help });
  const left = rows.map(
    ([name, option]) => `  --${option.default === true ? "[no-]" : ""}${hyphenated(name)}${placeholder(option)}`,
  );
  const width = Math.max(...left.map((text) => text.length)) + 2;
  const lines = rows.map(([, option], i) => left[i]!.padEnd(width) + option.help + note(option));
  return [`Usage: ${program} [options]`, "", summary, "", ...lines].join("\n");
}

/**
 * Parses the command line of this process. `--help` prints the help and ends with 0; a mistake is reported on standard
 * error and ends with 2.
 */
export function commandLine<const Table extends Record<string, Option>>(
  program: string,
  summary: string,
  table: Table,
  allowed: readonly string[] = [],
): Parsed<Table> {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    console.log(helpText(program, summary, table));
    process.exit(0);
  }
  try {
    return parseOptions(table, args, allowed);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return usageError(program, error.message);
  }
}

/** Reports what is wrong with the command line, and ends with 2. */
export function usageError(program: string, problem: string): never {
  console.error(`${problem}\n'${program} --help' lists the options.`);
  process.exit(2);
}

/** An option as it is written: batchSize is --batch-size. */
export const hyphenated = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const numberName = (type: "number" | "integer") => (type === "integer" ? "an integer" : "a number");

function range({ min, max }: NumberOption): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? "" : ` of at most ${max}`;
}

function placeholder(option: Option): string {
  if (option.type === "flag") return "";
  if (option.type === "choice") return ` ${option.of.join("|")}`;
  return ` ${option.value ?? (option.type === "text" ? "TEXT" : "N")}`;
}

/** What may be given and what holds otherwise. */
function note(option: Option): string {
  const parts: string[] = [];
  if (option.type === "integer" || option.type === "number") parts.push(numberName(option.type) + range(option));
  if (option.default !== undefined && option.type !== "flag") parts.push(`default ${option.default}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}
