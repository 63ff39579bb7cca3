import { describe, expect, test } from "bun:test";

import { helpText, parseOptions, UsageError } from "../../scripts/cli/options.ts";

const table = {
  data: { type: "text", value: "DIR", help: "Where it is" },
  epochs: { type: "integer", default: 10, min: 1, help: "How many" },
  learningRate: { type: "number", default: 1e-3, min: 0, max: 1, help: "How far" },
  limit: { type: "integer", max: 9, help: "At most" },
  optimizer: { type: "choice", of: ["adam", "sgd"], default: "adam", help: "Which" },
  augment: { type: "flag", default: false, help: "Whether" },
  progress: { type: "flag", default: true, help: "Shown" },
} as const;
const parse = (...args: string[]) => parseOptions(table, args);

test("defaults, and what was given", () => {
  const { values, given } = parse();
  expect(values).toEqual({
    data: undefined,
    epochs: 10,
    learningRate: 1e-3,
    limit: undefined,
    optimizer: "adam",
    augment: false,
    progress: true,
  });
  expect([...given]).toEqual([]);
  const optimizer: "adam" | "sgd" = values.optimizer; // the types follow the table
  const data: string | undefined = values.data;
  expect([optimizer, data]).toEqual(["adam", undefined]);
});

test("values in every spelling", () => {
  const { values, given } = parse(
    "--data",
    "/data",
    "--epochs=3",
    "--learning-rate",
    "1e-2",
    "--augment",
    "--no-progress",
  );
  expect(values).toMatchObject({ data: "/data", epochs: 3, learningRate: 0.01, augment: true, progress: false });
  expect([...given]).toEqual(["data", "epochs", "learningRate", "augment", "progress"]);
  expect(parse("--optimizer", "sgd", "--optimizer", "adam").values.optimizer).toBe("adam");
  expect(parse("--no-augment").given.has("augment")).toBe(true);
});

describe("mistakes are named", () => {
  const cases: [string[], string][] = [
    [["--bogus"], "Unknown option '--bogus'"],
    [["stray"], "Unexpected argument 'stray'"],
    [["--epochs"], "argument missing"],
    [["--epochs", "0"], "--epochs must be an integer of at least 1, not '0'"],
    [["--epochs", "2.5"], "--epochs must be an integer of at least 1, not '2.5'"],
    [["--epochs", "many"], "not 'many'"],
    [["--epochs", ""], "--epochs must be an integer"],
    [["--epochs", " "], "--epochs must be an integer"],
    [["--epochs", "1e400"], "--epochs must be an integer"],
    [["--learning-rate", "2"], "--learning-rate must be a number from 0 to 1, not '2'"],
    [["--learning-rate=NaN"], "--learning-rate must be a number"],
    [["--learning-rate=-1"], "--learning-rate must be a number"],
    [["--limit", "10"], "--limit must be an integer of at most 9, not '10'"],
    [["--optimizer", "lion"], "--optimizer must be one of adam, sgd, not 'lion'"],
    [["--data", ""], "--data must be a text"],
    [["--augment=1"], "does not take an argument"],
    [["--learningRate", "1"], "Unknown option '--learningRate'"],
  ];
  for (const [args, message] of cases) {
    test(args.join(" "), () => {
      expect(() => parse(...args)).toThrow(UsageError);
      expect(() => parse(...args)).toThrow(message);
    });
  }
});

test("help says types, ranges and defaults", () => {
  expect(helpText("bun run it", "Does it.", table)).toBe(
    [
      "Usage: bun run it [options]",
      "",
      "Does it.",
      "",
      "  --data DIR            Where it is",
      "  --epochs N            How many (an integer of at least 1, default 10)",
      "  --learning-rate N     How far (a number from 0 to 1, default 0.001)",
      "  --limit N             At most (an integer of at most 9)",
      "  --optimizer adam|sgd  Which (default adam)",
      "  --augment             Whether",
      "  --[no-]progress       Shown",
      "  --help                Print this text",
    ].join("\n"),
  );
});

test("words besides options, where they are allowed", () => {
  const { words, values } = parseOptions(table, ["conv", "--epochs", "3", "matmul"], ["matmul", "conv"]);
  expect(words).toEqual(["conv", "matmul"]);
  expect(values.epochs).toBe(3);
  expect(() => parseOptions(table, ["convolution"], ["matmul", "conv"])).toThrow(
    "'convolution' is not one of matmul, conv",
  );
  expect(() => parse("conv")).toThrow(UsageError);
});
