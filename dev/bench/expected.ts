/** The results that a correct run must have. */

import type { Case } from "./cases.ts";
import { makeMessages, messageAt, Tally } from "./peers/subject.mjs";

/** The settings that determine the bytes of a run. */
export type Traffic = Pick<Case, "messageLength" | "kind" | "framing">;

/** The messages of a block, and how a tally adds each: as bytes or as text. */
interface Block {
  readonly lengths: readonly number[];
  readonly counted: readonly number[];
  add(tally: Tally, index: number): void;
}

const blocks = new Map<string, Block>();
const tallies = new Map<string, string>();

function keyOf({ messageLength, kind }: Traffic): string {
  return `${messageLength} ${kind}`;
}

function makeBlockOf({ messageLength, kind }: Traffic): Block {
  const messages = makeMessages(messageLength, kind);
  const lengths = messages.map(({ length }) => length);
  if (kind !== "latin" && kind !== "korean") {
    const add = (tally: Tally, index: number) =>
      tally.add(messageAt(messages, index));
    return { lengths, counted: lengths, add };
  }
  const texts = messages.map((message) => new TextDecoder().decode(message));
  return {
    lengths,
    counted: texts.map(({ length }) => length),
    add: (tally, index) => tally.addText(texts[index % texts.length] ?? ""),
  };
}

function blockOf(traffic: Traffic): Block {
  const key = keyOf(traffic);
  const block = blocks.get(key) ?? makeBlockOf(traffic);
  blocks.set(key, block);
  return block;
}

/** The sum of the first `count` values of a repeating list. */
function sumOf(values: readonly number[], count: number): number {
  const sum = (some: readonly number[]) => some.reduce((a, b) => a + b, 0);
  const rest = values.slice(0, count % values.length);
  return Math.floor(count / values.length) * sum(values) + sum(rest);
}

/** The number of bytes of `count` messages, including their framing. */
export function expectedBytes(traffic: Traffic, count: number): number {
  const overhead = traffic.framing === "prefixed" ? 4 : 1;
  return sumOf(blockOf(traffic).lengths, count) + count * overhead;
}

/** Whether a tally matches `count` messages, including its checksum if it has one. */
export function isExpected(
  traffic: Traffic,
  count: number,
  tally: string,
): boolean {
  const block = blockOf(traffic);
  if (tally === `${count} ${sumOf(block.counted, count)} -`) return true;
  const key = `${count} ${keyOf(traffic)}`;
  let expected = tallies.get(key);
  if (expected === undefined) {
    const made = new Tally();
    for (let index = 0; index < count; index++) block.add(made, index);
    expected = String(made);
    tallies.set(key, expected);
  }
  return tally === expected;
}
