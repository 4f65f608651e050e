import { SERVE_TLS_FLAGS } from "./_connection_flags.ts";
import type { Command } from "./_command.ts";
import type { Sendable } from "../framing.ts";
import type { Format, InputOptions } from "./_format.ts";
import { chooseFraming, type ChosenFraming } from "./_framing_flags.ts";
import {
  framesOf,
  type Heartbeat,
  heartbeatOf,
  inputOptions,
  messagesOf,
  outputFormat,
} from "./_sending.ts";
import { parsePlace, type Place, UsageError } from "./_values.ts";

const ANSWERS = ["echo", "reply", "exec", "broadcast", "discard"] as const;

/** How a message is answered; by default with typed lines. */
export type Answer = typeof ANSWERS[number] | "typed";

/** The checked command line of `listen`. */
export interface ListenPlan {
  readonly place: Place;
  readonly chosen: ChosenFraming;
  readonly format: Format;
  readonly input: InputOptions;
  readonly answer: Answer;
  readonly reply: Sendable;
  readonly command: string;
  readonly heartbeat: Heartbeat | undefined;
  readonly count: number | undefined;
  readonly endsWithFirst: boolean;
  readonly isQuiet: boolean;
  readonly guesses: boolean;
  readonly keepsHistory: boolean;
}

/** Reads and checks the flags of `listen`. */
export function planListen({ flags, args }: Command): ListenPlan {
  const [answer = "typed", another] = ANSWERS.filter((name) => flags.has(name));
  if (another !== undefined) {
    throw new UsageError(
      `--${answer} and --${another} are two answers: give one`,
    );
  }
  const chosen = chooseFraming(flags);
  const place = parsePlace(args[0] ?? "");
  if (
    "path" in place && SERVE_TLS_FLAGS.flags.some(({ name }) => flags.has(name))
  ) {
    throw new UsageError("A Unix socket has no TLS");
  }
  const input = inputOptions(flags, chosen.isRaw);
  const replies = messagesOf(flags, "reply", input);
  framesOf("reply", replies, chosen);
  const [reply = ""] = replies;
  return {
    place,
    chosen,
    format: outputFormat(flags, chosen.isRaw),
    input,
    answer,
    reply,
    command: flags.text("exec") ?? "",
    heartbeat: heartbeatOf(flags, input),
    count: flags.count("count"),
    endsWithFirst: flags.has("once"),
    isQuiet: flags.has("quiet"),
    guesses: flags.has("guess"),
    keepsHistory: !flags.has("no-history"),
  };
}
