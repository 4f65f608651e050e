/**
 * OpenBSD's netcat: with `-N` it ends its side at the end of its input, without it does
 * not.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { connect, type Connection, lines, serve } from "../../mod.ts";
import {
  assertSameMessages,
  assertSuccess,
  isInstalled,
  lineThat,
  MAX_LENGTH,
  messagesUpTo,
  peerTest,
  type Program,
  start,
  temporaryFolder,
} from "./_peers.ts";

const framing = lines({ maxLength: MAX_LENGTH });
const messages = messagesUpTo(MAX_LENGTH, "letters");

/** Other programs of this name do not have `-N`. */
async function isOpenBsd(): Promise<boolean> {
  await using program = start(["nc", "-h"]);
  const [title = ""] = await Array.fromAsync(program.stderr);
  return title.startsWith("OpenBSD");
}

const hasNetcat = await isInstalled("nc") && await isOpenBsd();

/** Waits until netcat listens, and returns its port, if any. */
async function listening(program: Program): Promise<number> {
  const [place = ""] = await lineThat(program.stderr, /^Listening on (.*)$/);
  return Number(place.split(" ").at(-1)); // "localhost 41234"
}

/** Receives all messages of a netcat that then ends its side, and sends them back. */
async function assertExchangesAfterEnd(
  connection: Connection<string>,
  nc: Program,
): Promise<void> {
  const printed = assertSuccess(nc);
  assertSameMessages(await Array.fromAsync(connection), messages);
  for (const message of messages) await connection.send(message);
  await connection.closeWrite();
  await connection.closed;
  assertSameMessages(await printed, messages);
}

peerTest(
  hasNetcat,
  "serve() answers nc -N, which ends its side first",
  async () => {
    await using server = serve(
      { hostname: "127.0.0.1", port: 0, framing },
      async (connection) => {
        for await (const line of connection) await connection.send(line);
        await connection.send("end");
      },
    );
    await using nc = start(
      ["nc", "-N", "127.0.0.1", `${server.addr.port}`],
      messages,
    );
    assertSameMessages(await assertSuccess(nc), [...messages, "end"]);
  },
);

peerTest(
  hasNetcat,
  "serve() ends nc without -N, which never ends its side",
  async () => {
    await using server = serve(
      { hostname: "127.0.0.1", port: 0, framing },
      async (connection) => {
        for await (const line of connection) {
          if (line === "bye") break;
          await connection.send(line);
        }
        await connection.send("end");
      },
    );
    await using nc = start(
      ["nc", "127.0.0.1", `${server.addr.port}`],
      [...messages, "bye"],
    );
    assertSameMessages(await assertSuccess(nc), [...messages, "end"]);
  },
);

peerTest(
  hasNetcat,
  "connect() exchanges messages with nc -l -N, which ends its side first",
  async () => {
    await using nc = start(
      ["nc", "-v", "-l", "-N", "127.0.0.1", "0"],
      messages,
    );
    const port = await listening(nc);
    await using connection = await connect({ port, framing });
    await assertExchangesAfterEnd(connection, nc);
  },
);

peerTest(
  hasNetcat,
  "connect() ends nc -l without -N by closing its side",
  async () => {
    await using nc = start(["nc", "-v", "-l", "127.0.0.1", "0"], messages);
    const port = await listening(nc);
    await using connection = await connect({ port, framing });
    const printed = assertSuccess(nc);
    const received: string[] = [];
    for await (const message of connection) {
      received.push(message);
      await connection.send(message);
      if (received.length === messages.length) break;
    }
    assertSameMessages(received, messages);
    await connection.closeWrite();
    assertEquals(await connection.receive(), undefined);
    assertSameMessages(await printed, messages);
  },
);

peerTest(hasNetcat, "serve() answers nc -N over a Unix socket", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/socket`;
  await using _server = serve({ path, framing }, async (connection) => {
    for await (const line of connection) await connection.send(line);
  });
  await using nc = start(["nc", "-N", "-U", path], messages);
  assertSameMessages(await assertSuccess(nc), messages);
});

peerTest(
  hasNetcat,
  "connect() exchanges messages with nc -l -N over a Unix socket",
  async () => {
    await using folder = await temporaryFolder();
    const path = `${folder.path}/socket`;
    await using nc = start(["nc", "-v", "-l", "-N", "-U", path], messages);
    await listening(nc);
    await using connection = await connect({ path, framing });
    await assertExchangesAfterEnd(connection, nc);
  },
);
