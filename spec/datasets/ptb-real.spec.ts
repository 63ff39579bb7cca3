/** The real Penn Treebank, where it is at hand: in $THIMBLE_DATA, in the cache folder, or in ~/.cache/thimble-data. */
import { expect, test } from "bun:test";
import { homedir } from "node:os";
import { join } from "node:path";
import { cacheFolder, Corpus, isPtb } from "thimble/datasets";

const local = join(homedir(), ".cache/thimble-data");
const root = [process.env["THIMBLE_DATA"], cacheFolder(), local].find((path) => path && isPtb(path));

if (root === undefined) {
  console.log(`The Penn Treebank is not in $THIMBLE_DATA, the cache folder, or ${local}: its test is left out.`);
} else {
  test("the real Penn Treebank has the published counts", () => {
    const corpus = new Corpus(root);
    const lengths = [corpus.train.length, corpus.valid.length, corpus.test.length];
    expect(lengths).toEqual([929_589, 73_760, 82_430]);
    expect(corpus.dictionary.length).toBe(10_000);
    expect(corpus.dictionary.word(0)).toBe("aer");
    expect(isPtb(join(root, "elsewhere"))).toBe(false);
  });
}
