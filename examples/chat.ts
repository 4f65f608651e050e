/**
 * A chat for many guests, who need nothing but `nc`.
 *
 * Each line that a guest sends goes to all others. Two things must not happen:
 * a guest who does not read must not stop the others, and the lines waiting for
 * such a guest must not fill the memory. So no guest waits for another: a guest
 * with too many queued bytes misses lines, and is told how many.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/chat.ts
 * ```
 *
 * Or in one terminal with `--server`, and in others:
 *
 * ```sh
 * nc 127.0.0.1 8000
 * ```
 *
 * Ctrl-C ends the server, once everybody has got all lines.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { broadcast, connect, type Connection, lines, serve } from "@framed/tcp";
import { type Lesson, runLesson } from "./_lesson.ts";

/** What guests hear: a line after the speaker's name. */
const framing = lines({ maxLength: 65 * 1024 });

/** What they say, which leaves room for the name. */
const spoken = lines({ maxLength: 64 * 1024 });

/** How many bytes may wait for a guest, not counting the kernel's buffers. */
const MAX_WAITING_BYTES = 256 * 1024;

/** How long a guest may take nothing at all. */
const SEND_TIMEOUT_MS = 60_000;

/** How long guests have at the end to get all lines. */
const DRAIN_MS = 5000;

type Guest = Connection<string, string>;

function listen(port: number): ReturnType<Lesson["listen"]> {
  const names = new Map<Guest, string>();
  // How many lines a guest has missed without being told yet.
  const missed = new Map<Guest, number>();

  // One line after the other: the lines that many guests say in one moment, queued
  // together, would be too many even for a guest who reads them.
  let told = Promise.resolve();
  function tellAll(line: string, except?: Guest): Promise<void> {
    const guests = [...names.keys()].filter((guest) => guest !== except);
    return told = told.then(() => tell(guests, line));
  }

  async function tell(guests: Guest[], line: string): Promise<void> {
    const { slow } = await broadcast(guests, line, {
      slow: "drop",
      highWaterMark: MAX_WAITING_BYTES,
    });
    for (const guest of slow) miss(guest);
  }

  function miss(guest: Guest): void {
    const count = missed.get(guest) ?? 0;
    missed.set(guest, count + 1);
    if (count > 0) return;
    guest.flush().then(() => {
      guest.send(`* You missed ${missed.get(guest)} lines`);
      missed.delete(guest);
    }, () => missed.delete(guest)); // whose connection has ended need not be told
  }

  const server = serve({
    hostname: "127.0.0.1",
    port,
    framing: { decoder: spoken.decoder, encoder: framing.encoder },
    sendTimeout: SEND_TIMEOUT_MS,
    onListen: (addr) => console.log(`Server: listening on port ${addr.port}`),
    onError: (error) => console.log(`Server: lost a guest: ${error}`),
  }, async (connection) => {
    await connection.send("* What is your name?");
    const name = printable(await connection.receive() ?? "").slice(0, 20);
    if (name === "") return;

    tellAll(`* ${name} has come`);
    names.set(connection, name);
    connection.send(`* Here are: ${[...names.values()].join(", ")}`);
    console.log(`Server: ${name} has come`);
    try {
      for await (const line of connection) {
        await tellAll(`${name}: ${printable(line)}`, connection);
      }
    } finally {
      names.delete(connection);
      tellAll(`* ${name} has left`);
      console.log(`Server: ${name} has left`);
    }
  });

  return {
    addr: server.addr,
    async shutdown() {
      await tellAll("* The chat closes");
      // Ends the loops above, and sends queued lines.
      await server.shutdown({ timeout: DRAIN_MS });
    },
  };
}

/**
 * A line that is safe to show: control characters can control a reader's
 * terminal.
 */
function printable(line: string): string {
  return line.replaceAll(/\p{Cc}/gu, "").trim();
}

/** Three guests, one of whom stops reading for a while. */
async function dial(port: number): Promise<void> {
  const pastedLines = 400;
  await using ann = await enter(port, "Ann");
  await using ben = await enter(port, "Ben");
  await using sam = await enter(port, "Sam");

  await ann.send("Hello Ben");
  console.log(`Ben reads "${await hear(ben, /^Ann: /)}"`);
  console.log(`Sam reads "${await hear(sam, /^Ann: /)}" and then nothing more`);

  for (let number = 1; number <= pastedLines; number++) {
    await ann.send(`${number} ${"long ".repeat(6000)}`);
    await hear(ben, /^Ann: \d+ long/);
  }
  console.log(`Ben has read all ${pastedLines} long lines that Ann pasted`);

  let count = 0;
  const note = await hear(sam, /^\* You missed/, () => count++);
  console.log(`Sam reads on: ${count} of the lines, and "${note}"`);
}

async function enter(
  port: number,
  name: string,
): Promise<Connection<string, string>> {
  const connection = await connect({ port, framing });
  await connection.send(name);
  await hear(connection, /^\* Here are/);
  return connection;
}

/** Reads up to a line that matches; `onOther` is called for those before it. */
async function hear(
  connection: Connection<string, string>,
  pattern: RegExp,
  onOther: (line: string) => void = () => {},
): Promise<string> {
  for await (const line of connection) {
    if (pattern.test(line)) return line;
    onOther(line);
  }
  throw new Error("The server has closed");
}

await runLesson({ file: "examples/chat.ts", listen, dial });
