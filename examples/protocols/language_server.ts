/**
 * A client of the Language Server Protocol: `deno lsp` as a child process, whose standard
 * input and output are the transport.
 *
 * ```text
 * Content-Length: 52\r\n
 * \r\n
 * {"jsonrpc":"2.0","id":1,"method":"initialize",...}
 * ```
 *
 * Both sides ask. An answer has an `id` and no `method`; a notification has no `id`.
 *
 * ```sh
 * deno run --allow-run=deno examples/protocols/language_server.ts
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import {
  asJson,
  type ByteStreams,
  Connection,
  contentLength,
} from "@framed/tcp";
import { correlate, FramingError, mapped } from "@framed/tcp";

export interface Message {
  id?: number;
  method?: string;
  params?: Record<string, unknown> | undefined;
  result?: unknown;
  error?: { message: string };
}

export const framing = mapped(asJson(contentLength()), {
  decode(value) {
    if (isMessage(value)) return value;
    throw new FramingError("Cannot decode JSON-RPC message");
  },
  encode: (message: Message) => ({ jsonrpc: "2.0", ...message }),
});

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "jsonrpc" in value &&
    value.jsonrpc === "2.0" && ("id" in value || "method" in value);
}

export interface LanguageClient extends AsyncDisposable {
  /** Gives the result, or rejects with what the server says against it. */
  request(method: string, params?: Message["params"]): Promise<unknown>;
  notify(method: string, params?: Message["params"]): Promise<void>;
}

/** Speaks to a language server; `onNotification` gets what it says unasked. */
export function openClient(
  server: ByteStreams,
  onNotification: (method: string, params: unknown) => void,
): LanguageClient {
  const connection = new Connection(server, { framing });
  const { request } = correlate(connection, {
    id: ({ id, method }) => method === undefined ? id : undefined,
    async onMessage({ id, method = "", params }) {
      if (id === undefined) return onNotification(method, params);
      // Servers ask for settings, one for each item; other questions need no answer here.
      const items = Array.isArray(params?.items) ? params.items : undefined;
      const result = items?.map(() => ({ enable: true })) ?? null;
      await connection.send({ id, result });
    },
  });
  return {
    async request(method, params) {
      const { result, error } = await request((id) => ({ id, method, params }));
      if (error !== undefined) throw new Error(error.message);
      return result;
    },
    notify: (method, params) => connection.send({ method, params }),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

if (import.meta.main) {
  await using child = new Deno.Command("deno", {
    args: ["lsp", "--quiet"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const streams = { readable: child.stdout, writable: child.stdin };
  await using client = openClient(streams, (method, params) => {
    if (method === "textDocument/publishDiagnostics") console.log(params);
  });
  await client.request("initialize", {
    capabilities: {},
    initializationOptions: { enable: true },
  });
  await client.notify("initialized", {});
  const uri = "file:///example.ts";
  const text = "const answer = 42;\n";
  const textDocument = { uri, languageId: "typescript", version: 1, text };
  await client.notify("textDocument/didOpen", { textDocument });
  const position = { line: 0, character: 6 };
  const hover = { textDocument: { uri }, position };
  console.log(await client.request("textDocument/hover", hover));
  await client.request("shutdown");
  await client.notify("exit");
}
