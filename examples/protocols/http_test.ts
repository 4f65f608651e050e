import { connect, FramingError, serve, unframed } from "@framed/tcp";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  start,
  startExample,
} from "../../dev/interop/_peers.ts";
import { fetchOver, framing } from "./http.ts";

const hostname = "127.0.0.1";
const hasNode = await isInstalled("node");
const BIG = 50_000_000;

// The path selects the response; it prints its port.
const NODE_SERVER = `
const server = require("node:http").createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  switch (request.url) {
    case "/echo":
      response.setHeader("X-Method", request.method);
      response.setHeader("Content-Length", Buffer.byteLength(body));
      return response.end(body);
    case "/chunks":
      response.setHeader("Trailer", "X-Sum");
      for (const each of ["hello ", "world", "!".repeat(1000)]) {
        response.write(each);
        await new Promise(setImmediate);
      }
      response.addTrailers({ "X-Sum": "1" });
      return response.end();
    case "/early":
      response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      return response.end("late");
    case "/none":
      response.statusCode = 204;
      return response.end();
    case "/big":
      response.setHeader("Content-Length", ${BIG});
    case "/big-chunks": {
      const piece = Buffer.alloc(100_000, "x");
      for (let sent = 0; sent < ${BIG}; sent += piece.length) {
        if (!response.write(piece)) {
          await new Promise((resolve) => response.once("drain", resolve));
        }
      }
      return response.end();
    }
    case "/close":
      response.useChunkedEncodingByDefault = false;
      response.shouldKeepAlive = false;
      response.write("to ");
      return response.end("the end");
  }
  response.statusCode = 404;
  response.end("?");
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
`;

peerTest(hasNode, "http.ts reads bodies of each kind from Node", async () => {
  await using node = start(["node", "-e", NODE_SERVER]);
  const [port = ""] = await lineThat(node.stdout, /^(\d+)$/);
  await using connection = await connect({ port: Number(port), framing });
  const ask = (path: string, init?: RequestInit) =>
    fetchOver(connection, new Request(`http://localhost:${port}${path}`, init));

  // All on one connection.
  const echo = await ask("/echo", { method: "POST", body: "é\r\n\r\n0\r\n" });
  assertEquals([echo.status, echo.headers.get("x-method")], [200, "POST"]);
  assertEquals(await echo.text(), "é\r\n\r\n0\r\n");
  const chunks = await ask("/chunks");
  assertEquals(chunks.headers.get("transfer-encoding"), "chunked");
  assertEquals(await chunks.text(), `hello world${"!".repeat(1000)}`);
  assertEquals(await (await ask("/early")).text(), "late");
  assertEquals((await ask("/none")).status, 204);
  assertEquals((await ask("/echo", { method: "HEAD" })).body, null);
  assertEquals(await (await ask("/nowhere")).text(), "?");
  for (const path of ["/big", "/big-chunks"]) {
    const { body } = await ask(path);
    let length = 0;
    for await (const piece of body ?? []) {
      length += piece.length;
      assert(piece.length <= 1_000_000);
    }
    assertEquals(length, BIG);
  }
  const last = await ask("/close");
  assertEquals(last.headers.get("content-length"), null);
  assertEquals(last.headers.get("transfer-encoding"), null);
  assertEquals(await last.text(), "to the end");
  await connection.close();

  await using example = startExample("protocols/http.ts", [], [
    `http://127.0.0.1:${port}/chunks`,
  ]);
  assertEquals((await assertSuccess(example)).at(-1), "1011 bytes of body");
});

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

const DAMAGED: [response: string, error: string][] = [
  ["HELLO\r\n\r\n", "malformed"],
  ["HELLO\r\n", "truncated"],
  ["HTTP/1.1 999 No\r\n\r\n", "malformed"],
  [`${OK}no colon\r\n\r\n`, "malformed"],
  [`${OK}a: 1\r\n b: folded\r\n\r\n`, "malformed"],
  [`${OK}a: 1\nb: 2\r\n\r\n`, "malformed"],
  [`${OK}a: \0\r\n\r\n`, "malformed"],
  [`${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, "malformed"],
  [`${OK}Content-Length: -1\r\n\r\n`, "malformed"],
  [
    `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "malformed",
  ],
  [`${OK}Transfer-Encoding: gzip\r\n\r\n`, "malformed"],
  [`${OK}a: ${"x".repeat(9000)}\r\n\r\n`, "too-long"],
  [`${OK}${"a: 1\r\n".repeat(2000)}\r\n`, "too-long"],
  [`${CHUNKED}xyz\r\n`, "malformed"],
  [`${CHUNKED}-1\r\n`, "malformed"],
  [`${CHUNKED}ffffffffffffffff\r\n`, "malformed"],
  [`${CHUNKED}2\r\nabcd\r\n0\r\n\r\n`, "malformed"],
  [`${CHUNKED}2\r\na`, "UnexpectedEof"],
  [`${CHUNKED}2\r\nab\r\n`, "UnexpectedEof"],
  [`${CHUNKED}2`, "truncated"],
  [`${OK}Content-Length: 5\r\n\r\nab`, "UnexpectedEof"],
  [`${OK}a: 1\r\n`, "truncated"],
  ["HTTP/1.1 200", "truncated"],
  ["", "UnexpectedEof"],
];

Deno.test("http.ts ends with a named error if a response is damaged", async () => {
  let answer = "";
  await using server = serve(
    { hostname, port: 0, framing: unframed() },
    async (connection) => {
      await connection.receive();
      if (answer !== "") await connection.send(answer);
    },
  );
  const { port } = server.addr;
  for (const [damaged, name] of DAMAGED) {
    answer = damaged;
    await using connection = await connect({ port, framing });
    const request = new Request(`http://localhost:${port}/`);
    const error = await assertRejects(
      async () => await (await fetchOver(connection, request)).text(),
      Error,
    );
    assertEquals(
      error instanceof FramingError ? error.code : error.name,
      name,
      damaged.slice(0, 80),
    );
  }
});
