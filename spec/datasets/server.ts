/** A server that answers as each test of downloads wants it to: well, in part, or not at all. */
import { afterAll, afterEach } from "bun:test";
import { createServer, type IncomingHttpHeaders } from "node:http";

import { listen } from "../support/web.ts";

/** What the server has. */
export const content = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
export const md5 = new Bun.CryptoHasher("md5").update(content).digest("hex");

/** What a request is answered with. */
export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: Uint8Array | string;
  /** What happens after the body, if more was announced: the connection breaks, or stays silent. */
  ending?: "break" | "silence";
}

const ETAG = { etag: '"v1"' };
/** What the server has. */
export const contentRange = (start: number): Record<string, string> => ({
  "content-range": `bytes ${start}-${content.length - 1}/${content.length}`,
});

/** As a good server answers: whole, or the range that is asked for if the ETag is still the same. */
export function good({ range = "", "if-range": version }: IncomingHttpHeaders, headers = ETAG): Reply {
  const from = /^bytes=(\d+)-$/.exec(range);
  if (from === null || version !== headers.etag) return { headers, body: content };
  const start = Number(from[1]);
  if (start >= content.length) return { status: 416 };
  return { status: 206, headers: { ...headers, ...contentRange(start) }, body: content.subarray(start) };
}

/** Announces everything from `start` on, sends `count` bytes of it, and then breaks off or goes silent. */
export function partial(start: number, count: number, ending: "break" | "silence"): Reply {
  const headers = start > 0 ? { ...ETAG, ...contentRange(start), "content-length": `${content.length - start}` } : ETAG;
  return { status: start > 0 ? 206 : 200, headers, body: content.subarray(start, start + count), ending };
}

export interface Server {
  readonly url: string;
  /** What the server does; each test sets it. Null: nothing at all. */
  respond: (headers: IncomingHttpHeaders) => Reply | null;
  /** The Range header of every request of a test, in order; null where there was none. */
  ranges: (string | null)[];
}

/** A server for all tests of a file. */
export async function startServer(): Promise<Server> {
  const http = createServer((request, response) => {
    server.ranges.push(request.headers.range ?? null);
    const reply = server.respond(request.headers);
    if (reply === null) return;
    const { status = 200, headers = {}, body = "", ending } = reply;
    response.writeHead(status, { "content-length": ending ? content.length : body.length, ...headers });
    if (ending === undefined) response.end(body);
    else response.write(body, () => ending === "break" && setTimeout(() => response.destroy(), 10));
  });
  const server: Server = { url: await listen(http), respond: good, ranges: [] };
  afterAll(() => http.close());
  afterEach(() => {
    server.ranges = [];
  });
  return server;
}
