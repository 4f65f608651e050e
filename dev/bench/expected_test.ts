import { assert, assertEquals } from "@std/assert";
import { expectedBytes, isExpected } from "./expected.ts";
import {
  type Kind,
  makeMessage,
  makeMessages,
  Tally,
} from "./peers/subject.mjs";

const KINDS: Kind[] = ["letters", "same", "varied", "latin", "korean"];

Deno.test("makeMessage() returns valid text of about the given length", () => {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (const kind of KINDS) {
    const messages = makeMessages(64, kind);
    for (const message of messages) decoder.decode(message);
    const lengths = messages.map(({ length }) => length);
    const ends = [Math.min(...lengths), Math.max(...lengths)];
    assertEquals(ends, kind === "varied" ? [32, 95] : [64, 64], kind);
  }
});

Deno.test("isExpected() finds a message that is missing, doubled or out of order", () => {
  const traffic = { messageLength: 64, kind: "varied" } as const;
  const tallyOf = (indices: number[]) => {
    const tally = new Tally();
    for (const index of indices) tally.add(makeMessage(index, 64, "varied"));
    return String(tally);
  };
  assert(isExpected(traffic, 3, tallyOf([0, 1, 2])));
  assert(!isExpected(traffic, 3, tallyOf([0, 1])));
  assert(!isExpected(traffic, 3, tallyOf([0, 1, 1])));
  assert(!isExpected(traffic, 3, tallyOf([0, 2, 1])));
});

Deno.test("expectedBytes() counts frames, and starts again after a block", () => {
  const count = makeMessages(64).length + 1;
  assertEquals(expectedBytes({ messageLength: 64 }, count), count * 65);
  assertEquals(
    expectedBytes({ messageLength: 64, framing: "prefixed" }, count),
    count * 68,
  );
});
