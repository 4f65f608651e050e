import { type Guess, guess, hintFor, type Sample } from "./_guess.ts";

const MAX_GUESSES = 4;
const MAX_ALTERNATIVES = 3;

/** The framings that fit some streams, for a person, with flags to copy. */
export function guessReport(samples: readonly Sample[]): string {
  const length = samples.reduce((sum, sample) => sum + sample.length, 0);
  const reads = samples.reduce((sum, { cuts }) => sum + cuts.length, 0);
  if (length === 0) return "Nothing came, so there is nothing to guess from";
  const all = guess(samples);
  const best = all[0]?.bits ?? 0;
  // Guesses much less likely than the best are chance.
  const guesses = all.filter(({ bits }) => bits > best / 4).slice(
    0,
    MAX_GUESSES,
  );
  const hint = samples.map(({ bytes }) => hintFor(bytes)).find((each) =>
    each !== undefined
  );
  const lines = [
    `${length} bytes in ${plural(reads, "read")}: ${
      guesses.length === 0
        ? "no framing that is known here fits them"
        : "this fits"
    }`,
    ...guesses.flatMap(lineOf),
    ...(hint === undefined ? [] : [hint]),
  ];
  return lines.join("\n");
}

/** Whether any framing fits. */
export function anyFits(samples: readonly Sample[]): boolean {
  return guess(samples).length > 0;
}

const CERTAIN_BITS = 30;
const LIKELY_BITS = 12;

function lineOf(guess: Guess): string[] {
  const { flags, bits, messages, shortest, longest, alignedCuts, cuts } = guess;
  const certainty = bits >= CERTAIN_BITS
    ? "surely"
    : bits >= LIKELY_BITS
    ? "likely"
    : "perhaps";
  const range = shortest === longest
    ? `${shortest}`
    : `${shortest} to ${longest}`;
  const others = guess.alternatives.slice(0, MAX_ALTERNATIVES);
  return [
    `  ${certainty.padEnd(9)}${shellWords(flags).padEnd(34)}${
      plural(messages, "message")
    } of ${range} bytes; ${alignedCuts} of ${
      plural(cuts, "read")
    } end with one`,
    ...(others.length === 0 ? [] : [
      `           the same: ${others.map(shellWords).join("   ")}`,
    ]),
  ];
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Words as a shell takes them. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) =>
    /^[\w=,.:/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
  ).join(" ");
}
