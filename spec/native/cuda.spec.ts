/** What loading the CUDA library says where there is none, where its device does not open, and to mistakes in the environment. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";

import { cpu, cuda, DeviceUnavailableError, LibraryError } from "../../lib/index.ts";
import { configureEmulator } from "../../lib/native/emulator.ts";
import { libraryCandidates, loadBackend } from "../../lib/native/library.ts";
import { thrown } from "../support/thrown.ts";

const names = ["THIMBLE_CUDA", "THIMBLE_CUDA_LIBRARY", "THIMBLE_EMULATOR"] as const;
const saved = names.map((name) => process.env[name]);
beforeEach(() => names.forEach((name) => delete process.env[name]));
afterEach(() =>
  names.forEach((name, i) => {
    delete process.env[name];
    if (saved[i] !== undefined) process.env[name] = saved[i];
  }),
);

test("a library that is not there: where it was looked for, and what to do", () => {
  process.env["THIMBLE_CUDA_LIBRARY"] = "nowhere/libthimble_cuda.so";
  const error = thrown(() => loadBackend("cuda"));
  expect(error).toBeInstanceOf(DeviceUnavailableError);
  expect(String(error)).toMatch(/looked for nowhere\/libthimble_cuda.so.*npm run build -- --cuda.*cpu\(\)/);
});

test("a library whose device does not open: its own words", () => {
  process.env["THIMBLE_CUDA_LIBRARY"] = cpu().libraryPath; // it has one device, and so none with index 3
  const error = thrown(() => loadBackend("cuda", 3));
  expect(error).toBeInstanceOf(DeviceUnavailableError);
  expect(String(error)).toMatch(/libthimble_cpu.*loaded, but there is one cpu, with index 0, not 3.*isAvailable/);
  expect(loadBackend("cuda", 0).backend.th_device_name()).toBe("cpu");
});

test("a file that is no library is an error of its own", () => {
  process.env["THIMBLE_CUDA_LIBRARY"] = join(import.meta.dir, "../../package.json");
  expect(thrown(() => loadBackend("cuda"))).toBeInstanceOf(LibraryError);
});

test("the emulated variant is chosen by the environment alone", () => {
  expect(libraryCandidates("cuda")[0]).toMatch(/libthimble_cuda\.\w+$/);
  process.env["THIMBLE_CUDA"] = "emulated";
  expect(libraryCandidates("cuda")[0]).toMatch(/libthimble_cuda_emulated\.\w+$/);
  expect(libraryCandidates("cpu")[0]).toMatch(/libthimble_cpu\.\w+$/);
  process.env["THIMBLE_CUDA"] = "imitated";
  expect(() => libraryCandidates("cuda")).toThrow(/THIMBLE_CUDA: 'imitated' is not 'emulated'/);
});

test("an option of the emulator that is none is named", () => {
  for (const option of ["sideways", "random:one", "forward,eager"]) {
    process.env["THIMBLE_EMULATOR"] = option;
    expect(() => configureEmulator(cpu().libraryPath)).toThrow(new RegExp(`'${option.split(",").at(-1)}' is none of`));
  }
});

test("indices that cannot be", () => {
  for (const index of [-1, 0.5, NaN]) expect(() => cuda(index)).toThrow(DeviceUnavailableError);
});
