/**
 * `connect`: a connection at a terminal, or as a filter.
 *
 * @module
 */
import { abortable } from "@std/async/abortable";
import type { Connection } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import { connectCode } from "./_connect_code.ts";
import { open } from "./_connection_flags.ts";
import { Display } from "./_display.ts";
import { type ConnectPlan, planConnect, sendInput } from "./_connect_plan.ts";
import { Quiet } from "./_quiet.ts";
import type { Shell } from "./_shell.ts";
import { parsePlace, placeName } from "./_values.ts";
import type { Command } from "./_command.ts";

/** The program that does the same. */
export function code(command: Command): Promise<string> {
  return connectCode(command, planConnect(command));
}

/** Connects, and runs until the peer, the input or Ctrl-C ends it. */
export async function run(command: Command, shell: Shell): Promise<number> {
  const plan = planConnect(command);
  const place = parsePlace(command.args[0] ?? "");
  await using connection = await open(
    command.flags,
    place,
    { framing: plan.chosen.framing, heartbeat: plan.heartbeat },
    shell.interrupted,
  );
  if (plan.guesses) {
    const { guessAnswers } = await import("./_connect_guess.ts");
    return await guessAnswers(connection, plan, shell);
  }
  if (
    plan.messages.length === 0 && shell.isInputTerminal &&
    shell.isOutputTerminal
  ) {
    const { converse } = await import("./_converse.ts");
    return await converse(connection, plan, placeName(place), shell);
  }
  return await filter(connection, plan, shell);
}

/** Writes received messages, and nothing else, to standard output. */
async function filter(
  connection: Connection<Bytes, Sendable>,
  plan: ConnectPlan,
  shell: Shell,
): Promise<number> {
  const { count, wait, format } = plan;
  const display = new Display(shell, {
    format,
    isAnnotated: false,
  });
  using quiet = new Quiet(wait);
  const sending = sendInput(connection, plan, shell).then(() => quiet.begin());
  let received = 0;
  const receiving = (async () => {
    for (;;) {
      const bytes = await quiet.receive(connection);
      if (bytes === undefined) return;
      await display.show({ time: display.now(), from: "server", bytes });
      if (++received === count) return;
    }
  })();
  // An error in the input ends it; the end of the input does not. An output that is
  // not read must not delay Ctrl-C.
  await abortable(
    Promise.race([receiving, sending.then(() => receiving)]),
    shell.interrupted,
  );
  const isEnough = received === count;
  // The peer may still be reading the input, unless a person types it.
  const hasMoreToSend = !isEnough && !shell.isInputTerminal;
  // A waiting input must not delay Ctrl-C or a reset.
  if (hasMoreToSend) await Promise.race([sending, connection.closed]);
  if (count !== undefined && !isEnough) {
    throw new Error(
      `Received ${received} of ${count} messages, and ${
        quiet.isOver ? `nothing more for ${wait} ms` : "then the end"
      }`,
    );
  }
  return 0;
}
