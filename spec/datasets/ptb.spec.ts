/** Finding and downloading the Penn Treebank, from a server of our own whose texts are not the real ones. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Corpus, downloadPtb, DownloadError, isPtb, locatePtb } from "thimble/datasets";

import { PTB } from "../../datasets/ptb.ts";
import { listen, withEnvironment } from "../support/web.ts";
import { folder, type Member, removeFoldersAfterwards, tarGz } from "./writers.ts";

removeFoldersAfterwards();

const texts = ["train", "valid", "test"].map((part) => ({ name: `ptb.${part}.txt`, text: `the ${part} text\n` }));
const md5 = (text: string) => new Bun.CryptoHasher("md5").update(text).digest("hex");
/** What our archive must have, as PTB.files says it of the official one. */
const files = texts.map(({ name, text }) => ({ name, size: text.length, md5: md5(text) }));
const members = (prefix: string): Member[] => [
  { name: `${prefix}simple-examples/`, type: "5" },
  { name: `${prefix}simple-examples/data/README`, data: Buffer.from("about") },
  ...texts.map(({ name, text }) => ({ name: `${prefix}simple-examples/data/${name}`, data: Buffer.from(text) })),
];

let body: Uint8Array = new Uint8Array(0);
let requests = 0;
const server = createServer((_, response) => {
  requests++;
  response.writeHead(200, { "content-length": body.length });
  response.end(body);
});
const url = await listen(server);
afterAll(() => server.close());
beforeEach(() => {
  requests = 0;
});

async function failure(promise: Promise<unknown>): Promise<DownloadError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DownloadError);
  return error as DownloadError;
}

describe("the download", () => {
  for (const prefix of ["./", ""]) {
    test(`unpacks the three texts of an archive with names like ${prefix}simple-examples, once`, async () => {
      body = tarGz(members(prefix));
      const cache = folder();
      expect(await downloadPtb({ folder: cache, url, files })).toBe(cache);
      const data = join(cache, "simple-examples/data");
      expect(readdirSync(data).sort()).toEqual(files.map(({ name }) => name).sort());
      expect(readFileSync(join(data, "ptb.valid.txt"), "utf8")).toBe("the valid text\n");
      expect(readdirSync(cache)).toEqual(["simple-examples"]); // the archive itself is not kept
      expect(new Corpus(cache).dictionary.length).toBe(6);
      await downloadPtb({ folder: cache, url, files });
      expect(requests).toBe(1);
    });
  }

  test("refuses a text that is not the official one, and leaves nothing behind", async () => {
    body = tarGz(members("./"));
    const cache = folder();
    const error = await failure(downloadPtb({ folder: cache, url }));
    expect(error.message).toContain(`ptb.train.txt of 15 bytes with the MD5 ${files[0]!.md5}; expected 5101618`);
    expect(error.permanent).toBe(true);
    expect(readdirSync(cache)).toEqual([]);
  });

  test("refuses an archive without the texts, and what is no archive, such as a login page", async () => {
    body = tarGz(members("./").slice(0, 3));
    expect((await failure(downloadPtb({ folder: folder(), url, files }))).message).toContain(
      "has no simple-examples/data/ptb.valid.txt",
    );
    body = Buffer.from("<html>Please log in</html>");
    const cache = folder();
    const page = await failure(downloadPtb({ folder: cache, url, files }));
    expect(page.message).toContain("expected a gzip-compressed archive");
    expect(readdirSync(cache)).toEqual([]);
  });

  test("says when the texts cannot be written", async () => {
    body = tarGz(members("./"));
    const cache = folder({ "simple-examples": "a file in the way" });
    const error = await failure(downloadPtb({ folder: cache, url, files }));
    expect(error.message).toContain("cannot be unpacked into");
  });

  test("without a network is a DownloadError", async () => {
    const nobody = { url: "http://127.0.0.1:1/file", retries: 0, retryDelay: 1 };
    expect((await failure(downloadPtb({ folder: folder(), ...nobody }))).message).toContain("Check the network");
  });
});

describe("the Penn Treebank", () => {
  test("is looked for in the folder given, then $THIMBLE_DATA, then the cache folder", () => {
    const cache = folder();
    withEnvironment({ THIMBLE_DATA: "/data", THIMBLE_CACHE: cache }, () => {
      expect(locatePtb("/given")).toBe("/given");
      expect(locatePtb()).toBe("/data");
    });
    withEnvironment({ THIMBLE_DATA: undefined, THIMBLE_CACHE: cache }, () => {
      expect(locatePtb()).toBeNull();
      mkdirSync(join(cache, "ptb"));
      writeFileSync(join(cache, "ptb/train.txt"), "text\n");
      expect(locatePtb()).toBe(cache);
    });
  });

  test("is known by the sizes of its files, under both names", () => {
    const zeros = (prefix: string) =>
      folder(Object.fromEntries(PTB.files.map(({ name, size }) => [prefix + name, Buffer.alloc(size)])));
    expect(isPtb(zeros("simple-examples/data/"))).toBe(true);
    expect(isPtb(folder({ "ptb.train.txt": "short\n" }))).toBe(false);
    expect(isPtb(folder())).toBe(false);
  });
});
