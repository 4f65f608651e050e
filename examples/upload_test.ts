import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  assertSuccess,
  lineThat,
  type Program,
  startExample,
  temporaryFolder,
} from "../dev/interop/_peers.ts";
import { type Bytes, connect, type Connection, serve } from "../mod.ts";
import { ChunkEncoder, lengthPrefixed } from "../framing.ts";

const framing = lengthPrefixed();

function upload(...flags: string[]): Program {
  return startExample("upload.ts", ["--allow-read", "--allow-write"], flags);
}

interface Receiver extends AsyncDisposable {
  program: Program;
  port: number;
  folder: string;
}

/** The server, which receives into its own folder. */
async function startReceiver(): Promise<Receiver> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await temporaryFolder());
  const program = stack.use(
    upload("--server", "--port", "0", "--folder", folder),
  );
  const [port] = await lineThat(program.stdout, /listening on port (\d+)/);
  const held = stack.move();
  return {
    program,
    port: Number(port),
    folder,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

function parse(message: Bytes | undefined): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(message));
}

/** A connection whose receiver waits for the chunks of a file. */
async function announced(
  { port }: Receiver,
  header: { name: string; size: number },
): Promise<Connection> {
  const connection = await connect({ port, framing });
  const answer = await connection.request(JSON.stringify(header));
  assertEquals(parse(answer), { ready: true });
  return connection;
}

Deno.test("upload.ts sends and receives a file with one checksum", async () => {
  await using program = upload();
  const printed = (await assertSuccess(program)).join("\n");
  for (const percent of [25, 50, 75, 100]) {
    assertStringIncludes(printed, `made.bin: ${percent}%, `);
  }
  const [, received] = printed.match(/Server: .* SHA-256 (\w{64})/) ?? [];
  const [, sent] = printed.match(/Client: .* SHA-256 (\w{64})/) ?? [];
  assert(received !== undefined && received === sent, printed);
});

/** Makes a file of zeros, which most file systems store as sparse. */
async function makeZeros(folder: string, megabytes: number): Promise<string> {
  const path = `${folder}/zeros.bin`;
  await Deno.writeFile(path, new Uint8Array());
  await Deno.truncate(path, megabytes * 1_000_000);
  return path;
}

/** The maximum memory, in MB, while a file of `size` MB is sent and received. */
async function peakMemoryFor(megabytes: number): Promise<number> {
  await using folder = await temporaryFolder();
  const path = await makeZeros(folder.path, megabytes);
  await using program = upload("--file", path);
  const printed = (await assertSuccess(program)).join("\n");
  assertStringIncludes(printed, `zeros.bin, ${megabytes}000000 bytes, SHA-256`);
  const [, memory] = printed.match(/at most ([\d.]+) MB of memory/) ?? [];
  assert(memory !== undefined, printed);
  return Number(memory);
}

Deno.test("upload.ts uses no more memory for a larger file", async () => {
  const growth = await peakMemoryFor(144) - await peakMemoryFor(32);
  // It would be 112 MB if one side kept the file in memory.
  assert(growth < 56, `${growth} MB more`);
});

Deno.test("upload.ts receives the bytes that were sent, also an empty file", async () => {
  await using receiver = await startReceiver();
  const { program, folder } = receiver;
  await using source = await temporaryFolder();
  // Not a multiple of a chunk.
  const bytes = Uint8Array.from({ length: 200_001 }, (_, i) => i ^ (i >> 8));
  for (
    const [name, content] of [["a b.bin", bytes], [
      "0",
      bytes.slice(0, 0),
    ]] as const
  ) {
    const path = `${source.path}/${name}`;
    await Deno.writeFile(path, content);
    await using client = upload(
      ...["--client", "--port", `${receiver.port}`, "--file", path],
    );
    await assertSuccess(client);
    assertEquals(await Deno.readFile(`${folder}/${name}`), content);
  }
  await lineThat(program.stdout, /received 0, 0 bytes/);
  assertEquals(filesIn(folder), ["0", "a b.bin"]);
});

Deno.test("upload.ts removes a file that was cut short, and reports it", async () => {
  await using receiver = await startReceiver();
  const { program, folder } = receiver;
  const header = { name: "cut.bin", size: 100_000 };
  {
    // Between two chunks: the system reports a normal end.
    await using sender = await announced(receiver, header);
    await sender.send(new Uint8Array(50_000));
    await sender.closeWrite();
    assertEquals(parse(await sender.receive()), {
      error: "cut short: 50000 of 100000 bytes have come",
    });
    await lineThat(program.stdout, /no file: cut short: 50000 of 100000/);
    assertEquals(filesIn(folder), []);
  }
  {
    // Inside a chunk: its length and a few bytes have arrived.
    await using sender = await announced(receiver, header);
    assertEquals(filesIn(folder), ["cut.bin.part"]);
    await sender.send(new Uint8Array(50_000));
    await sender.flush();
    sender.abort();
    await lineThat(program.stdout, /no file: cut short: 50000 of 100000/);
    assertEquals(filesIn(folder), []);
  }
  using conn = await Deno.connect({ port: receiver.port });
  const json = new TextEncoder().encode(JSON.stringify(header));
  const encoder = new ChunkEncoder(framing);
  await conn.write(encoder.encode(json));
  await conn.read(new Uint8Array(1024));
  await conn.write(encoder.encode(new Uint8Array(50_000)).subarray(0, 9));
  await conn.closeWrite();
  await lineThat(program.stdout, /no file: .* the stream ended inside it/);
  assertEquals(filesIn(folder), []);
});

Deno.test("upload.ts removes a file whose checksum differs", async () => {
  await using receiver = await startReceiver();
  const size = 100_000;
  await using sender = await announced(receiver, { name: "x.bin", size });
  await sender.send(new Uint8Array(size / 2));
  await sender.send(new Uint8Array(size / 2).fill(1));
  const zeros = await crypto.subtle.digest("SHA-256", new Uint8Array(size));
  const sha256 = new Uint8Array(zeros).toHex();
  const { error } = parse(await sender.request(JSON.stringify({ sha256 })));
  assertStringIncludes(`${error}`, "damaged: ");
  assertEquals(filesIn(receiver.folder), []);
});

Deno.test("upload.ts refuses invalid names and sizes", async () => {
  await using receiver = await startReceiver();
  for (const name of ["", "..", "../x", "a/b", "a\\b", ".bashrc", "a\nb"]) {
    await using sender = await connect({ port: receiver.port, framing });
    const header = JSON.stringify({ name, size: 1 });
    assertEquals(parse(await sender.request(header)), {
      error: "not a name for a file",
    });
  }
  {
    // A complete file of this name would replace the partial file of another upload of
    // "a".
    await using sender = await connect({ port: receiver.port, framing });
    const header = JSON.stringify({ name: "a.part", size: 1 });
    assertEquals(parse(await sender.request(header)), {
      error: "a name must not end with .part",
    });
  }
  for (const size of [-1, 0.5, 2 ** 53, "1", null]) {
    await using sender = await connect({ port: receiver.port, framing });
    const header = JSON.stringify({ name: "a", size });
    assertEquals(parse(await sender.request(header)), {
      error: "not a size for a file",
    });
  }
  assertEquals(filesIn(receiver.folder), []);
});

Deno.test("upload.ts does not print bytes that are not JSON", async () => {
  await using receiver = await startReceiver();
  await using sender = await connect({ port: receiver.port, framing });
  assertEquals(parse(await sender.request("\x1b[2J")), {
    error: "the other side speaks another protocol",
  });
  await lineThat(receiver.program.stdout, /no file: the other side speaks/);
});

Deno.test("upload.ts replaces no file, and lets only one sender write a file", async () => {
  await using receiver = await startReceiver();
  const { folder, port } = receiver;
  const header = JSON.stringify({ name: "mine.txt", size: 5 });
  await Deno.writeTextFile(`${folder}/mine.txt`, "older");
  {
    await using sender = await connect({ port, framing });
    assertEquals(parse(await sender.request(header)), {
      error: "mine.txt is there already",
    });
  }
  assertEquals(await Deno.readTextFile(`${folder}/mine.txt`), "older");
  await Deno.remove(`${folder}/mine.txt`);

  await using _first = await announced(receiver, JSON.parse(header));
  await using second = await connect({ port, framing });
  assertEquals(parse(await second.request(header)), {
    error: "mine.txt.part cannot be made: AlreadyExists",
  });
  assertEquals(filesIn(folder), ["mine.txt.part"]);
});

/**
 * Runs the client with a receiver that calls `act` before the chunks, and returns how
 * the client ends.
 */
async function failWith(
  megabytes: number,
  act: (connection: Connection) => Promise<void>,
): Promise<string> {
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing, onError: () => {} },
    async (connection) => {
      await connection.receive();
      await connection.send(JSON.stringify({ ready: true }));
      await act(connection);
    },
  );
  await using folder = await temporaryFolder();
  const path = await makeZeros(folder.path, megabytes);
  await using client = upload(
    ...["--client", "--port", `${server.addr.port}`, "--file", path],
  );
  const [stderr, { code }] = await Promise.all([
    Array.fromAsync(client.stderr),
    client.status,
    Array.fromAsync(client.stdout),
  ]);
  assertEquals({ code, length: stderr.length }, { code: 1, length: 1 });
  return stderr.join("\n");
}

Deno.test("upload.ts prints the receiver's error, at the end or before", async () => {
  const other = "0".repeat(64);
  const mismatch = await failWith(16, async (connection) => {
    for await (const _message of connection);
    await connection.send(JSON.stringify({ sha256: other }));
  });
  assertStringIncludes(mismatch, "the receiver has another checksum");

  // More than can be sent and dropped in that time.
  const full = await failWith(4000, async (connection) => {
    await connection.receive();
    await connection.send(JSON.stringify({ error: "disk full" }));
    await connection.closeWrite();
    for await (const _message of connection); // until it has stopped
  });
  assertStringIncludes(full, 'the receiver says "disk full"');

  const gone = await failWith(16, async (connection) => {
    await connection.receive();
    connection.abort();
  });
  // The client sees either the end or a failed write first.
  assert(/the other side has ended|reset|[Bb]roken pipe/.test(gone), gone);
});

Deno.test({
  name: "upload.ts leaves nothing of a file that is incomplete at Ctrl-C",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using receiver = await startReceiver();
    const { program, folder } = receiver;
    await using sender = await announced(receiver, { name: "a", size: 9 });
    program.interrupt();
    assertEquals(parse(await sender.receive()), {
      error: "cut short: 0 of 9 bytes have come",
    });
    await sender.close();
    await assertSuccess(program);
    assertEquals(filesIn(folder), []);
  },
});
