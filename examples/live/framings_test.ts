import { assertEquals, assertStringIncludes } from "@std/assert";
import { answer, type FramingAnswer, type FramingName } from "./framings.ts";

const MESSAGES = Array.from({ length: 10 }, (_, index) => `>>>${index + 1}<<<`);
const FRAMINGS: FramingName[] = ["delimiter", "length", "fixed"];

function textsOf({ reads }: FramingAnswer): string[] {
  return reads.flatMap(({ messages }) => messages.map(({ text }) => text));
}

function scoreOf({ reads }: FramingAnswer): number {
  return reads.flatMap(({ messages }) => messages)
    .filter(({ isRight }) => isRight).length;
}

Deno.test("answer() gives the same messages wherever the reads end", () => {
  for (const framing of FRAMINGS) {
    const whole = { framing, messages: MESSAGES, cuts: [], lost: [] };
    const { bytes } = answer(whole);
    for (let cut = 1; cut < bytes.length; cut++) {
      const cutOnce = answer({ ...whole, cuts: [cut] });
      assertEquals(textsOf(cutOnce), MESSAGES);
      assertEquals(cutOnce.reads.at(-1)?.waiting, 0);
      assertEquals(cutOnce.endError, undefined);
    }
    const byteByByte = answer({ ...whole, cuts: [...bytes.keys()].slice(1) });
    assertEquals(textsOf(byteByByte), MESSAGES);
  }
});

Deno.test("answer() shows that only a delimiter resynchronizes", () => {
  const lost = [20];
  const [delimiter, length, fixed] = FRAMINGS.map((framing) =>
    scoreOf(answer({ framing, messages: MESSAGES, cuts: [], lost }))
  );
  assertEquals([delimiter, length, fixed], [9, 1, 1]);
});

Deno.test("answer() says why a message cannot be sent", () => {
  const question = {
    messages: ["two\nlines", "x".repeat(30)],
    cuts: [],
    lost: [],
  };
  const [delimiter, length, fixed] = FRAMINGS.map((framing) =>
    answer({ ...question, framing }).refused
  );
  assertStringIncludes(delimiter?.[0]?.error ?? "", "delimiter");
  assertEquals(length, []);
  assertEquals(fixed?.map(({ message }) => message), [1]);
});

Deno.test("answer() stops at a message that is too long, and at a length of 4 GiB", () => {
  const long = answer({
    framing: "delimiter",
    messages: ["one", "x".repeat(30), "three"],
    cuts: [4],
    lost: [],
  });
  assertEquals(textsOf(long), ["one"]);
  assertStringIncludes(long.reads.at(-1)?.error ?? "", "longer than 24 bytes");

  const forged = answer({
    framing: "length",
    messages: MESSAGES,
    cuts: [],
    lost: [],
    forged: 1,
  });
  assertEquals(textsOf(forged), [">>>1<<<"]);
  assertStringIncludes(forged.reads[0]?.error ?? "", "longer than 24 bytes");
});

Deno.test("answer() counts the waiting bytes, also of a character that is cut", () => {
  const { reads } = answer({
    framing: "delimiter",
    messages: ["한", "é", ""],
    cuts: [2, 5],
    lost: [],
  });
  assertEquals(reads.map(({ waiting }) => waiting), [2, 1, 0]);
  assertEquals(reads[0]?.text, "\ufffd");
  assertEquals(
    reads.map(({ messages }) => messages.map(({ text }) => text)),
    [[], ["한"], ["é", ""]],
  );
});
