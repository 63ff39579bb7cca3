/** The pieces of the training commands around their epochs. */
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointError, cpu, init, nn } from "thimble";
import { DownloadError } from "thimble/datasets";

import { saveCheckpoint } from "../../lib/checkpoint/index.ts";
import { downloadOrNull } from "../../scripts/cli/download.ts";
import { makeModel, nextEpoch, readRun, type RunOptions, saveRun, startAt } from "../../scripts/cli/lm-run.ts";
import { mergeOptions, SavedState } from "../../scripts/cli/saved-state.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thimble-state-"));
  file = join(folder, "run");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run: RunOptions = {
  model: "lstm", embed: 3, hidden: 4, layers: 2, dropout: 0.1, tieWeights: false,
  epochs: 6, batchSize: 5, bptt: 7, lr: 20, lrDecay: 4, clip: 0.25, seed: 1,
}; // prettier-ignore

describe("the learning rate of the next epoch", () => {
  test("stays while the validation loss falls, and is divided where it does not", () => {
    const rates: number[] = [];
    let position = startAt(20);
    for (const loss of [5, 4, 4, 4.5, 3, NaN]) {
      position = nextEpoch({ ...position, step: 9, loss: 1, examples: 8 }, loss, 4);
      rates.push(position.lr);
    }
    expect(rates).toEqual([20, 20, 5, 1.25, 1.25, 0.3125]);
    expect(position).toMatchObject({ epoch: 6, step: 0, examples: 0, loss: 0, best: 3, carried: null });
  });
});

describe("a saved run", () => {
  const vocabulary = ["<eos>", "the", "été"];
  const data = { name: "a text", words: 99 };
  const training = () => ({ model: makeModel(run, vocabulary.length, cpu()) });

  test("comes back whole, with and without a carried state", () => {
    const [h, c] = [init.normal([2, 5, 4]), init.normal([2, 5, 4])];
    for (const carried of [null, h, [h, c] as const]) {
      const position = {
        ...startAt(5),
        epoch: 2,
        step: 3,
        examples: 105,
        loss: 4.5,
        accuracy: 0.1,
        seconds: 2,
        best: 4,
      };
      saveRun(file, training(), { run, position: { ...position, carried }, data, vocabulary });
      const { position: read, ...rest } = readRun(file, cpu());
      expect(rest).toEqual({ run, data, vocabulary });
      expect({ ...read, carried: null }).toEqual({ ...position, carried: null });
      const values = (state: typeof carried) =>
        state === null ? null : "shape" in state ? state.toArray() : state.map((each) => each.toArray());
      expect(values(read.carried)).toEqual(values(carried));
    }
  });

  test("of another command, or damaged, is refused by the name of what is wrong", () => {
    const good = { run, position: { ...startAt(5), carried: undefined }, data, vocabulary };
    const cases: [object, string][] = [
      [{}, "'run'"],
      [{ ...good, run: { ...run, model: "lru" } }, "'model'"],
      [{ ...good, run: { ...run, bptt: 0 } }, "'bptt'"],
      [{ ...good, run: { ...run, embed: 1.5 } }, "'embed'"],
      [{ ...good, run: { ...run, tieWeights: 1 } }, "'tieWeights'"],
      [{ ...good, position: { ...good.position, loss: null } }, "'loss'"],
      [{ ...good, position: { ...good.position, best: "4" } }, "'best'"],
      [{ ...good, data: [] }, "'data'"],
      [{ ...good, vocabulary: "the" }, "'vocabulary'"],
      [{ ...good, vocabulary: ["the", 5] }, "'vocabulary'"],
    ];
    for (const [state, name] of cases) {
      saveCheckpoint(file, { model: new nn.Linear(1, 1) }, JSON.parse(JSON.stringify(state)));
      expect(() => readRun(file, cpu())).toThrow(`its state has no usable ${name}. It must be a file of train-lm`);
    }
    saveCheckpoint(file, { model: new nn.Linear(1, 1) }, [1, 2]);
    expect(() => SavedState.read(file, "train-resnet").text("name")).toThrow("It must be a file of train-resnet");
    const arrays = Object.fromEntries([0, 1, 2].map((i) => [`hidden.${i}`, init.zeros([1]).data]));
    saveCheckpoint(file, { model: new nn.Linear(1, 1), arrays }, JSON.parse(JSON.stringify(good)));
    expect(() => readRun(file, cpu())).toThrow("it has 3 hidden states");
  });

  test("keeps its options when it goes on, but for those that may differ", () => {
    const given = { ...run, epochs: 9, lr: 3, seed: 1 };
    const free = ["epochs", "lr"] as const;
    expect(mergeOptions(file, run, given, new Set(["epochs", "seed"]), free)).toEqual({ ...run, epochs: 9 });
    expect(mergeOptions(file, run, given, new Set(), free)).toEqual(run);
    expect(() => mergeOptions(file, run, { ...run, seed: 2 }, new Set(["seed"]), free)).toThrow(CheckpointError);
  });
});

describe("a download that a command can do without", () => {
  const wanted = { name: "A set", megabytes: 3, instead: "another set", progress: false };

  test("gives null when it fails, and says so; what stops it, or is another error, is thrown", async () => {
    const said = spyOn(console, "log").mockImplementation(() => {});
    try {
      const failing = () => Promise.reject(new DownloadError("http://there", "is gone"));
      const live = { ...wanted, signal: new AbortController().signal };
      expect(await downloadOrNull(live, failing)).toBeNull();
      expect(said.mock.calls.flat().join("\n")).toMatch(
        /A set is not on this machine.*\(3 MB\)[^]*is gone[^]*Going on with another set\./,
      );
      expect(await downloadOrNull(live, () => Promise.resolve("/there"))).toBe("/there");
      expect(downloadOrNull({ ...wanted, signal: AbortSignal.abort() }, failing)).rejects.toBeInstanceOf(DownloadError);
      expect(downloadOrNull(live, () => Promise.reject(new TypeError("a mistake")))).rejects.toBeInstanceOf(TypeError);
    } finally {
      said.mockRestore();
    }
  });
});
