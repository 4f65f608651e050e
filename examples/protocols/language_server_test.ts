import { type ByteStreams, Connection, FramingError } from "@framed/tcp";
import { connectionPair, verifyFraming } from "@framed/tcp/testing";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { framing, openClient } from "./language_server.ts";

Deno.test("language_server.ts queries deno lsp about a program", async () => {
  const child = new Deno.Command("deno", {
    args: ["lsp", "--quiet"],
    stdin: "piped",
    stdout: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  const streams: ByteStreams = {
    readable: child.stdout,
    writable: child.stdin,
  };
  const diagnosed = Promise.withResolvers<string>();
  {
    await using connection = new Connection(streams, { framing });
    const ask = openClient(connection, (method, params) => {
      const text = JSON.stringify(params);
      if (method.endsWith("publishDiagnostics") && text.includes("2322")) {
        diagnosed.resolve(text);
      }
    });
    await ask("initialize", {
      capabilities: {},
      initializationOptions: { enable: true },
    });
    await connection.send({ method: "initialized", params: {} });
    const uri = "file:///example.ts";
    const text = "export const answer: string = 42;\n";
    const textDocument = { uri, languageId: "typescript", version: 1, text };
    await connection.send({
      method: "textDocument/didOpen",
      params: { textDocument },
    });
    assertStringIncludes(await diagnosed.promise, "not assignable");
    // Several concurrent requests, answered in any order.
    const symbols = Array.from(
      { length: 5 },
      () =>
        ask("textDocument/documentSymbol", {
          textDocument: { uri },
        }),
    );
    for (const found of await Promise.all(symbols)) {
      assertStringIncludes(JSON.stringify(found), "answer");
    }
    await assertRejects(() => ask("no/such/method"), Error);
    await ask("shutdown");
    await connection.send({ method: "exit" });
    assertEquals((await child.status).code, 0);
  }
});

Deno.test("language_server.ts names the error in a server's message", async () => {
  for (const body of ["[1]", '{"id":1}', "{", '{"jsonrpc":"2.0"}']) {
    const said = `Content-Length: ${body.length}\r\n\r\n${body}`;
    const readable = new Blob([said]).stream();
    const writable = new WritableStream<Uint8Array>();
    const streams = { readable, writable };
    await using connection = new Connection(streams, { framing });
    const ask = openClient(connection, () => {});
    await assertRejects(() => ask("initialize"), FramingError);
  }
});

Deno.test("language_server.ts answers a server's request, and continues", async () => {
  await using pair = connectionPair({ framing });
  const heard: unknown[] = [];
  const ask = openClient(pair.near, (...each) => heard.push(each));
  await pair.far.send({ id: 7, method: "workspace/configuration", params: {} });
  assertEquals((await pair.far.expect()).error?.code, -32601);
  await pair.far.send({ method: "log", params: { text: "hi" } });
  const answer = ask("shutdown");
  const { id = 0 } = await pair.far.expect();
  await pair.far.send({ id, result: "done" });
  assertEquals(await answer, "done");
  assertEquals(heard, [["log", { text: "hi" }]]);
});

Deno.test("language_server.ts frames messages", () => {
  const messages = [{ id: 1, method: "a" }, { id: 1, result: "é" }];
  const received = messages.map((each) => ({ jsonrpc: "2.0", ...each }));
  verifyFraming(framing, messages, { received });
});
