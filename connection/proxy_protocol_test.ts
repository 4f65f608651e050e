import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { concat } from "@std/bytes";
import { connect, Connection } from "../mod.ts";
import { ChunkDecoder, FramingError, lines } from "../framing.ts";
import { caCerts, certificate } from "../dev/testdata/certificates.ts";
import { transportPair } from "../testing/transport_pair.ts";
import type { ServeTcpOptions } from "../server/options.ts";
import { serve } from "../server/serve.ts";
import { proxyHeaderDecoder } from "./_proxy_header.ts";
import { readProxyHeader } from "./proxy_protocol.ts";
import type { Address } from "./transport.ts";

const encoder = new TextEncoder();
const framing = lines();
const loopback = { hostname: "127.0.0.1", port: 0, framing };

const SIGNATURE = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
const IPV4 = [192, 0, 2, 1, 192, 0, 2, 9, 0xdc, 4, 1, 0xbb];
const IPV6 = [
  ...[0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1],
  ...[0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 2],
  ...[0xdc, 4, 1, 0xbb],
];
const MAPPED = [...Array(10).fill(0), 255, 255, 192, 0, 2, 1];
// A TLV of an unknown kind, of three bytes.
const TLV = [0xe0, 0, 3, 1, 2, 3];

/** A header of version 2; `rest` comes after its first 16 bytes. */
function v2(command: number, family: number, rest: number[]): Uint8Array {
  const length = [rest.length >> 8, rest.length & 0xff];
  return Uint8Array.from([...SIGNATURE, command, family, ...length, ...rest]);
}

function unixPath(name: string): number[] {
  const path = new Uint8Array(108);
  path.set(encoder.encode(name));
  return [...path];
}

const tcp = (hostname: string, port: number) =>
  ({ transport: "tcp", hostname, port }) as const;

const HEADERS: [header: string | Uint8Array, source: Address | undefined][] = [
  ["PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n", tcp("192.0.2.1", 56_324)],
  ["PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n", tcp("255.255.255.255", 0)],
  ["PROXY TCP6 2001:db8::1 2001:DB8::2 1 2\r\n", tcp("2001:db8::1", 1)],
  [
    "PROXY TCP6 2001:0DB8:0:0::0001 ::1 65535 2\r\n",
    tcp("2001:db8::1", 65_535),
  ],
  [
    `PROXY TCP6 ${"ffff:".repeat(7)}ffff ${
      "ffff:".repeat(7)
    }ffff 65535 65535\r\n`,
    tcp(`${"ffff:".repeat(7)}ffff`, 65_535),
  ],
  ["PROXY TCP6 ::FFFF:192.0.2.1 ::1 1 2\r\n", tcp("::ffff:192.0.2.1", 1)],
  ["PROXY TCP6 ::ffff:a:b0c ::1 1 2\r\n", tcp("::ffff:0.10.11.12", 1)],
  ["PROXY UNKNOWN\r\n", undefined],
  [`PROXY UNKNOWN ${"x".repeat(91)}\r\n`, undefined], // 107 bytes, the maximum
  [v2(0x21, 0x11, IPV4), tcp("192.0.2.1", 56_324)],
  [v2(0x21, 0x11, [...IPV4, ...TLV]), tcp("192.0.2.1", 56_324)],
  [v2(0x21, 0x11, [...IPV4, ...Array(5000).fill(7)]), tcp("192.0.2.1", 56_324)],
  [v2(0x21, 0x21, IPV6), tcp("2001:db8::1", 56_324)],
  [v2(0x21, 0x21, [...IPV6, ...TLV]), tcp("2001:db8::1", 56_324)],
  [
    v2(0x21, 0x21, [...MAPPED, ...IPV6.slice(16)]),
    tcp("::ffff:192.0.2.1", 56_324),
  ],
  [v2(0x21, 0x12, IPV4), { ...tcp("192.0.2.1", 56_324), transport: "udp" }],
  [
    v2(0x21, 0x31, [...unixPath("/run/app.sock"), ...unixPath("/run/b")]),
    { transport: "unix", path: "/run/app.sock" },
  ],
  [
    v2(0x21, 0x31, [...unixPath("\0abstract"), ...unixPath("")]),
    { transport: "unix", path: "\0abstract" },
  ],
  [
    v2(0x21, 0x32, [...unixPath(""), ...unixPath("")]),
    { transport: "unix", path: null },
  ],
  [v2(0x21, 0x00, []), undefined],
  [v2(0x21, 0x00, TLV), undefined],
  [v2(0x20, 0x00, []), undefined],
  [v2(0x20, 0x11, IPV4), undefined], // the proxy's own connection
  [v2(0x20, 0xff, TLV), undefined], // whose family is ignored
];

function toBytes(header: string | Uint8Array): Uint8Array {
  return typeof header === "string" ? encoder.encode(header) : header;
}

/** Decodes a header that arrives in two chunks, and returns the bytes left after it. */
function decodeCut(bytes: Uint8Array, cut: number): Address | undefined {
  const decoder = new ChunkDecoder({ decoder: proxyHeaderDecoder });
  const early = decoder.decode(bytes.subarray(0, cut));
  const [header, ...more] = cut === bytes.length
    ? early
    : [...early, ...decoder.decode(bytes.subarray(cut))];
  assertEquals(more, []);
  assert(header !== undefined);
  if (cut < bytes.length) assertEquals(early, [], `cut at ${cut}`);
  return header.source;
}

Deno.test("proxyHeaderDecoder() reads every kind of header, in every cut", () => {
  for (const [header, source] of HEADERS) {
    const bytes = toBytes(header);
    for (let cut = 0; cut <= bytes.length; cut++) {
      assertEquals(decodeCut(bytes, cut), source);
    }
    const byByte = new ChunkDecoder({ decoder: proxyHeaderDecoder });
    const headers = [...bytes].flatMap((each) =>
      byByte.decode(Uint8Array.of(each))
    );
    assertEquals(headers.map(({ source }) => source), [source]);
    assertEquals(byByte.end(), []);
  }
});

const REFUSED: [bytes: string | Uint8Array, code: string][] = [
  ["GET / HTTP/1.1\r\n", "malformed"],
  ["PROXX", "malformed"],
  ["proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"],
  ["\r\n\r\nX", "malformed"],
  ["PROXY \r\n", "malformed"],
  ["PROXY TCP4\r\n", "malformed"],
  ["PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"],
  ["PROXY UNKNOWNS\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "malformed"],
  ["PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 0x1 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 ::1 1 2\r\n", "malformed"],
  ["PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"],
  ["PROXY TCP6 ::1 ::g 1 2\r\n", "malformed"],
  ["PROXY TCP6 ::1]@[::2 ::1 1 2\r\n", "malformed"],
  ["PROXY TCP6 1::2::3 ::1 1 2\r\n", "malformed"],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n", "malformed"],
  [`PROXY UNKNOWN ${"x".repeat(92)}\r\n`, "too-long"],
  [`PROXY UNKNOWN ${"x".repeat(93)}`, "too-long"],
  [`PROXY UNKNOWN ${"x".repeat(1000)}`, "too-long"],
  [v2(0x11, 0x11, IPV4), "malformed"], // another version
  [v2(0x22, 0x11, IPV4), "malformed"], // another command
  [v2(0x21, 0x10, IPV4), "malformed"],
  [v2(0x21, 0x13, IPV4), "malformed"],
  [v2(0x21, 0x41, IPV4), "malformed"],
  [v2(0x21, 0x11, IPV4.slice(1)), "malformed"],
  [v2(0x21, 0x21, IPV6.slice(1)), "malformed"],
  [v2(0x21, 0x31, unixPath("/run/app.sock")), "malformed"],
  [v2(0x21, 0x11, Array(16 * 1024 + 1).fill(0)), "too-long"],
  [Uint8Array.from([...SIGNATURE, 0x21, 0x11, 0xff, 0xff]), "too-long"],
];

Deno.test("proxyHeaderDecoder() refuses a damaged or too long header, also byte by byte", () => {
  for (const [damaged, code] of REFUSED) {
    const bytes = toBytes(damaged);
    for (const size of [1, bytes.length]) {
      const decoder = new ChunkDecoder({ decoder: proxyHeaderDecoder });
      const error = assertThrows(
        () => {
          for (let i = 0; i < bytes.length; i += size) {
            assertEquals(decoder.decode(bytes.subarray(i, i + size)), []);
          }
        },
        FramingError,
        "Cannot read PROXY header",
        String(damaged),
      );
      assertEquals(error.code, code, String(damaged));
    }
  }
});

Deno.test("proxyHeaderDecoder() refuses a header that ends early, at every byte", () => {
  for (const [header] of HEADERS) {
    const bytes = toBytes(header);
    for (let end = 1; end < bytes.length; end++) {
      const decoder = new ChunkDecoder({ decoder: proxyHeaderDecoder });
      assertEquals(decoder.decode(bytes.subarray(0, end)), []);
      const { code } = assertThrows(() => decoder.end(), FramingError);
      assertEquals(code, "truncated");
    }
  }
});

Deno.test("readProxyHeader() reports a header that the peer has cut off", async () => {
  for (const part of ["", "PROXY TCP4 192"]) {
    const [near, far] = transportPair();
    await far.write(encoder.encode(part));
    await far.closeWrite();
    const error = await assertRejects(
      () => readProxyHeader(near, (source) => source),
      FramingError,
      "Cannot read PROXY header: the peer ended before it was whole",
    );
    assertEquals(error.code, "truncated");
    near.close();
    far.close();
  }
});

Deno.test("readProxyHeader() refuses an impossible result of read()", async () => {
  for (const length of [NaN, -1, 1.5, 100_000]) {
    const [transport] = transportPair();
    let reads = 0;
    transport.read = () =>
      ++reads < 100 ? Promise.resolve(length) : Promise.resolve(null);
    const error = await assertRejects(() =>
      readProxyHeader(transport, (source) => source)
    );
    assertInstanceOf(error, RangeError);
    assertEquals(reads, 1);
    transport.close();
  }
});

Deno.test("readProxyHeader() leaves the bytes after the header to the connection", async () => {
  for (const [header, source] of HEADERS) {
    const [near, far] = transportPair();
    await far.write(concat([toBytes(header), encoder.encode("hello")]));
    const transport = await readProxyHeader(near, (source) => source);
    assertEquals(transport.remoteAddr, source);
    const pieces: string[] = [];
    const buffer = new Uint8Array(2);
    for (let i = 0; i < 3; i++) {
      const length = await transport.read(buffer);
      pieces.push(new TextDecoder().decode(buffer.subarray(0, length ?? 0)));
    }
    assertEquals(pieces, ["he", "ll", "o"]);
    await far.write(encoder.encode("!"));
    assertEquals(await transport.read(buffer), 1);
    transport.close();
    far.close();
  }
});

Deno.test("readProxyHeader() returns a transport with reset() if the given one has it", async () => {
  const [near, far] = transportPair();
  await far.write(encoder.encode("PROXY UNKNOWN\r\n"));
  const transport = await readProxyHeader(near, (source) => source);
  transport.reset?.();
  const error = await assertRejects(() => far.read(new Uint8Array(1)), Error);
  assertEquals(error.name, "ConnectionReset");
});

// ---- Within serve()

/** Opens a connection like a load balancer. */
async function dial(
  port: number,
  header: string | Uint8Array,
): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const bytes = toBytes(header);
  for (let sent = 0; sent < bytes.length;) {
    sent += await conn.write(bytes.subarray(sent));
  }
  return conn;
}

/** What the server sends until it ends. */
async function readAll(conn: Deno.Conn): Promise<string> {
  using _closed = conn;
  const buffer = new Uint8Array(1000);
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const length = await conn.read(buffer);
    if (length === null) return text;
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
}

async function tellAddress(
  connection: Connection<string, string>,
  { remoteAddr }: { remoteAddr: Deno.NetAddr },
): Promise<void> {
  assertEquals(connection.remoteAddr, remoteAddr);
  await connection.send(`${remoteAddr.hostname} ${remoteAddr.port}`);
  for await (const line of connection) await connection.send(line);
}

Deno.test("serve() with proxyProtocol gives the client's address, and loses no byte", async () => {
  await using server = serve({ ...loopback, proxyProtocol: true }, tellAddress);
  const { port } = server.addr;
  for (const [header, source] of HEADERS) {
    const bytes = concat([toBytes(header), encoder.encode("a\nb\n")]);
    const conn = await dial(port, bytes);
    await conn.closeWrite();
    const { hostname, port: ownPort } = conn.localAddr;
    const expected = source !== undefined && "hostname" in source
      ? `${source.hostname} ${source.port}`
      : `${hostname} ${ownPort}`;
    assertEquals(await readAll(conn), `${expected}\na\nb\n`);
  }
});

Deno.test("serve() with proxyProtocol refuses damaged headers before the handler, and serves others", async () => {
  const errors: unknown[] = [];
  let handled = 0;
  await using server = serve({
    ...loopback,
    proxyProtocol: true,
    onError: (error, connection) => {
      assertEquals(connection, undefined);
      errors.push(error);
    },
  }, async (connection, info) => {
    handled++;
    await tellAddress(connection, info);
  });
  const { port } = server.addr;
  for (const [damaged] of [["", ""], ["PROXY ", ""], ...REFUSED]) {
    using conn = await dial(port, damaged ?? "");
    await conn.closeWrite();
    // Unread bytes reset the connection.
    const buffer = new Uint8Array(1);
    const said = await conn.read(buffer).catch((error: Error) => error.name);
    assert(said === null || said === "ConnectionReset", `${said}`);
  }
  assertEquals(handled, 0);
  assertEquals(errors.length, REFUSED.length + 2);
  for (const error of errors) {
    assert(error instanceof FramingError);
    assert(/^Cannot shake hands with 127\.0\.0\.1:\d+: /.test(error.message));
  }
  using conn = await dial(port, "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n");
  await conn.closeWrite();
  assertEquals(await readAll(conn), "1.2.3.4 1\n");
});

Deno.test("serve() with proxyProtocol ends a peer whose header is late", async () => {
  for (const begun of ["", "PROXY TCP4 1.2"]) {
    const report = Promise.withResolvers<unknown>();
    await using server = serve({
      ...loopback,
      proxyProtocol: true,
      handshakeTimeout: 1,
      onError: report.resolve,
    }, tellAddress);
    using conn = await dial(server.addr.port, begun);
    const error = await report.promise;
    assert(error instanceof DOMException);
    assertEquals(error.name, "TimeoutError");
    assertEquals(await conn.read(new Uint8Array(1)), null);
  }
});

Deno.test("serve() with proxyProtocol shuts down while it waits for a header", async () => {
  const server = serve({ ...loopback, proxyProtocol: true }, tellAddress);
  using conn = await dial(server.addr.port, "PROXY ");
  using other = await dial(server.addr.port, "PROXY UNKNOWN\r\n");
  // The first was accepted before this one was served.
  assert(await other.read(new Uint8Array(100)) !== null);
  await Promise.all([server.shutdown(), other.closeWrite()]);
  assertEquals(await conn.read(new Uint8Array(1)), null);
});

Deno.test("serve() with proxyProtocol filters and counts clients, not the balancer", async () => {
  const asked: string[] = [];
  await using server = serve({
    ...loopback,
    proxyProtocol: true,
    maxConnectionsPerAddress: 1,
    filter({ hostname }) {
      asked.push(hostname);
      return hostname !== "6.6.6.6";
    },
  }, tellAddress);
  const header = (client: string, port: number) =>
    `PROXY TCP4 ${client} 5.6.7.8 ${port} 2\r\n`;
  const firstLine = async (conn: Deno.TcpConn) => {
    const buffer = new Uint8Array(100);
    const length = await conn.read(buffer);
    return length === null
      ? undefined
      : new TextDecoder().decode(buffer.subarray(0, length));
  };
  const { port } = server.addr;
  const first = await dial(port, header("1.1.1.1", 1));
  assertEquals(await firstLine(first), "1.1.1.1 1\n");
  using second = await dial(port, header("2.2.2.2", 2));
  assertEquals(await firstLine(second), "2.2.2.2 2\n");
  using sameAsFirst = await dial(port, header("1.1.1.1", 3));
  assertEquals(await firstLine(sameAsFirst), undefined);
  using filtered = await dial(port, header("6.6.6.6", 4));
  assertEquals(await firstLine(filtered), undefined);
  await first.closeWrite();
  assertEquals(await readAll(first), "");
  using again = await dial(port, header("1.1.1.1", 5));
  assertEquals(await firstLine(again), "1.1.1.1 5\n");
  assertEquals(asked, ["1.1.1.1", "2.2.2.2", "1.1.1.1", "6.6.6.6", "1.1.1.1"]);
});

Deno.test("serve() with proxyProtocol starts TLS after the header", async () => {
  await using server = serve(
    { ...loopback, proxyProtocol: true },
    async (connection, { remoteAddr }) => {
      await connection.startTls({ side: "server", ...certificate });
      await connection.send(remoteAddr.hostname);
      for await (const line of connection) await connection.send(line);
    },
  );
  // A balancer that adds the header to what its client sends.
  await using balancer = serve({
    hostname: "127.0.0.1",
    port: 0,
    framing,
  }, async (connection) => {
    const { transport } = await connection.detach();
    const back = await dial(
      server.addr.port,
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    );
    await Promise.all([pump(transport, back), pump(back, transport)]);
    transport.close();
    back.close();
  });
  await using client = await connect({
    port: balancer.addr.port,
    framing,
    tls: { caCerts },
  });
  assertEquals(await client.receive(), "1.2.3.4");
  assertEquals(await client.request("secret"), "secret");
});

Deno.test("serve() with proxyProtocol starts TLS although the peer is watched", async () => {
  // Each of them makes the connection read ahead.
  for (const watching of [{ maxConnections: 1 }, { receiveTimeout: 60_000 }]) {
    await using server = serve(
      { ...loopback, proxyProtocol: true, ...watching },
      async (connection) => {
        await connection.startTls({ side: "server", ...certificate });
        await connection.send("welcome");
      },
    );
    const transport = await dial(server.addr.port, "PROXY UNKNOWN\r\n");
    await using client = new Connection(transport, { framing });
    await client.startTls({ serverName: "localhost", caCerts });
    assertEquals(await client.receive(), "welcome");
  }
});

interface Pumped {
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
}

async function pump(from: Pumped, to: Pumped): Promise<void> {
  const buffer = new Uint8Array(16 * 1024);
  for (;;) {
    const length = await from.read(buffer).catch(() => null);
    if (length === null) return await to.closeWrite().catch(() => {});
    for (let sent = 0; sent < length;) {
      sent += await to.write(buffer.subarray(sent, length));
    }
  }
}

Deno.test("serve() with proxyProtocol takes a Unix listener, whose clients have addresses", async () => {
  if (Deno.build.os === "windows") return;
  const folder = await Deno.makeTempDir();
  const path = `${folder}/socket`;
  const listener = Deno.listen({ transport: "unix", path });
  await using _server = serve(
    {
      listener,
      framing,
      proxyProtocol: true,
      maxConnectionsPerAddress: 1,
    },
    (connection, { remoteAddr }) => connection.send(JSON.stringify(remoteAddr)),
  );
  for (
    const [header, source] of HEADERS.filter(([, source]) =>
      source?.transport !== "udp"
    )
  ) {
    const conn = await Deno.connect({ transport: "unix", path });
    await conn.write(toBytes(header));
    await conn.closeWrite();
    const told = await readAll(conn);
    assertEquals(
      JSON.parse(told),
      source ?? { transport: "unix", path: null },
    );
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("serve() with proxyProtocol gives the balancer's address for a client without a network address", async () => {
  await using server = serve({ ...loopback, proxyProtocol: true }, tellAddress);
  const header = v2(0x21, 0x31, [...unixPath("/a"), ...unixPath("/b")]);
  const conn = await dial(server.addr.port, header);
  await conn.closeWrite();
  const { port } = conn.localAddr;
  assertEquals(await readAll(conn), `127.0.0.1 ${port}\n`);
});

Deno.test("serve() with proxyProtocol reports connections of a TLS listener as errors", async () => {
  const report = Promise.withResolvers<unknown>();
  const listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    ...certificate,
  });
  await using _server = serve({
    listener,
    framing,
    proxyProtocol: true,
    onError: report.resolve,
  }, () => {});
  using _conn = await dial(listener.addr.port, "PROXY UNKNOWN\r\n");
  const error = await report.promise;
  assert(error instanceof TypeError);
  assert(error.message.includes("before TLS"));
});

Deno.test("serve() refuses proxyProtocol with tls, with path and of another type", () => {
  const cases: [options: object, message: string][] = [
    [{ tls: certificate, proxyProtocol: true }, "proxyProtocol with tls"],
    [{ path: "/tmp/x", proxyProtocol: true }, "proxyProtocol with path"],
    [{ proxyProtocol: "v2" }, "proxyProtocol as it must be true or false"],
    [
      { proxyProtocol: false, handshakeTimeout: 1 },
      "without tls or proxyProtocol",
    ],
  ];
  for (const [options, message] of cases) {
    assertThrows(
      () =>
        serve(
          { framing, ...options } as ServeTcpOptions<string, string>,
          () => {},
        ),
      TypeError,
      message,
    );
  }
});

Deno.test("readProxyHeader() refuses a peerAddr that is not a function before it reads", async () => {
  const [near] = transportPair();
  await assertRejects(
    () => readProxyHeader(near, "127.0.0.1" as never),
    TypeError,
    "peerAddr must be a function",
  );
  assertEquals(near.isReading, false);
});
