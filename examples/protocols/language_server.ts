/**
 * A Language Server Protocol client: `deno lsp` as a child process, whose standard input
 * and output are the transport.
 *
 * ```text
 * Content-Length: 52\r\n
 * \r\n
 * {"jsonrpc":"2.0","id":1,"method":"initialize",...}
 * ```
 *
 * Both sides send requests. An answer has an `id` and no `method`; a notification has no
 * `id`.
 *
 * ```sh
 * deno run --allow-run=deno examples/protocols/language_server.ts
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { asJson, Connection, contentLength, correlate } from "@framed/tcp";
import { FramingError, mapped } from "@framed/tcp";

export interface Message {
  id?: number;
  method?: string;
  params?: Record<string, unknown> | undefined;
  result?: unknown;
  error?: { code: number; message: string };
}

export const framing = mapped(asJson(contentLength()), {
  decode(value) {
    if (isMessage(value)) return value;
    throw new FramingError("Cannot decode JSON-RPC message");
  },
  encode: (message: Message) => ({ jsonrpc: "2.0", ...message }),
});

const isMessage = (value: unknown): value is Message =>
  value instanceof Object && "jsonrpc" in value && value.jsonrpc === "2.0" &&
  ("id" in value || "method" in value);

/**
 * Returns a function that sends requests: it returns the result, or rejects with the
 * server's error. `onNotification` gets the server's notifications. To notify the server,
 * send a message without an id.
 */
export function openClient(
  connection: Connection<Message>,
  onNotification: (method: string, params: Message["params"]) => void,
): (method: string, params?: Message["params"]) => Promise<unknown> {
  const { request } = correlate(connection, {
    id: ({ id, method }) => method === undefined ? id : undefined,
    async onMessage({ id, method = "", params }) {
      if (id === undefined) return onNotification(method, params);
      await connection.send({ id, error: METHOD_NOT_FOUND });
    },
  });
  return async (method, params) => {
    const { result, error } = await request((id) => ({ id, method, params }));
    if (error !== undefined) throw new Error(error.message);
    return result;
  };
}
// A server asks for settings and the like only if `capabilities` allows it.
const METHOD_NOT_FOUND = { code: -32601, message: "Method not found" };

if (import.meta.main) {
  await using child = new Deno.Command("deno", {
    args: ["lsp", "--quiet"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const streams = { readable: child.stdout, writable: child.stdin };
  await using connection = new Connection(streams, { framing });
  const ask = openClient(connection, (method, params) => {
    if (method === "textDocument/publishDiagnostics") console.log(params);
  });
  await ask("initialize", {
    capabilities: {},
    initializationOptions: { enable: true },
  });
  await connection.send({ method: "initialized", params: {} });
  const uri = "file:///example.ts";
  const text = "const answer = 42;\n";
  const textDocument = { uri, languageId: "typescript", version: 1, text };
  await connection.send({
    method: "textDocument/didOpen",
    params: { textDocument },
  });
  const position = { line: 0, character: 6 };
  const hover = { textDocument: { uri }, position };
  console.log(await ask("textDocument/hover", hover));
  await ask("shutdown");
  await connection.send({ method: "exit" });
}
