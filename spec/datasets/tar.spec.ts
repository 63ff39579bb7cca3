import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import { DatasetError } from "thimble";

import { readTarGz, tarMembers } from "../../datasets/tar.ts";
import { thrown } from "../support/thrown.ts";
import { folder, removeFoldersAfterwards, tar, tarGz } from "./writers.ts";

removeFoldersAfterwards();
const LIMIT = 2 ** 20;
const data = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i & 255);

function failure(run: () => unknown): DatasetError {
  const error = thrown(run);
  expect(error).toBeInstanceOf(DatasetError);
  return error as DatasetError;
}

const read = (bytes: Uint8Array | string) => readTarGz(join(folder({ "a.tar.gz": bytes }), "a.tar.gz"), LIMIT);
const all = (bytes: Uint8Array) => [...tarMembers(bytes, "a.tar")];

describe("tar archives", () => {
  test("give the regular files, whatever their size", () => {
    const members = [0, 1, 511, 512, 513, 5000].map((size) => ({ name: `folder/${size}`, data: data(size) }));
    const found = read(tarGz([{ name: "folder/", type: "5" }, ...members]));
    expect(found.map(({ name }) => name)).toEqual(members.map(({ name }) => name));
    found.forEach((member, i) => expect(Buffer.compare(member.data, members[i]!.data)).toBe(0));
  });

  test("of GNU tar and Python are read, with long names passed over", async () => {
    const path = folder({ "batches/data_batch_1": "pixels", [`batches/${"long".repeat(40)}`]: "other" });
    for (const format of ["gnu", "ustar", "posix", "v7"]) {
      const files = format === "v7" || format === "ustar" ? ["batches/data_batch_1"] : ["batches"];
      const { exitCode } = Bun.spawnSync(["tar", "-czf", `${format}.tgz`, `--format=${format}`, ...files], {
        cwd: path,
      });
      expect(exitCode).toBe(0);
      const members = readTarGz(join(path, `${format}.tgz`), LIMIT);
      const wanted = members.find(({ name }) => name === "batches/data_batch_1");
      expect(Buffer.from(wanted!.data).toString()).toBe("pixels");
    }
  });

  test("links, and names that climb, reach nothing outside", () => {
    const found = read(
      tarGz([
        { name: "data_batch_1", type: "2", link: "/etc/passwd" },
        { name: "data_batch_2", type: "1", link: "/etc/passwd" },
        { name: "../../etc/cron.d/owned", data: data(3) },
        { name: "/etc/owned", data: data(3) },
      ]),
    );
    expect(found.map(({ name }) => name)).toEqual(["../../etc/cron.d/owned", "/etc/owned"]);
  });

  test("truncated anywhere are refused with a byte", () => {
    const whole = tar([
      { name: "a", data: data(700) },
      { name: "b", data: data(100) },
    ]);
    for (let end = 0; end <= whole.length - 1024; end += 64) {
      const error = failure(() => all(whole.subarray(0, end)));
      expect(error.message).toContain("truncated");
      expect(error.offset).toBeLessThanOrEqual(end);
    }
  });

  test("with a damaged header are refused at the header", () => {
    const whole = tar([
      { name: "a", data: data(700) },
      { name: "b", data: data(100) },
    ]);
    for (const at of [1536, 1536 + 124, 1536 + 150, 1536 + 300]) {
      const wrong = Buffer.from(whole);
      wrong[at]! ^= 0x21;
      expect(failure(() => all(wrong)).offset).toBe(1536);
    }
  });

  test("with a size that is no octal number are refused", () => {
    const wrong = tar([{ name: "a", data: data(700) }]);
    const before = wrong.subarray(124, 136).reduce((a, b) => a + b);
    wrong.write("-0000000001\0", 124, "latin1");
    const sum = Number.parseInt(wrong.toString("latin1", 148, 154), 8) - before;
    const after = wrong.subarray(124, 136).reduce((a, b) => a + b);
    wrong.write((sum + after).toString(8).padStart(6, "0"), 148, "latin1");
    expect(failure(() => all(wrong)).message).toContain("should have NaN bytes");
  });

  test("that are something else are refused", () => {
    expect(failure(() => read("hello")).offset).toBe(0);
    expect(failure(() => read("")).offset).toBe(0);
    expect(failure(() => read(gzipSync("hello"))).message).toContain("truncated");
    expect(failure(() => read(gzipSync(Buffer.alloc(2048, 65)))).message).toContain("checksum");
    expect(failure(() => read(tar([{ name: "a" }]))).message).toContain("1f 8b");
  });

  test("cut or damaged gzip streams are refused", () => {
    const whole = tarGz([{ name: "a", data: data(70_000) }]);
    for (const end of [2, 10, 11, whole.length - 9, whole.length - 1]) {
      expect(failure(() => read(whole.subarray(0, end))).message).toContain("cannot be unpacked");
    }
    const wrong = Buffer.from(whole);
    wrong[wrong.length - 6]! ^= 1; // the checksum
    expect(failure(() => read(wrong)).message).toContain("cannot be unpacked");
  });

  test("that unpack to more than the limit are refused, and the memory is not taken", () => {
    const bomb = gzipSync(Buffer.alloc(64 * LIMIT));
    const before = process.memoryUsage().rss;
    expect(failure(() => read(bomb)).message).toContain("unpacks to more than 1048576 bytes");
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * LIMIT);
    expect(failure(() => read(Buffer.alloc(LIMIT + 1))).message).toContain("expected at most");
  });

  test("that are missing, or a folder, are refused with the reason", () => {
    expect(failure(() => readTarGz("/nowhere/a.tar.gz", LIMIT)).message).toContain("/nowhere/a.tar.gz");
    expect(failure(() => readTarGz(folder(), LIMIT)).message).toContain("cannot be read");
  });
});
