import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { lineThat, start } from "../../dev/interop/_peers.ts";
import { Kernel } from "./kernel.ts";
import { serveLesson } from "./server.ts";

/** The headers of a WebSocket request. */
const UPGRADE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/**
 * Sends a request with these headers, which a browser would not send, and returns the
 * status.
 */
async function statusOf(url: string, path: string, headers: string[]) {
  const { hostname, port } = new URL(url);
  using conn = await Deno.connect({ hostname, port: Number(port) });
  const request = [`GET ${path} HTTP/1.1`, ...headers, "Connection: close"];
  await conn.write(new TextEncoder().encode(request.join("\r\n") + "\r\n\r\n"));
  const answer = await new Response(conn.readable).text();
  return Number(answer.split(" ")[1]);
}

Deno.test("serveLesson() answers only requests from its own page", async () => {
  await using server = serveLesson(0, await Kernel.open());
  const { host } = new URL(server.url);
  const { port } = new URL(server.url);
  const own = `Host: ${host}`;
  const statuses = {
    own: await statusOf(server.url, "/", [own]),
    byName: await statusOf(server.url, "/", [`Host: localhost:${port}`]),
    otherHost: await statusOf(server.url, "/", [`Host: evil.example:${port}`]),
    otherOrigin: await statusOf(server.url, "/link", [
      own,
      "Origin: http://evil.example",
      ...UPGRADE,
    ]),
    otherPort: await statusOf(server.url, "/link", [
      own,
      "Origin: http://127.0.0.1:1",
      ...UPGRADE,
    ]),
    halfAsked: await statusOf(server.url, "/link", [own, "Upgrade: websocket"]),
    noSocket: await statusOf(server.url, "/link", [own]),
    elsewhere: await statusOf(server.url, "/server.ts", [own]),
  };
  assertEquals(statuses, {
    own: 200,
    byName: 200,
    otherHost: 403,
    otherOrigin: 403,
    otherPort: 403,
    halfAsked: 400,
    noSocket: 426,
    elsewhere: 404,
  });
});

Deno.test("The page loads nothing from elsewhere", async () => {
  await using server = serveLesson(0, await Kernel.open());
  const response = await fetch(server.url);
  const policy = response.headers.get("content-security-policy") ?? "";
  assertStringIncludes(policy, "default-src 'none'");
  const page = await response.text();
  assertEquals(page.match(/(?:src|href)="(?!#|data:)[^"]*"/g), null);
});

/** The CPU time of a process, in milliseconds, from Linux. */
async function busyTime(pid: number): Promise<number | undefined> {
  const { state } = await Deno.permissions.query({
    name: "run",
    command: "cat",
  });
  if (Deno.build.os !== "linux" || state !== "granted") return undefined;
  const { stdout } = await new Deno.Command("cat", {
    args: [`/proc/${pid}/stat`],
  }).output();
  // After the name in parentheses: 11 fields, then the ticks of 10 ms.
  const fields = new TextDecoder().decode(stdout).replace(/^.*\) /, "").split(
    " ",
  );
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

const REST_MS = 1000;

/** Starts the program on the given port. */
function startProgram(port: string) {
  return start([
    "deno",
    "run",
    "--quiet",
    "--no-prompt",
    "--allow-net=127.0.0.1",
    "--allow-read",
    "--allow-run=ss,cat",
    fileURLToPath(new URL("server.ts", import.meta.url)),
    `--port=${port}`,
  ]);
}

Deno.test("The program reports in one line that its port is invalid or in use", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (
    const [port, code, reason] of [
      ["x", 2, /^The port must be a whole number/],
      [`${listener.addr.port}`, 1, /^Cannot serve the lesson at port \d+: /],
    ] as const
  ) {
    await using program = startProgram(port);
    const errors = await Array.fromAsync(program.stderr);
    assertEquals((await program.status).code, code);
    assertEquals(errors.length, 1, `${errors}`);
    assertMatch(errors[0] ?? "", reason);
  }
});

Deno.test("The program ends at Ctrl-C although a page does not close", async () => {
  await using program = startProgram("0");
  const [url = ""] = await lineThat(program.stdout, /at (http:\S+) until/);
  const { hostname, host, port } = new URL(url);
  using conn = await Deno.connect({ hostname, port: Number(port) });
  const request = ["GET /link HTTP/1.1", `Host: ${host}`, ...UPGRADE, "", ""];
  await conn.write(new TextEncoder().encode(request.join("\r\n")));
  await conn.read(new Uint8Array(1000)); // it is open
  program.interrupt();
  assertEquals((await program.status).code, 0);
});

Deno.test("The program uses little CPU while a page is open, and ends at Ctrl-C", async () => {
  await using program = startProgram("0");
  const [url = ""] = await lineThat(program.stdout, /at (http:\S+) until/);
  const page = new WebSocket(new URL("link", url));
  const greeting: MessageEvent = await once(page, "message").then(([event]) =>
    event
  );
  assertStringIncludes(String(greeting.data), '"hello"');

  const before = await busyTime(program.pid);
  await new Promise((resolve) => setTimeout(resolve, REST_MS)); // CPU time is measured over this time
  const after = await busyTime(program.pid);
  if (before !== undefined && after !== undefined) {
    assert(after - before <= 0.03 * REST_MS, `busy for ${after - before} ms`);
  }

  const closed = once(page, "close");
  program.interrupt();
  await closed;
  assertEquals((await program.status).code, 0);
  const errors = await Array.fromAsync(program.stderr);
  assertEquals(errors.filter((line) => !line.startsWith("Info")), []);
});
