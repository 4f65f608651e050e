import type { Bytes, Sendable } from "../framing.ts";
import type { Command } from "./_command.ts";
import { chooseFraming, type ChosenFraming } from "./_framing_flags.ts";
import { framesOf, messagesOf } from "./_sending.ts";
import { parseCount, parsePlace, type Place, UsageError } from "./_values.ts";

/** The checked command line of `bench`. */
export interface BenchPlan {
  readonly place: Place;
  readonly chosen: ChosenFraming;
  readonly messages: readonly Sendable[];
  /** The encoded messages. */
  readonly frames: readonly Bytes[];
  readonly connections: number;
  /** Requests a second in total; `undefined` for as many as are answered. */
  readonly rate: number | undefined;
  /** How long, in milliseconds. */
  readonly time: number;
  readonly pipeline: number;
  /** Messages that answer a request. */
  readonly answers: number;
  readonly isJson: boolean;
}

const DEFAULT_MESSAGE = "PING";
const DEFAULT_TIME_MS = 10_000;

/** Reads and checks the flags of `bench`. */
export function planBench({ flags, args }: Command): BenchPlan {
  const chosen = chooseFraming(flags);
  if (chosen.isRaw) {
    throw new UsageError("bench counts messages, and --raw has none");
  }
  const given = messagesOf(flags, "message", {
    format: flags.has("hex") ? "hex" : "text",
    hasEscapes: flags.has("escapes"),
  });
  const messages = given.length > 0 ? given : [DEFAULT_MESSAGE];
  const time = flags.duration("time") ?? DEFAULT_TIME_MS;
  if (time === 0) throw new UsageError("bench needs a --time above 0");
  return {
    place: parsePlace(args[0] ?? ""),
    chosen,
    messages,
    frames: framesOf("message", messages, chosen),
    connections: flags.count("connections") ?? 1,
    rate: flags.count("rate"),
    time,
    pipeline: flags.count("pipeline") ?? 1,
    answers: parseCount("--answers", flags.text("answers") ?? "1"),
    isJson: flags.has("json"),
  };
}
