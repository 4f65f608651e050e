import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FramingError } from "../framing/framing_error.ts";
import { lines } from "../framing/lines.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import { receiveUntil } from "./receive_until.ts";

const framing = lines({ eol: "\n", strict: true, maxLength: 10 });
const isDot = (line: string) => line === ".";

/** A pair whose far end has sent `sent`, and has then ended its side if asked to. */
async function pairWith(sent: string[], ends = false) {
  const pair = connectionPair({ framing });
  for (const line of sent) await pair.far.send(line);
  if (ends) await pair.far.closeWrite();
  return pair;
}

Deno.test("receiveUntil() gives the messages up to the last one, and leaves the next", async () => {
  await using pair = await pairWith(["a", "b", ".", ".", "c"]);
  assertEquals(await Array.fromAsync(receiveUntil(pair.near, isDot)), [
    "a",
    "b",
    ".",
  ]);
  assertEquals(await Array.fromAsync(receiveUntil(pair.near, isDot)), ["."]);
  assertEquals(await pair.near.receive(), "c");
});

Deno.test("receiveUntil() receives a message only when it is asked for one", async () => {
  await using pair = await pairWith(["a", "b", "."]);
  const reply = receiveUntil(pair.near, isDot);
  assertEquals(pair.near.stats().messagesReceived, 0);
  assertEquals(await reply.next(), { value: "a", done: false });
  assertEquals(pair.near.stats().messagesReceived, 1);
  await reply.return();
  assertEquals(pair.near.stats().messagesReceived, 3);
});

Deno.test("receiveUntil() skips the rest if its loop is left", async () => {
  await using pair = await pairWith(["a", "b", ".", "c", "d", ".", "e"]);
  for await (const line of receiveUntil(pair.near, isDot)) {
    if (line === "a") break;
  }
  const refused = new Error("refused");
  const error = await assertRejects(async () => {
    for await (const line of receiveUntil(pair.near, isDot)) {
      if (line === "c") throw refused;
    }
  });
  assertEquals(error, refused);
  assertEquals(await pair.near.receive(), "e");
});

Deno.test("receiveUntil() waits for the rest, also if the loop is left first", async () => {
  await using pair = await pairWith(["a"]);
  const reply = receiveUntil(pair.near, isDot);
  await reply.next();
  const left = reply.return();
  await pair.far.send("b");
  await pair.far.send(".");
  await left;
  const next = pair.near.receive();
  await pair.far.send("c");
  assertEquals(await next, "c");
});

Deno.test("receiveUntil() rejects if the messages end before the last", async () => {
  await using pair = await pairWith(["a"], true);
  const reply = receiveUntil(pair.near, isDot);
  assertEquals((await reply.next()).value, "a");
  const { name } = await assertRejects(() => reply.next(), Error);
  assertEquals(name, "UnexpectedEof");

  // After the loop is left, later messages must not be taken for the rest of the reply.
  await using other = await pairWith(["a"], true);
  for await (const _ of receiveUntil(other.near, isDot)) break;
  assertEquals(await other.near.receive(), undefined);
});

Deno.test("receiveUntil() rejects with the error of the connection", async () => {
  await using pair = await pairWith(["a", "b"]);
  const { far, near } = pair;
  await far.send("x".repeat(11), { framing: lines() });
  const found: string[] = [];
  const { code } = await assertRejects(async () => {
    for await (const line of receiveUntil(near, isDot)) found.push(line);
  }, FramingError);
  assertEquals([found, code], [["a", "b"], "too-long"]);

  await using other = await pairWith(["a"]);
  const reason = new Error("enough");
  await assertRejects(async () => {
    for await (const _ of receiveUntil(other.near, isDot)) {
      other.near.abort(reason);
      throw reason;
    }
  });
  assertEquals(await other.near.closed.catch((error) => error), reason);
});

Deno.test("receiveUntil() aborts the connection if isLast throws", async () => {
  await using pair = await pairWith(["a", "b"]);
  const unknown = new Error("unknown");
  const reply = receiveUntil(pair.near, (line) => {
    if (line === "b") throw unknown;
    return false;
  });
  assertEquals((await reply.next()).value, "a");
  assertEquals(await reply.next().catch((error) => error), unknown);
  assertEquals(await pair.near.closed.catch((error) => error), unknown);
});

Deno.test("receiveUntil() aborts the connection if isLast is an async function", async () => {
  await using pair = await pairWith(["a", "b"]);
  const isLast = () => Promise.reject(new Error("no unhandled rejection"));
  // @ts-expect-error -- as from JavaScript
  const error = await receiveUntil(pair.near, isLast).next().catch((e) => e);
  assertInstanceOf(error, TypeError);
  assertEquals(await pair.near.closed.catch((error) => error), error);
});

Deno.test("receiveUntil() skips a reply that was not read", async () => {
  await using pair = await pairWith(["a", ".", ".", "b"]);
  await ReadableStream.from(receiveUntil(pair.near, isDot)).cancel();
  await receiveUntil(pair.near, isDot).return(); // of one message
  assertEquals(await pair.near.receive(), "b");
});

Deno.test("receiveUntil() throws immediately if isLast is not a function", async () => {
  await using pair = await pairWith([]);
  // @ts-expect-error -- as from JavaScript
  assertThrows(() => receiveUntil(pair.near, "."), TypeError, "isLast");
});
