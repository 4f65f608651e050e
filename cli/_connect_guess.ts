import type { Connection } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import { type ConnectPlan, sendInput } from "./_connect_plan.ts";
import { Display } from "./_display.ts";
import { Sample } from "./_guess.ts";
import { anyFits, guessReport } from "./_guess_report.ts";
import { Quiet } from "./_quiet.ts";
import { Interrupted, type Shell } from "./_shell.ts";

/** Receives raw bytes, and says at the end which framings fit. */
export async function guessAnswers(
  connection: Connection<Bytes, Sendable>,
  plan: ConnectPlan,
  shell: Shell,
): Promise<number> {
  const { count, wait, format } = plan;
  const sample = new Sample();
  // A person sees the bytes; another program gets only the result.
  const display = shell.isOutputTerminal
    ? new Display(shell, { format, isAnnotated: true })
    : undefined;
  using quiet = new Quiet(wait);
  const sending = sendInput(connection, plan, shell).then(() => quiet.begin());
  const receiving = (async () => {
    for (let received = 0; received !== count; received++) {
      const bytes = await quiet.receive(connection);
      if (bytes === undefined) break;
      sample.add(bytes);
      await display?.show({ time: display.now(), from: "server", bytes });
    }
    sample.isWhole = connection.hasEnded;
  })();
  try {
    await Promise.race([receiving, sending.then(() => receiving)]);
  } catch (error) {
    // Ctrl-C ends the wait, not the guess.
    if (!(error instanceof Interrupted)) throw error;
  }
  await shell.write(`${guessReport([sample])}\n`);
  return anyFits([sample]) ? 0 : 1;
}
