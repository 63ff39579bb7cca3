/** The command as a user runs it, on a small generated text and on files of our own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readCheckpointState, readSafetensors } from "../../lib/checkpoint/index.ts";
import { readLog, runScript, runUntil } from "../support/command.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-lm-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const SCRIPT = "train-lm.ts";
const run = (...args: string[]) => runScript(SCRIPT, args);
const data = ["--generated", "--limit", "300"];
const network = [
  "--embed",
  "16",
  "--hidden",
  "16",
  "--batch-size",
  "8",
  "--bptt",
  "10",
  "--dropout",
  "0.2",
  "--lr",
  "5",
];
const small = [...data, ...network];

interface LogLine {
  epoch: number;
  trainLoss: number;
  trainPerplexity: number;
  validLoss: number;
  validPerplexity: number;
  testLoss?: number;
  testPerplexity?: number;
  seconds: number;
  wordsPerSecond: number;
  learningRate: number;
  data: string;
}

/** What must repeat: all but the times, and the test figures, which only the last epoch has. */
const figures = (lines: LogLine[]) =>
  lines.map(({ epoch, trainLoss, validLoss, learningRate }) => {
    return [epoch, trainLoss, validLoss, learningRate];
  });

describe("the command line", () => {
  test("--help, and exit code 2 for a mistake", async () => {
    const help = await run("--help");
    expect(help.code).toBe(0);
    for (const option of ["--bptt N", "--tie-weights", "--model rnn|lstm|gru", "--generate N", "--text FILE"]) {
      expect(help.stdout).toContain(option);
    }
    const mistakes: [string[], string][] = [
      [["--model", "lru"], "--model must be one of rnn, lstm, gru, not 'lru'"],
      [["--vocab-size", "2"], "--vocab-size must be an integer of at least 3, not '2'"],
      [["--generate", "5"], "--generate needs --resume FILE"],
      [["--prompt", "the"], "--prompt needs --generate"],
      [["--temperature", "0"], "--temperature needs --generate"],
      [["--top-k", "5"], "--top-k needs --generate"],
      [["--text", "a.txt", "--data", "b"], "--data, --text and --generated exclude one another"],
      [["--text", "a.txt", "--generated"], "exclude one another"],
    ];
    for (const [args, message] of mistakes) {
      const { code, stderr } = await run(...args);
      expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    }
  });

  test("what cannot be read or made is one clear line and exit code 1", async () => {
    writeFileSync(at("short.txt"), "two\nlines\n");
    for (const part of ["train", "valid", "test"])
      writeFileSync(at(`${part}.txt`), part === "valid" ? "\n" : "some words\n");
    const cases: [string[], RegExp][] = [
      [["--data", folder], /^DatasetError: .*its valid text has fewer than 2 words/],
      [["--data", at("nowhere")], /^DatasetError: .*train\.txt: no such file/],
      [["--text", at("nowhere.txt")], /^DatasetError: .*nowhere\.txt: cannot be read/],
      [["--text", at("short.txt")], /^DatasetError: .*short\.txt: has 2 lines with words; expected at least 20/],
      [["--resume", at("none"), ...data], /^CheckpointError: /],
      [[...data, "--tie-weights", "--embed", "8", "--hidden", "9"], /^ArgumentError: LanguageModel: tieWeights needs/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await run(...args);
      expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
      expect(stderr).not.toContain("    at ");
    }
  });
});

test("epochs are logged, saved and plotted; a seed repeats, and a resumed run is the same bit for bit", async () => {
  const straight = await run(...small, "--epochs", "3", "--checkpoint", at("straight"), "--log", at("straight.jsonl"));
  expect(straight).toMatchObject({ code: 0, stderr: "" });
  expect(straight.stdout).toContain("Language model on generated text (not the Penn Treebank): 3,");
  expect(straight.stdout).toContain("Training loss from epoch 1 to 3");
  const lines = readLog<LogLine>(at("straight.jsonl"));
  expect(lines.map(({ epoch, testLoss }) => [epoch, testLoss === undefined])).toEqual([[1, true], [2, true], [3, false]]); // prettier-ignore
  for (const line of lines) {
    for (const value of Object.values(line).filter((each) => typeof each === "number")) expect(value).toBeFinite();
    expect(line.trainPerplexity).toBeCloseTo(Math.exp(line.trainLoss), 8);
    expect(line.validPerplexity).toBeCloseTo(Math.exp(line.validLoss), 8);
    expect(line.data).toBe("generated text (not the Penn Treebank)");
  }
  expect(lines[2]!.testPerplexity).toBeCloseTo(Math.exp(lines[2]!.testLoss!), 8);

  await run(...small, "--epochs", "1", "--checkpoint", at("resumed"), "--log", at("resumed.jsonl"));
  const files = ["--checkpoint", at("resumed"), "--log", at("resumed.jsonl")];
  expect(await run(...data, "--epochs", "3", "--resume", at("resumed"), ...files)).toMatchObject({ code: 0 });
  expect(readSafetensors(at("resumed")).arrays).toEqual(readSafetensors(at("straight")).arrays);
  expect(figures(readLog<LogLine>(at("resumed.jsonl")))).toEqual(figures(lines));

  const wrong = await run(...data, "--resume", at("resumed"), "--bptt", "8");
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("made with --bptt 10, not 8")]);
  const other = await run("--generated", "--limit", "200", "--resume", at("resumed"));
  expect([other.code, other.stderr]).toEqual([
    1,
    expect.stringMatching(/the run used 3,?\d+ words .*, not 2,?\d+ words/),
  ]);
  const done = await run(...data, "--resume", at("resumed"));
  expect(done.stdout).toContain("All 3 epochs are done already");
}, 60_000);

test("a GRU: resumed it is the same bit for bit, and it speaks", async () => {
  const gru = [...small, "--model", "gru", "--layers", "1"];
  await run(...gru, "--epochs", "2", "--checkpoint", at("gru-straight"));
  await run(...gru, "--epochs", "1", "--checkpoint", at("gru"));
  const resumed = await run(...data, "--epochs", "2", "--resume", at("gru"), "--checkpoint", at("gru"));
  expect(resumed).toMatchObject({ code: 0, stderr: "" });
  const { arrays } = readSafetensors(at("gru"));
  expect(arrays).toEqual(readSafetensors(at("gru-straight")).arrays);
  expect([...arrays.keys()].filter((name) => name.includes("gruCells.0."))).toHaveLength(4);
  const said = await run("--resume", at("gru"), "--generate", "10");
  expect(said).toMatchObject({ code: 0, stderr: "" });
  expect(said.stdout.trim().split(/\s+/)).toHaveLength(10);
}, 60_000);

test("Ctrl-C stops after the running step and saves; going on from there changes no bit, dropout included", async () => {
  const files = ["--checkpoint", at("stopped"), "--log", at("stopped.jsonl")];
  const long = ["--generated", "--limit", "3000"];
  const all = [...long, ...network, "--epochs", "4"];
  const { stdout, stderr, code } = await runUntil("epoch 1/4", SCRIPT, [...all, ...files]);
  expect(code).toBe(130);
  expect(stdout).toMatch(/Stopped in epoch \d after \d+ of \d+ steps, and saved/);
  expect(stderr).toContain("Stopping after the running step");
  const names = [...readSafetensors(at("stopped")).arrays.keys()].filter((name) => name.startsWith("extra."));
  const within = !stdout.includes("after 0 of");
  expect(names).toEqual(within ? ["extra.hidden.0", "extra.hidden.1"] : []);
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);

  const resumed = await run(...long, "--resume", at("stopped"), ...files);
  expect(resumed).toMatchObject({ code: 0, stderr: "" }); // with the four epochs that the checkpoint says
  await run(...all, "--checkpoint", at("whole"), "--log", at("whole.jsonl"));
  expect(readSafetensors(at("stopped")).arrays).toEqual(readSafetensors(at("whole")).arrays);
  expect(figures(readLog<LogLine>(at("stopped.jsonl")))).toEqual(figures(readLog<LogLine>(at("whole.jsonl"))));
}, 60_000);

test("the learning rate is divided after an epoch that did not lower the validation loss", async () => {
  const options = ["--epochs", "6", "--lr", "60", "--clip", "2", "--lr-decay", "3"];
  await run(...data, ...network, ...options, "--log", at("decay.jsonl"));
  const lines = readLog<LogLine>(at("decay.jsonl"));
  let [rate, best] = [60, Infinity];
  for (const { learningRate, validLoss } of lines) {
    expect(learningRate).toBeCloseTo(rate, 10);
    if (validLoss < best) best = validLoss;
    else rate /= 3;
  }
  expect(rate).toBeLessThan(60); // it happened at all
}, 60_000);

describe("a text of one's own", () => {
  const sentence = (i: number) =>
    `the ${["cat", "dog", "owl"][i % 3]} saw ${["a bird", "no one", "the moon"][((i * 7) % 5) % 3]}`;
  const text = Array.from({ length: 400 }, (_, i) => sentence(i)).join("\n");

  test("in one file: trained on, saved with its words, and spoken from without it", async () => {
    writeFileSync(at("own.txt"), text);
    const args = ["--text", at("own.txt"), "--vocab-size", "8", ...network, "--model", "rnn", "--layers", "1"];
    const trained = await run(...args, "--tie-weights", "--epochs", "4", "--checkpoint", at("own"));
    expect(trained).toMatchObject({ code: 0, stderr: "" });
    expect(trained.stdout).toContain("Language model on the text own.txt: ");
    expect(readCheckpointState(at("own"))).toMatchObject({ vocabulary: expect.arrayContaining(["<unk>", "the"]) });
    rmSync(at("own.txt"));

    const speak = (...more: string[]) => run("--resume", at("own"), "--generate", "40", ...more);
    const said = await speak("--prompt", "the cat nobody-knows");
    expect(said).toMatchObject({ code: 0, stderr: "" });
    const words = said.stdout.trim().split(/\s+/);
    expect(words.length).toBe(40);
    expect(said.stdout.trim().split("\n").length).toBe(
      words.filter((word, i) => word === "<eos>" && i < 39).length + 1,
    );
    expect((await speak("--prompt", "the cat nobody-knows")).stdout).toBe(said.stdout);
    expect((await speak("--seed", "1")).stdout).not.toBe((await speak("--seed", "2")).stdout);
    for (const likeliest of [
      ["--temperature", "0"],
      ["--top-k", "1"],
      ["--top-p", "1e-9"],
    ]) {
      const one = await speak(...likeliest, "--prompt", "the", "--seed", "1");
      expect((await speak(...likeliest, "--prompt", "the", "--seed", "2")).stdout).toBe(one.stdout);
    }
  }, 60_000);

  test("a word that a vocabulary without <unk> lacks is named", async () => {
    await run(...small, "--epochs", "1", "--checkpoint", at("speaker"));
    const { code, stderr } = await run("--resume", at("speaker"), "--generate", "3", "--prompt", "the xylophone");
    expect([code, stderr]).toEqual([1, expect.stringContaining('the model knows no word "xylophone"')]);
  });

  test("Ctrl-C ends what it says at a word's end", async () => {
    await run(...small, "--epochs", "1", "--checkpoint", at("endless"));
    const said = await runUntil(" ", SCRIPT, ["--resume", at("endless"), "--generate", "1000000"]);
    expect(said.code).toBe(130);
    expect(said.stdout).toEndWith("\n");
  }, 30_000);

  test("in three files, in a folder 'ptb' of --data or of $THIMBLE_DATA", async () => {
    mkdirSync(at("corpus/ptb"), { recursive: true });
    for (const part of ["train", "valid", "test"]) writeFileSync(at(`corpus/ptb/ptb.${part}.txt`), text);
    const brief = [...network, "--epochs", "1", "--limit", "60"];
    const given = await run("--data", at("corpus"), ...brief);
    expect(given.stdout).toContain("Language model on the corpus corpus: 360 training");
    const found = await runScript(SCRIPT, brief, { THIMBLE_DATA: at("corpus") });
    expect(found.stdout).toContain("Language model on the corpus corpus");
  }, 60_000);
});
