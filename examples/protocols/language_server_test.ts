import { type ByteStreams, FramingError } from "@framed/tcp";
import { verifyFraming } from "@framed/tcp/testing";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { framing, openClient } from "./language_server.ts";

Deno.test("language_server.ts asks deno lsp about a program", async () => {
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
    await using client = openClient(streams, (method, params) => {
      const text = JSON.stringify(params);
      if (method.endsWith("publishDiagnostics") && text.includes("2322")) {
        diagnosed.resolve(text);
      }
    });
    await client.request("initialize", {
      capabilities: {},
      initializationOptions: { enable: true },
    });
    await client.notify("initialized", {});
    const uri = "file:///example.ts";
    const text = "export const answer: string = 42;\n";
    await client.notify("textDocument/didOpen", {
      textDocument: { uri, languageId: "typescript", version: 1, text },
    });
    assertStringIncludes(await diagnosed.promise, "not assignable");
    // Several together, answered in any order.
    const symbols = Array.from(
      { length: 5 },
      () =>
        client.request("textDocument/documentSymbol", {
          textDocument: { uri },
        }),
    );
    for (const found of await Promise.all(symbols)) {
      assertStringIncludes(JSON.stringify(found), "answer");
    }
    await assertRejects(() => client.request("no/such/method"), Error);
    await client.request("shutdown");
    await client.notify("exit");
    assertEquals((await child.status).code, 0);
  }
});

Deno.test("language_server.ts names what is wrong with a server's message", async () => {
  for (const body of ["[1]", '{"id":1}', "{", '{"jsonrpc":"2.0"}']) {
    const said = `Content-Length: ${body.length}\r\n\r\n${body}`;
    const readable = new Blob([said]).stream();
    const writable = new WritableStream<Uint8Array>();
    await using client = openClient({ readable, writable }, () => {});
    await assertRejects(() => client.request("initialize"), FramingError);
  }
});

Deno.test("language_server.ts frames messages", () => {
  const messages = [{ id: 1, method: "a" }, { id: 1, result: "é" }];
  const received = messages.map((each) => ({ jsonrpc: "2.0", ...each }));
  verifyFraming(framing, messages, { received });
});
