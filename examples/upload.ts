/**
 * A large file, sent and received: a progress bar, memory that does not grow
 * with the file, and a checksum at both ends.
 *
 * A file is too large to be one message in memory. So it is sent as many, all framed with
 * their length:
 *
 * ```text
 * sender                               receiver
 * {"name":"film.mkv","size":734003200}
 *                                      {"ready":true}, or {"error":"..."}
 * 256 KiB, 256 KiB, 256 KiB ...
 * {"sha256":"9f86d0..."}, and its end
 *                                      {"sha256":"9f86d0..."}, or {"error":"..."}
 * ```
 *
 * The size tells the receiver where the chunks end, and the checksum after them proves
 * that they are what the sender read. A connection that was cut looks like one that has
 * ended, so only the receiver's answer proves delivery.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-read --allow-write examples/upload.ts
 * ```
 *
 * Or in two terminals:
 *
 * ```sh
 * deno run -N -R -W examples/upload.ts --server --folder received
 * deno run -N -R examples/upload.ts --client --file film.mkv
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import {
  type Bytes,
  connect,
  type Connection,
  lengthPrefixed,
  type Sendable,
  serve,
  type Server,
} from "@framed/tcp";
import { createHash } from "node:crypto"; // Web Crypto has no incremental digest
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { nextInterrupt } from "./_lesson.ts";

/** No message is longer than this, however long the file is. */
const CHUNK_LENGTH = 256 * 1024;

const framing = lengthPrefixed({ maxLength: CHUNK_LENGTH });

/** The suffix of a file's name while it is received. */
const PARTIAL = ".part";

/** How long one side may do nothing while the other waits for it. */
const IDLE_TIMEOUT_MS = 30_000;

/** How long a sender whose file is refused may take to stop. */
const REFUSE_MS = 5000;

/** The size of the generated file if none is given. */
const MADE_LENGTH = 32 * 1024 * 1024;

/** Receives files into a folder. */
function listen(
  port: number,
  folder: string,
  withBar: boolean,
): Server<Bytes, Sendable, Deno.NetAddr> {
  return serve({
    hostname: "127.0.0.1",
    port,
    framing,
    idleTimeout: IDLE_TIMEOUT_MS,
    onListen: (addr) => console.log(`Server: listening on port ${addr.port}`),
    onError: (error) => print(`Server: lost a sender: ${reasonOf(error)}`),
  }, async (connection) => {
    try {
      const { name, size } = readHeader(parse(await connection.receive()));
      const sha256 = await receiveFile(
        connection,
        { path: join(folder, name), size },
        withBar ? new Progress(name, size) : undefined,
      );
      print(`Server: received ${name}, ${size} bytes, SHA-256 ${sha256}`);
      await connection.send(JSON.stringify({ sha256 }));
    } catch (error) {
      print(`Server: no file: ${reasonOf(error)}`);
      await refuse(connection, reasonOf(error));
    }
  });
}

/**
 * Says why there is no file, and keeps reading until the sender has stopped: closing
 * while it still sends would reset the connection, and lose the answer.
 */
async function refuse(connection: Connection, error: string): Promise<void> {
  const signal = AbortSignal.timeout(REFUSE_MS);
  try {
    await connection.send(JSON.stringify({ error }));
    await connection.closeWrite();
    while (await connection.receive({ signal }) !== undefined);
  } catch {
    // A sender that is gone, or does not stop, need not be told.
  }
}

/** Receives a file, which appears only at the end, and whole; returns its checksum. */
async function receiveFile(
  connection: Connection,
  { path, size }: { path: string; size: number },
  progress: Progress | undefined,
): Promise<string> {
  const name = basename(path);
  const partial = `${path}${PARTIAL}`;
  // The upload that creates the partial file owns the name. A killed server may leave it.
  const file = await Deno.open(partial, { write: true, createNew: true })
    .catch(({ name: reason }) => {
      throw new Error(`${name}${PARTIAL} cannot be made: ${reason}`);
    });
  const writer = file.writable.getWriter();
  try {
    if (await exists(path)) throw new Error(`${name} is there already`);
    await connection.send(JSON.stringify({ ready: true }));

    const hash = createHash("sha256");
    let received = 0;
    while (received < size) {
      const chunk = await connection.receive();
      if (chunk === undefined) {
        throw new Error(`cut short: ${received} of ${size} bytes have come`);
      }
      received += chunk.length;
      if (received > size) throw new Error(`longer than ${size} bytes`);
      hash.update(chunk);
      // While the disk is busy nothing is read from the socket, and the sender waits.
      await writer.write(chunk);
      progress?.show(received);
    }
    const sha256 = hash.digest("hex");
    const trailer = parse(await connection.receive());
    if (trailer.sha256 !== sha256) {
      throw new Error(`damaged: ${sha256} is not the checksum that was sent`);
    }
    await writer.close();
    await Deno.rename(partial, path);
    return sha256;
  } catch (error) {
    await writer.abort(error).catch(() => {}); // closes the file
    await Deno.remove(partial);
    throw error;
  }
}

/** Sends a file; returns its checksum, which the receiver has confirmed. */
async function sendFile(connection: Connection, path: string): Promise<string> {
  using file = await Deno.open(path);
  const { isFile, size } = await file.stat();
  if (!isFile) throw new Error(`${path} is not a file`);
  const name = basename(path);
  readAnswer(await connection.request(JSON.stringify({ name, size })));

  const hash = createHash("sha256");
  const progress = new Progress(name, size);
  let sha256 = "";
  let isAnswered = false;

  async function* messages(): AsyncGenerator<Sendable> {
    let sent = 0;
    // A file that grows meanwhile is sent at its old size.
    while (sent < size) {
      if (isAnswered) return; // the receiver has refused the rest, and says why
      const chunk = new Uint8Array(Math.min(CHUNK_LENGTH, size - sent));
      const length = await file.read(chunk);
      if (length === null) throw new Error(`${path} has become shorter`);
      const bytes = chunk.subarray(0, length);
      hash.update(bytes);
      yield bytes;
      sent += length;
      progress.show(sent);
    }
    progress.end();
    sha256 = hash.digest("hex");
    yield JSON.stringify({ sha256 });
  }

  const answering = connection.receive().finally(() => isAnswered = true);
  // The pipe asks for the next chunk when there is room for it, and finally half-closes.
  const sending = ReadableStream.from(messages()).pipeTo(connection.writable);
  // Each ends with the other. The receiver's answer says more than a failed write.
  const [answered, sent] = await Promise.allSettled([answering, sending]);
  if (answered.status === "rejected") throw answered.reason;
  const answer = readAnswer(answered.value);
  if (sent.status === "rejected") throw sent.reason;
  if (answer.sha256 !== sha256) {
    throw new Error("the receiver has another checksum");
  }
  return sha256;
}

async function dial(port: number, path: string): Promise<void> {
  await using connection = await connect({
    port,
    framing,
    idleTimeout: IDLE_TIMEOUT_MS,
  });
  const sha256 = await sendFile(connection, path);
  print(`Client: sent ${path}, and both have the SHA-256 ${sha256}`);
}

const isTerminal = Deno.stdout.isTerminal();

/** The progress: a bar on a terminal, elsewhere a line for each quarter. */
class Progress {
  readonly #name: string;
  readonly #size: number;
  readonly #start = performance.now();
  #shownQuarters = 0;
  #shownAt = -Infinity;
  #peakMemory = 0;

  constructor(name: string, size: number) {
    this.#name = name;
    this.#size = size;
  }

  show(done: number): void {
    this.#peakMemory = Math.max(this.#peakMemory, Deno.memoryUsage().rss);
    const quarters = Math.floor(4 * done / this.#size);
    const now = performance.now();
    if (isTerminal && (now - this.#shownAt > 100 || done === this.#size)) {
      this.#shownAt = now;
      const bar = "#".repeat(Math.floor(30 * done / this.#size)).padEnd(30);
      write(`${CLEAR_LINE}[${bar}] ${this.#text(done)}`);
    } else if (!isTerminal && quarters > this.#shownQuarters) {
      this.#shownQuarters = quarters;
      console.log(this.#text(done));
    }
  }

  /** Leaves the bar where it is, and prints the time. */
  end(): void {
    if (isTerminal) write("\n");
    const seconds = (performance.now() - this.#start) / 1000;
    console.log(
      `Sent in ${seconds.toFixed(1)} s, with at most ${
        inMegabytes(this.#peakMemory)
      } of memory`,
    );
  }

  #text(done: number): string {
    const percent = Math.floor(100 * done / this.#size);
    const total = inMegabytes(this.#size);
    return `${this.#name}: ${percent}%, ${inMegabytes(done)} of ${total}`;
  }
}

// Terminal control characters: go to the beginning of the line, and clear it.
const CLEAR_LINE = "\r\x1b[K";

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

/** Prints a line, replacing the bar if there is one. */
function print(line: string): void {
  if (isTerminal) write(CLEAR_LINE);
  console.log(line);
}

function inMegabytes(length: number): string {
  return `${(length / 1e6).toFixed(1)} MB`;
}

function parse(message: Bytes | undefined): Record<string, unknown> {
  if (message === undefined) throw new Error("the other side has ended");
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(message));
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // Its message would quote the peer's bytes, which must not reach a terminal.
  }
  throw new Error("the other side speaks another protocol");
}

function readHeader(
  { name, size }: Record<string, unknown>,
): { name: string; size: number } {
  // Refuse a name that would lead out of the folder, or be hidden in it.
  if (
    typeof name !== "string" || !/^[^./\\:\p{Cc}][^/\\:\p{Cc}]*$/u.test(name)
  ) {
    throw new Error("not a name for a file");
  }
  // Once complete, it would replace the file of a running upload.
  if (name.toLowerCase().endsWith(PARTIAL)) {
    throw new Error(`a name must not end with ${PARTIAL}`);
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new Error("not a size for a file");
  }
  return { name, size };
}

function readAnswer(message: Bytes | undefined): Record<string, unknown> {
  const answer = parse(message);
  if (answer.error !== undefined) {
    throw new Error(`the receiver says ${JSON.stringify(answer.error)}`);
  }
  return answer;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function reasonOf(error: unknown): string {
  // Closing the connection failed too: the first error says more.
  if (error instanceof SuppressedError) return reasonOf(error.suppressed);
  return error instanceof Error ? error.message : `${error}`;
}

/** Makes a file to send, with different bytes in each chunk. */
async function makeFile(folder: string): Promise<string> {
  const path = join(folder, "made.bin");
  using file = await Deno.open(path, { write: true, createNew: true });
  const chunk = new Uint8Array(64 * 1024);
  for (let length = 0; length < MADE_LENGTH; length += chunk.length) {
    file.writeSync(crypto.getRandomValues(chunk));
  }
  return path;
}

const USAGE = `Usage: deno run -N -R -W examples/upload.ts [options]

  --server           Receive files, until Ctrl-C
  --client           Send a file
  --port <port>      The port, 8000 if one side runs alone and any free one if not
  --file <path>      The file to send; if not given, one is made
  --folder <path>    Where received files go, this folder if the server runs alone
  --help             Show this text`;

function readFlags() {
  try {
    return parseArgs({
      options: {
        server: { type: "boolean", default: false },
        client: { type: "boolean", default: false },
        port: { type: "string" },
        file: { type: "string" },
        folder: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${reasonOf(error)}\n\n${USAGE}`);
    Deno.exit(2);
  }
}

async function run(): Promise<void> {
  const flags = readFlags();
  if (flags.help) return console.log(USAGE);
  const runsBoth = flags.server === flags.client;
  const port = Number(flags.port ?? (runsBoth ? 0 : 8000));

  if (flags.server && !runsBoth) {
    const interrupt = nextInterrupt();
    const server = listen(port, flags.folder ?? ".", true);
    await interrupt;
    return await server.shutdown();
  }
  if (flags.client && !runsBoth && flags.file !== undefined) {
    return await dial(port, flags.file);
  }
  const temporary = await Deno.makeTempDir();
  try {
    const file = flags.file ?? await makeFile(temporary);
    if (!runsBoth) return await dial(port, file);
    const folder = flags.folder ?? join(temporary, "received");
    await Deno.mkdir(folder, { recursive: true });
    await using server = listen(port, folder, false);
    await dial(server.addr.port, file);
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

try {
  await run();
} catch (error) {
  console.error(`Cannot run examples/upload.ts: ${reasonOf(error)}`);
  Deno.exit(1);
}
