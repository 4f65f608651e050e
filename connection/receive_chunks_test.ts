import { assert, assertEquals, assertRejects } from "@std/assert";
import { FramingError } from "../framing/framing_error.ts";
import { lines } from "../framing/lines.ts";
import { unframed } from "../framing/unframed.ts";
import { connectionPair } from "../testing/connection_pair.ts";
import { receiveChunks } from "./receive_chunks.ts";

const BODY = "3\r\none\r\n00A ;a=b\r\n, two\r\n, 3\r\n0;c\r\nX: 1\r\n\r\n";

/** A pair whose near end receives lines, and whose far end has sent `sent`. */
async function pairWith(sent: string, ends = false) {
  const pair = connectionPair({ framing: lines() });
  if (sent !== "") await pair.far.send(sent, { framing: unframed() });
  if (ends) await pair.far.closeWrite();
  return pair;
}

async function textOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of pieces) text += decoder.decode(piece);
  return text;
}

Deno.test("receiveChunks() gives the bytes of a body in every cut, and leaves the bytes after it", async () => {
  for (let cut = 0; cut <= BODY.length; cut++) {
    await using pair = await pairWith(BODY.slice(0, cut));
    const text = textOf(receiveChunks(pair.near));
    await pair.far.send(`${BODY.slice(cut)}next\n`, { framing: unframed() });
    assertEquals(await text, "one, two\r\n, 3");
    assertEquals(await pair.near.receive(), "next");
  }
});

Deno.test("receiveChunks() gives a part of a chunk before the rest has arrived", async () => {
  await using pair = await pairWith("1000000000\r\nhello");
  const pieces = receiveChunks(pair.near);
  const { value } = await pieces.next();
  assertEquals(new TextDecoder().decode(value ?? undefined), "hello");
  pair.near.abort();
  await assertRejects(() => pieces.next(), DOMException);
});

Deno.test("receiveChunks() skips the rest if its loop is left", async () => {
  await using pair = await pairWith(`${BODY}next\n`);
  for await (const piece of receiveChunks(pair.near)) {
    assertEquals(piece.length, 3);
    break;
  }
  assertEquals(await pair.near.receive(), "next");
});

Deno.test("receiveChunks() skips a body that was not read", async () => {
  await using pair = await pairWith(`${BODY}0\r\n\r\nnext\n`);
  await ReadableStream.from(receiveChunks(pair.near)).cancel();
  await receiveChunks(pair.near).return(); // an empty one
  assertEquals(await pair.near.receive(), "next");
});

Deno.test("receiveChunks() waits for the rest if its loop is left in a chunk", async () => {
  await using pair = await pairWith("5\r\nhe");
  const pieces = receiveChunks(pair.near);
  await pieces.next();
  const left = pieces.return();
  await pair.far.send("llo\r\n2\r\n!!\r\n0\r\n\r\nnext\n", {
    framing: unframed(),
  });
  await left;
  assertEquals(await pair.near.receive(), "next");
});

const DAMAGED: [body: string, error: string][] = [
  ["xyz\r\n", "malformed"],
  ["\r\n", "malformed"],
  [" 1\r\na\r\n0\r\n\r\n", "malformed"],
  ["+1\r\na\r\n0\r\n\r\n", "malformed"],
  ["0x1\r\na\r\n0\r\n\r\n", "malformed"],
  ["1\na\r\n0\r\n\r\n", "malformed"],
  ["1000000000000\r\n", "malformed"], // 13 digits
  ["2\r\nabcd\r\n0\r\n\r\n", "malformed"],
  ["2\r\nab0\r\n\r\n", "malformed"],
  ["2\r\nab\n0\r\n\r\n", "malformed"],
  [`1;${"x".repeat(9000)}`, "too-long"],
  [`0\r\n${"a: 1\r\n".repeat(2000)}`, "too-long"],
  ["", "UnexpectedEof"],
  ["1", "truncated"],
  ["2\r\na", "UnexpectedEof"],
  ["2\r\nab", "UnexpectedEof"],
  ["2\r\nab\r\n", "UnexpectedEof"],
  ["0\r\n", "UnexpectedEof"],
  ["0\r\nX: 1\r\n", "truncated"],
];

Deno.test("receiveChunks() ends the connection if a body is damaged", async () => {
  for (const [body, name] of DAMAGED) {
    await using pair = await pairWith(body, true);
    const error = await assertRejects(
      () => textOf(receiveChunks(pair.near)),
      Error,
    );
    const isOfFraming = error instanceof FramingError;
    assertEquals(isOfFraming ? error.code : error.name, name, body.slice(0, 9));
    if (isOfFraming) {
      assert(await assertRejects(() => pair.near.closed) === error, body);
    }
  }
});
