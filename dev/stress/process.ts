/** Tests SIGTERM with a server program built as in the README. */
import { assert, assertEquals } from "@std/assert";
import { connect } from "../../client/connect.ts";
import type { Connection } from "../../connection/connection.ts";
import { lines } from "../../framing.ts";
import { ServerProcess } from "./load_process.ts";
import type { ReportRow } from "./report_row.ts";

const framing = lines();
// The number of concurrent requests of a client.
const WINDOW = 20;
// Long enough that nothing is aborted.
const AMPLE_MS = 60_000;

/** The results of the requests at one SIGTERM. */
export interface Drained {
  /** Requests that the server has read, and answers that arrived. */
  readonly read: number;
  readonly answered: number;
  /** Answers out of order. */
  readonly wrong: number;
}

/**
 * Makes clients send requests without a break, ends the server when each has got
 * `answers` answers, and counts the answers that still arrive.
 */
export async function drainUnderLoad(
  clients: number,
  answers: number,
): Promise<Drained> {
  const { process, line } = await ServerProcess.start("process_server.ts", {
    args: [`${AMPLE_MS}`],
  });
  await using _process = process;
  const port = Number(line);
  const allBusy = Promise.withResolvers<void>();
  let busy = 0;
  const tallies = Array.from({ length: clients }, async () => {
    await using client = await connect({ port, framing });
    return await askOn(client, (answered) => {
      if (answered === answers && ++busy === clients) allBusy.resolve();
    });
  });
  await Promise.race([allBusy.promise, Promise.all(tallies)]);
  process.terminate();
  const results = await Promise.all(tallies);
  const read = Number(await process.next());
  const { code, stderr } = await process.end();
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  return {
    read,
    answered: results.reduce((sum, { answered }) => sum + answered, 0),
    wrong: results.reduce((sum, { wrong }) => sum + wrong, 0),
  };
}

/** Sends requests without a break until the answers end. */
async function askOn(
  client: Connection<string, string>,
  onAnswer: (answered: number) => void,
): Promise<{ answered: number; wrong: number }> {
  let asked = 0;
  let answered = 0;
  let wrong = 0;
  const question = (number: number) =>
    number % 7 === 0 ? `a while ${number}` : `now ${number}`;
  const ask = () => client.send(question(asked++)).catch(() => {}); // the server has ended
  for (let i = 0; i < WINDOW; i++) ask();
  for await (const answer of client) {
    if (answer !== question(answered).toUpperCase()) wrong++;
    onAnswer(++answered);
    ask();
  }
  return { answered, wrong };
}

/** Asserts that a pending request at SIGTERM is answered. */
export async function finishUnderWay(): Promise<void> {
  const { process, line } = await ServerProcess.start("process_server.ts", {
    args: [`${AMPLE_MS}`],
  });
  await using _process = process;
  await using client = await connect({ port: Number(line), framing });
  const request = client.request("beyond the signal");
  assertEquals(await process.next(), "beyond the signal");
  process.terminate();
  assertEquals(await request, "BEYOND THE SIGNAL");
  assertEquals(await client.receive(), undefined);
  assertEquals(await process.next(), "1");
  assertEquals(await process.end(), { code: 0, stderr: "" });
}

/**
 * Asserts that a handler that never ends keeps the process alive no longer than the
 * timeout.
 */
export async function cutEndless(): Promise<void> {
  const { process, line } = await ServerProcess.start("process_server.ts", {
    args: ["100"],
  });
  await using _process = process;
  await using client = await connect({ port: Number(line), framing });
  client.send("for ever");
  assertEquals(await process.next(), "for ever");
  process.terminate();
  assertEquals(await client.receive(), undefined);
  const { code, stderr } = await process.end();
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
}

/** The lines of the report: SIGTERM at one time after another. */
export async function* processRows(
  { seconds }: { seconds: number; seed: number },
): AsyncGenerator<ReportRow> {
  const deadline = Date.now() + seconds * 1000;
  let rounds = 0;
  let operations = 0;
  let lost = 0;
  let duplicated = 0;
  do {
    const { read, answered, wrong } = await drainUnderLoad(50, 1 + rounds * 37);
    assert(answered <= read, "More answers than requests");
    operations += read;
    lost += read - answered;
    duplicated += wrong;
    rounds++;
  } while (Date.now() < deadline && rounds < 100);
  await finishUnderWay();
  await cutEndless();
  yield {
    workload: "50 clients with 20 requests under way each",
    fault: "SIGTERM",
    operations,
    lost,
    duplicated,
    unsettled: 0,
    peakMemory: Deno.memoryUsage().rss,
    note:
      `${rounds} servers, all ended with 0; requests are those that the server had read; memory is that of the clients`,
  };
}
