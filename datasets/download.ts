/**
 * Downloads that can be interrupted: what has arrived is in `FILE.part`, the next attempt asks the server for the rest,
 * and the file gets its name only when its checksum is right. So a file that exists is whole.
 */
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { ArgumentError, DatasetError } from "../lib/native/errors.ts";

/** A download that failed. `permanent` when trying again cannot help: the wrong address, or other content. */
export class DownloadError extends DatasetError {
  readonly permanent: boolean;
  constructor(
    url: string,
    problem: string,
    { permanent = false, cause }: { permanent?: boolean; cause?: unknown } = {},
  ) {
    const hint = "Check the network, or download it by hand and give its folder";
    super(url, problem, { hint, cause });
    this.permanent = permanent;
  }
}

export interface DownloadOptions {
  /** The number of bytes it must have. */
  size?: number | undefined;
  /** The MD5 it must have, in hexadecimal. */
  md5?: string | undefined;
  /** Called as bytes arrive; `total` is undefined when neither `size` nor the server says. */
  onProgress?: ((received: number, total: number | undefined) => void) | undefined;
  /** Milliseconds without a byte after which an attempt is given up. Default 30,000. */
  timeout?: number | undefined;
  /** Attempts after the first that failed. Default 4. */
  retries?: number | undefined;
  /** Milliseconds before the first retry; doubled before each further one. Default 1,000. */
  retryDelay?: number | undefined;
  /** Ends the download; what has arrived stays for the next one. */
  signal?: AbortSignal | undefined;
}

/** What the downloads of data sets take. */
export interface ArchiveOptions extends DownloadOptions {
  /** Default: {@link cacheFolder}. */
  folder?: string | undefined;
  /** Of a mirror. Default: the official address. */
  url?: string | undefined;
}

/** Where downloads go: `$THIMBLE_CACHE`, else `$XDG_CACHE_HOME/thimble`, else `~/.cache/thimble`. */
export function cacheFolder(): string {
  const { THIMBLE_CACHE: own, XDG_CACHE_HOME: caches } = process.env;
  if (own) return own;
  return join(caches && isAbsolute(caches) ? caches : join(homedir(), ".cache"), "thimble");
}

/**
 * Where a data set is: `folder` (the `--data` of scripts), else `$THIMBLE_DATA`, else the cache folder if it has the
 * files. Null when nothing is given and nothing was downloaded. What is given is not checked here, so that the
 * dataset's error can say what is wrong with it.
 */
export function locate(folder: string | undefined, holdsFiles: (folder: string) => boolean): string | null {
  const given = folder || process.env["THIMBLE_DATA"];
  if (given) return given;
  return holdsFiles(cacheFolder()) ? cacheFolder() : null;
}

/**
 * Downloads `url` to the file `path`, and goes on with what an interrupted call has left.
 * @throws DownloadError when all attempts failed or the content is not what it must be.
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<void> {
  const { retries = 4, retryDelay = 1000, timeout = 30_000, signal } = options;
  for (const [name, value] of Object.entries({ retries, retryDelay, timeout })) {
    if (!(value >= 0 && Number.isFinite(value)))
      throw new ArgumentError("download", `${name} must not be ${String(value)}`);
  }
  await mkdir(dirname(path), { recursive: true }).catch((cause: unknown) => {
    throw new DownloadError(url, `cannot be saved as ${path}: ${messageOf(cause)}`, { permanent: true, cause });
  });
  const part = `${path}.part`;
  for (let attempt = 0; ; attempt++) {
    try {
      if (attempt > 0) await sleep(retryDelay * 2 ** (attempt - 1), undefined, signal && { signal });
      const resumed = await receive(url, part, options);
      await verify(url, part, resumed, options);
      break;
    } catch (error) {
      if (signal?.aborted) throw new DownloadError(url, "stopped", { permanent: true, cause: error });
      const failure =
        error instanceof DownloadError ? error : new DownloadError(url, messageOf(error), { cause: error });
      if (failure.permanent || attempt >= retries) throw failure;
    }
  }
  await rename(part, path);
  await rm(`${part}.validator`, { force: true });
}

/** What an error says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** One attempt: asks for what `part` lacks, or all where that is not possible. True when it built on what was there. */
async function receive(url: string, part: string, options: DownloadOptions): Promise<boolean> {
  const { size = Infinity } = options;
  const have = await stat(part).then(
    (file) => file.size,
    () => 0,
  );
  if (have === size) return true;
  // Only a validator (an ETag or a date) makes sure that the rest belongs to the same version of the file.
  const validator = await readFile(`${part}.validator`, "utf8").catch(() => "");
  const resume = have > 0 && have < size && validator !== "";
  const watch = new Watch(url, options);
  try {
    const headers = {
      "Accept-Encoding": "identity",
      ...(resume && { Range: `bytes=${have}-`, "If-Range": validator }),
    };
    const response = await watch.during(fetch(url, { headers, signal: watch.signal }));
    const start = response.status === 206 ? rangeStart(response) : 0;
    if (resume && (response.status === 416 || (start !== 0 && start !== have))) {
      await rm(part);
      throw new DownloadError(url, `could not be continued at byte ${have}: the server's file has changed`);
    }
    if (!response.ok || response.body === null) {
      const permanent = response.status >= 400 && response.status < 500 && ![408, 429].includes(response.status);
      throw new DownloadError(url, `the server answered ${response.status} ${response.statusText}`.trim(), {
        permanent,
      });
    }
    await using file = await open(part, start === 0 ? "w" : "r+");
    if (start === 0) await writeFile(`${part}.validator`, validatorOf(response));
    await append(url, file, start, response, watch, options);
    await file.sync();
    return start > 0;
  } finally {
    watch.stop();
  }
}

/** Writes the body of a response from byte `start` on. */
async function append(
  url: string,
  file: FileHandle,
  start: number,
  response: Response,
  watch: Watch,
  { size, onProgress }: DownloadOptions,
): Promise<void> {
  const length = response.headers.get("content-length");
  const total = size ?? (length === null ? undefined : start + Number(length));
  const reader = response.body!.getReader();
  let at = start;
  for (;;) {
    const { value, done } = await watch.during(reader.read());
    if (done) break;
    if (total !== undefined && at + value.length > total) {
      throw new DownloadError(url, `has more than the expected ${total} bytes`, { permanent: true });
    }
    for (let written = 0; written < value.length;) {
      written += (await file.write(value, written, value.length - written, at + written)).bytesWritten;
    }
    at += value.length;
    onProgress?.(at, total);
  }
  if (total !== undefined && at !== total) throw new DownloadError(url, `ended after ${at} of ${total} bytes`);
}

/** Throws, and removes the file so that nothing is built on it, unless its checksum is right. */
async function verify(url: string, part: string, resumed: boolean, { md5 }: DownloadOptions): Promise<void> {
  if (md5 === undefined) return;
  const hasher = new Bun.CryptoHasher("md5");
  for await (const chunk of Bun.file(part).stream()) hasher.update(chunk);
  const found = hasher.digest("hex");
  if (found === md5) return;
  await rm(part);
  await rm(`${part}.validator`, { force: true });
  throw new DownloadError(url, `has the MD5 ${found}; expected ${md5}`, { permanent: !resumed });
}

/** Ends a request when nothing has arrived for the time that `timeout` allows, or the caller's signal says so. */
class Watch {
  private readonly controller = new AbortController();
  readonly signal: AbortSignal;
  private readonly url: string;
  private readonly options: DownloadOptions;

  constructor(url: string, options: DownloadOptions) {
    this.url = url;
    this.options = options;
    this.signal = options.signal ? AbortSignal.any([this.controller.signal, options.signal]) : this.controller.signal;
  }

  /** What `promise` gives, unless it takes too long. */
  async during<T>(promise: Promise<T>): Promise<T> {
    const { timeout = 30_000 } = this.options;
    const problem = `nothing arrived for ${timeout / 1000} seconds`;
    const timer = setTimeout(() => this.controller.abort(new DownloadError(this.url, problem)), timeout);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the connection, if it is still open. */
  stop(): void {
    this.controller.abort();
  }
}

function rangeStart(response: Response): number {
  const match = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return match === null ? NaN : Number(match[1]);
}

/** What identifies this version of the file: a strong ETag, else its date, else nothing. */
function validatorOf({ headers }: Response): string {
  const etag = headers.get("etag");
  return etag !== null && !etag.startsWith("W/") ? etag : (headers.get("last-modified") ?? "");
}
