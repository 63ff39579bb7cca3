/** Downloads: whole, continued, failed; and where CIFAR-10 is looked for. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import { ArgumentError, DatasetError } from "thimble";
import { cacheFolder, downloadCifar10, DownloadError, type DownloadOptions, locateCifar10 } from "thimble/datasets";

import { download } from "../../datasets/download.ts";
import { listen, withEnvironment } from "../support/web.ts";
import { content, good, md5, partial, startServer } from "./server.ts";
import { folder, removeFoldersAfterwards, wholeSet } from "./writers.ts";

removeFoldersAfterwards();
const server = await startServer();
const { url } = server;

const target = (): string => join(folder(), "deep/er/file");
const quick: DownloadOptions = { retryDelay: 1, timeout: 2000, size: content.length, md5 };

async function failure(promise: Promise<unknown>): Promise<DownloadError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DownloadError);
  expect(error).toBeInstanceOf(DatasetError);
  return error as DownloadError;
}

/** The file is there, right, and alone. */
function expectDone(path: string): void {
  expect(Buffer.compare(readFileSync(path), content)).toBe(0);
  expect(readdirSync(join(path, ".."))).toEqual(["file"]);
}

describe("a download", () => {
  test("arrives whole, reports its progress, and leaves nothing else behind", async () => {
    server.respond = good;
    const path = target();
    const seen: (readonly [number, number | undefined])[] = [];
    await download(url, path, { ...quick, onProgress: (...step) => seen.push(step) });
    expectDone(path);
    expect(seen.at(-1)).toEqual([content.length, content.length]);
    expect(seen.every(([received], i) => i === 0 || received > seen[i - 1]![0])).toBe(true);
  });

  test("needs neither size nor checksum", async () => {
    server.respond = good;
    const path = target();
    await download(url, path);
    expectDone(path);
  });

  test("goes on where a dropped connection ended it", async () => {
    server.respond = (request) => (server.ranges.length === 1 ? partial(0, 100_000, "break") : good(request));
    const path = target();
    await download(url, path, quick);
    expectDone(path);
    expect(server.ranges[0]).toBeNull();
    expect(server.ranges[1]).toMatch(/^bytes=\d+-$/);
  });

  test("goes on where an earlier call ended", async () => {
    const path = target();
    server.respond = () => partial(0, 100_000, "break");
    await failure(download(url, path, { ...quick, retries: 0 }));
    expect(existsSync(path)).toBe(false);
    const have = readFileSync(`${path}.part`).length;
    server.respond = good;
    await download(url, path, quick);
    expectDone(path);
    expect(server.ranges).toEqual([null, `bytes=${have}-`]);
  });

  test("that breaks again and again gets there in steps", async () => {
    server.respond = (request) => {
      const start = Number(/\d+/.exec(request.range ?? "0")![0]);
      return start < 200_000 ? partial(start, 90_000, "break") : good(request);
    };
    const path = target();
    await download(url, path, quick);
    expectDone(path);
    expect(server.ranges.length).toBe(4);
  });

  test("starts anew when the server knows no ranges", async () => {
    server.respond = () => (server.ranges.length === 1 ? partial(0, 100_000, "break") : { body: content });
    const path = target();
    await download(url, path, quick);
    expectDone(path);
  });

  test("starts anew when the server's file is another one by now", async () => {
    server.respond = (request) =>
      server.ranges.length === 1 ? partial(0, 100_000, "break") : good(request, { etag: '"v2"' });
    const path = target();
    await download(url, path, quick);
    expectDone(path);
  });

  test("starts anew when nothing tells whether the server's file is the same", async () => {
    const path = join(folder({ "file.part": content.subarray(0, 1000) }), "file");
    server.respond = good;
    await download(url, path, quick);
    expectDone(path);
    expect(server.ranges).toEqual([null]);
  });

  test("starts anew when the server promises no more than that its file means the same", async () => {
    const weak = { etag: 'W/"v1"' };
    server.respond = (request) =>
      server.ranges.length === 1 ? { ...partial(0, 1000, "break"), headers: weak } : good(request, weak);
    const path = target();
    await download(url, path, quick);
    expectDone(path);
    expect(server.ranges).toEqual([null, null]);
  });

  test("may take longer than the timeout as long as something arrives", async () => {
    const slow = createServer((_, response) => {
      response.writeHead(200, { "content-length": content.length });
      for (let i = 0; i < 6; i++)
        setTimeout(() => response.write(content.subarray(i * 50_000, (i + 1) * 50_000)), 80 * i);
    });
    const path = target();
    await download(await listen(slow), path, { ...quick, timeout: 350, retries: 0 });
    expectDone(path);
    slow.close();
  });

  test("starts anew when what is there is too long, or the server refuses the range", async () => {
    const long = join(folder({ "file.part": Buffer.alloc(content.length + 1), "file.part.validator": '"v1"' }), "file");
    server.respond = good;
    await download(url, long, quick);
    expectDone(long);
    expect(server.ranges).toEqual([null]);
    const refused = join(folder({ "file.part": Buffer.alloc(500), "file.part.validator": '"v1"' }), "file");
    server.respond = (request) => (server.ranges.length === 2 ? { status: 416 } : good(request));
    await download(url, refused, quick);
    expectDone(refused);
  });

  test("asks for nothing when all had arrived and only the name was missing", async () => {
    const path = join(folder({ "file.part": content }), "file");
    await download(url, path, quick);
    expectDone(path);
    expect(server.ranges).toEqual([]);
  });

  test("starts anew when the checksum of a continued one is wrong", async () => {
    const path = join(folder({ "file.part": Buffer.alloc(1000), "file.part.validator": '"v1"' }), "file");
    server.respond = good;
    await download(url, path, quick);
    expectDone(path);
    expect(server.ranges).toEqual(["bytes=1000-", null]);
  });
});

describe("a download that fails is a DownloadError", () => {
  test("wrong checksum: at once, and nothing is left", async () => {
    server.respond = good;
    const path = target();
    const error = await failure(download(url, path, { ...quick, md5: "0".repeat(32) }));
    expect(error.message).toContain(`has the MD5 ${md5}; expected ${"0".repeat(32)}`);
    expect(server.ranges.length).toBe(1);
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });

  test("404: at once", async () => {
    server.respond = () => ({ status: 404, body: "not here" });
    const error = await failure(download(url, target(), quick));
    expect(error.message).toContain("the server answered 404");
    expect([error.permanent, server.ranges.length]).toEqual([true, 1]);
  });

  test("503: after the retries", async () => {
    server.respond = () => ({ status: 503, body: "busy" });
    const error = await failure(download(url, target(), { ...quick, retries: 2 }));
    expect(error.message).toContain("503");
    expect(server.ranges.length).toBe(3);
  });

  test("a server that is busy only at first is asked again", async () => {
    server.respond = (request) => (server.ranges.length < 3 ? { status: 503, body: "busy" } : good(request));
    const path = target();
    await download(url, path, quick);
    expectDone(path);
  });

  test("too short, and too long", async () => {
    server.respond = () => ({ body: content.subarray(0, 10) });
    const short = await failure(download(url, target(), { ...quick, retries: 1 }));
    expect(short.message).toContain(`ended after 10 of ${content.length} bytes`);
    server.respond = () => ({ body: Buffer.alloc(content.length + 1) });
    expect((await failure(download(url, target(), quick))).message).toContain("more than the expected");
  });

  test("silence: when nothing has arrived for the time given", async () => {
    server.respond = () => partial(0, 10, "silence");
    const error = await failure(download(url, target(), { ...quick, timeout: 100, retries: 0 }));
    expect(error.message).toContain("nothing arrived for 0.1 seconds");
    server.respond = () => null;
    const mute = await failure(download(url, target(), { ...quick, timeout: 100, retries: 0 }));
    expect(mute.message).toContain("nothing arrived for 0.1 seconds");
  });

  test("no network", async () => {
    const nobody = "http://127.0.0.1:1/file";
    const error = await failure(download(nobody, target(), { ...quick, retries: 1 }));
    expect(error.file).toBe(nobody);
    expect(error.message).toContain("Check the network");
  });

  test("stopped by the caller: at once, keeping what has arrived", async () => {
    server.respond = () => partial(0, 100_000, "silence");
    const controller = new AbortController();
    const path = target();
    const error = await failure(
      download(url, path, { ...quick, signal: controller.signal, onProgress: () => controller.abort() }),
    );
    expect(error.message).toContain("stopped");
    expect(readFileSync(`${path}.part`).length).toBeGreaterThan(0);
    expect(server.ranges.length).toBe(1);
  });

  test("a folder that cannot be made, or options that make no sense", async () => {
    const path = join(folder({ file: "x" }), "file/below");
    await failure(download(url, path, quick));
    expect(download(url, target(), { retries: -1 })).rejects.toBeInstanceOf(ArgumentError);
    expect(download(url, target(), { timeout: NaN })).rejects.toBeInstanceOf(ArgumentError);
  });
});

describe("CIFAR-10", () => {
  test("is downloaded once", async () => {
    server.respond = good;
    const root = folder();
    const path = await downloadCifar10({ ...quick, folder: root, url });
    expect(path).toBe(join(root, "cifar-10-python.tar.gz"));
    await downloadCifar10({ ...quick, folder: root, url });
    expect(server.ranges.length).toBe(1);
  });

  test("is looked for in the folder given, then $THIMBLE_DATA, then the cache folder", () => {
    const cache = folder();
    withEnvironment({ THIMBLE_DATA: "/data", THIMBLE_CACHE: cache }, () => {
      expect(locateCifar10("/given")).toBe("/given");
      expect(locateCifar10()).toBe("/data");
    });
    withEnvironment({ THIMBLE_DATA: undefined, THIMBLE_CACHE: cache }, () => {
      expect(locateCifar10()).toBeNull();
      writeFileSync(join(cache, "cifar-10-python.tar.gz"), "");
      expect(locateCifar10()).toBe(cache);
    });
    withEnvironment({ THIMBLE_DATA: "", THIMBLE_CACHE: folder(wholeSet("bin", 1)) }, () => {
      expect(locateCifar10()).toBe(process.env["THIMBLE_CACHE"]!);
    });
  });

  test("the cache folder is $THIMBLE_CACHE, else in $XDG_CACHE_HOME, else in ~/.cache", () => {
    withEnvironment({ THIMBLE_CACHE: "/own", XDG_CACHE_HOME: "/xdg" }, () => expect(cacheFolder()).toBe("/own"));
    withEnvironment({ THIMBLE_CACHE: undefined, XDG_CACHE_HOME: "/xdg" }, () =>
      expect(cacheFolder()).toBe("/xdg/thimble"),
    );
    for (const caches of [undefined, "", "relative"]) {
      withEnvironment({ THIMBLE_CACHE: "", XDG_CACHE_HOME: caches }, () =>
        expect(cacheFolder()).toBe(join(homedir(), ".cache/thimble")),
      );
    }
  });
});
