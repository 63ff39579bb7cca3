import { expect, test } from "bun:test";
import { cpu, DisposedError } from "thimble";

import { sizeClassBytes, sizeClassOf, Storage } from "../../lib/native/storage.ts";

test("a size class has room for what was asked for, wastes at most a quarter of it, and grows with it", () => {
  let before = 0;
  for (let bytes = 1; bytes < 2 ** 33; bytes = Math.ceil(bytes * 1.07)) {
    for (const exact of [bytes, 64 * Math.ceil(bytes / 64), 64 * Math.ceil(bytes / 64) + 1]) {
      const given = sizeClassBytes(sizeClassOf(exact));
      expect(given).toBeGreaterThanOrEqual(exact);
      expect(given - Math.ceil(exact / 64) * 64).toBeLessThanOrEqual(given / 4);
      expect(sizeClassOf(given)).toBe(sizeClassOf(exact)); // a block fits its own class
    }
    expect(sizeClassOf(bytes)).toBeGreaterThanOrEqual(before);
    before = sizeClassOf(bytes);
  }
  expect(sizeClassBytes(sizeClassOf(0))).toBe(64);
});

test("the last of several owners gives the memory back, once; the storage is then of no use", () => {
  const { pool } = cpu();
  const storage = new Storage(pool, 12_345_678);
  const held = pool.live;
  const { pointer } = storage;
  storage.retain();
  expect(storage.exclusive).toBe(false);
  storage.release();
  expect([storage.exclusive, storage.pointer, pool.live]).toEqual([true, pointer, held]);
  storage.release();
  expect(pool.live).toBe(held - sizeClassBytes(sizeClassOf(12_345_678)));
  expect(() => storage.pointer).toThrow(DisposedError);
  storage.release(); // one too many must not give it back again
  const [next, other] = [new Storage(pool, 12_345_678), new Storage(pool, 12_345_678)];
  expect(next.pointer).toBe(pointer);
  expect(other.pointer).not.toBe(pointer);
  expect(() => storage.pointer).toThrow(DisposedError);
  for (const used of [next, other]) used.release();
});

test("emptying the pool gives its blocks back to the library", () => {
  const { pool } = cpu();
  new Storage(pool, 2 ** 24).release();
  const reserved = cpu().memory().reserved;
  cpu().trimMemory();
  expect(cpu().memory().reserved).toBeLessThanOrEqual(reserved - 2 ** 24);
});
