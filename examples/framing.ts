/**
 * Lesson 3: TCP carries bytes, not messages.
 *
 * A client sends `>>>1<<<`, `>>>2<<<` and so on, each on a line. The server reads
 * the same bytes in two ways: unframed, as from a bare `read`, where messages
 * run together and break apart; and framed, whole.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/framing.ts
 * ```
 *
 * Or in two terminals, with `--server` and with `--client`.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import {
  type Bytes,
  connect,
  FrameDecoderStream,
  lines,
  type Sendable,
  serve,
  type Server,
  unframed,
} from "@framed/tcp";
import { runLesson } from "./_lesson.ts";

const MESSAGES = 10;

function listen(port: number): Server<Bytes, Sendable, Deno.NetAddr> {
  return serve({
    hostname: "127.0.0.1",
    port,
    framing: unframed(),
    // Small, to show now what large messages, slow networks and busy machines
    // eventually do to every program.
    readBufferSize: 24,
    onListen: (addr) => console.log(`Server: listening on port ${addr.port}`),
  }, async (connection) => {
    const [bytes, sameBytes] = connection.readable.tee();
    // A server that wants messages gives `framing: lines()` to `serve` instead.
    const messages = sameBytes.pipeThrough(new FrameDecoderStream(lines()));
    const [unframedReads, framedReads] = await Promise.all([
      Array.fromAsync(bytes, (chunk) => new TextDecoder().decode(chunk)),
      Array.fromAsync(messages),
    ]);
    print("Unframed, what each read of the socket gave", unframedReads);
    print("Framed, the same bytes as messages", framedReads);
  });
}

function print(title: string, texts: string[]): void {
  console.log(`Server: ${title}:`);
  // As JSON, to show the line feed as \n.
  for (const text of texts) console.log(`  ${JSON.stringify(text)}`);
}

async function dial(port: number): Promise<void> {
  await using connection = await connect({ port, framing: lines() });
  for (let number = 1; number <= MESSAGES; number++) {
    await connection.send(`>>>${number}<<< `);
  }
  console.log(`Client: sent ${MESSAGES} messages`);
  // Half-close: the server can still answer. It says nothing, so this waits
  // until it has read everything and closes.
  await connection.closeWrite();
  await connection.receive();
}

await runLesson({ file: "examples/framing.ts", listen, dial });
