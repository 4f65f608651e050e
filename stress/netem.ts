/**
 * The workloads over a network that loses, delays and reorders packets: two
 * network namespaces with a link between them. Linux only, as root.
 */
import { assert, assertEquals } from "@std/assert";
import { ServerProcess } from "./load_process.ts";
import { CommandError } from "./netem_command.ts";
import { NetworkLink, type PacketCounters } from "./netem_link.ts";
import type { Impairment } from "./netem_relay.ts";
import { SOURCES } from "./netem_workloads.ts";
import type {
  Limits,
  NetemClientOptions,
  NetemLatency,
  NetemResult,
  NetemServerPorts,
  NetemServerState,
} from "./netem_workloads.ts";
import type { ReportRow } from "./report_row.ts";

const MESSAGES = 48;
// Long enough that TCP waits longer and longer, and still comes back soon.
const DOWN_MS = 3000;
const RATE_MBITS = 10;

/** What this machine refuses: the command, and what became of it. */
export interface Refusals {
  /** Two namespaces and a link between them. */
  readonly namespaces: string | undefined;
  /** A kernel that harms packets itself. */
  readonly netem: string | undefined;
  /** Harm to packets, by the kernel or without it. */
  readonly impairment: string | undefined;
}

/** Finds out what this machine refuses, by trying it. */
export async function findRefusals(): Promise<Refusals> {
  let netem: string | undefined;
  const namespaces = await refusal(async () => {
    await using link = await NetworkLink.open();
    netem = await refusal(() => link.addQueue("netem", "delay", "1ms"));
  });
  if (namespaces !== undefined) {
    return { namespaces, netem: namespaces, impairment: namespaces };
  }
  const impairment = netem && await refusal(async () => {
    await using _ = await NetworkLink.openRelayed({ impairment: {}, seed: 0 });
  });
  return { namespaces, netem, impairment };
}

async function refusal(
  attempt: () => Promise<void>,
): Promise<string | undefined> {
  try {
    await attempt();
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}

/** A link whose packets come to harm, by the kernel if it can, and else by a relay. */
export async function openImpaired(
  impairment: Impairment,
  { seed, netem }: { seed: number; netem: string | undefined },
): Promise<NetworkLink> {
  if (netem !== undefined) {
    return await NetworkLink.openRelayed({ impairment, seed });
  }
  const link = await NetworkLink.open();
  try {
    await link.addQueue("netem", ...netemArguments(impairment));
    return link;
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
}

function netemArguments(
  { delay, jitter = 0, ...shares }: Impairment,
): string[] {
  return [
    // Its own limit of packets would drop some.
    ...["limit", "100000"],
    ...delay === undefined ? [] : ["delay", `${delay}ms`, `${jitter}ms`],
    ...Object.entries(shares).flatMap(([name, share]) => [name, `${share}%`]),
  ];
}

/** What a run over a link did. */
export interface LinkRun {
  readonly result: NetemResult;
  readonly server: NetemServerState;
  readonly counters: PacketCounters;
}

/** How a run over a link goes. */
export interface LinkRunOptions {
  readonly seconds: number;
  readonly messages: number;
  readonly limits?: Limits;
  /**
   * Whether the client sends until it fails, which `disturb` brings about.
   *
   * @default {false}
   */
  readonly isCut?: boolean;
  /** What happens to the link once messages have arrived. */
  disturb?(): Promise<void>;
}

/**
 * Runs the workloads over a link, the server on one side and the client on the
 * other, and asserts that both processes end by themselves, and well.
 */
export async function runOver(
  link: NetworkLink,
  { seconds, messages, limits = {}, isCut = false, disturb }: LinkRunOptions,
): Promise<LinkRun> {
  await using server = await startServer(link, limits, messages);
  const { process, line } = await startClient(link, {
    task: isCut ? "cut" : "run",
    ports: server.ports,
    limits,
    seconds,
    messages,
  });
  await using client = process;
  let hasArrived = false;
  let told: { arrived?: number; result?: NetemResult } = JSON.parse(line);
  while (told.result === undefined) {
    if (!hasArrived && told.arrived !== undefined && told.arrived > 0) {
      hasArrived = true;
      await disturb?.();
      if (isCut) await client.tell("cut");
    }
    told = JSON.parse(await client.next());
  }
  assertEquals(await client.end(), { code: 0, stderr: "" });
  assert(hasArrived || disturb === undefined, "Too short to be disturbed");
  const counters = await link.counters();
  const state = await server.end();
  return { result: told.result, server: state, counters };
}

interface NetemServer extends AsyncDisposable {
  readonly ports: NetemServerPorts;
  /** Ends it, and gives what it had seen. */
  end(): Promise<NetemServerState>;
}

async function startServer(
  link: NetworkLink,
  limits: Limits,
  messages: number,
): Promise<NetemServer> {
  const { hostname } = link;
  const { process, line } = await ServerProcess.start("netem_server.ts", {
    under: link.under("server"),
    args: [JSON.stringify({ hostname, limits, messages })],
  });
  return {
    ports: JSON.parse(line),
    async end() {
      let state: NetemServerState;
      // Some of its connections may have to find out yet.
      do {
        state = JSON.parse(await process.ask("state"));
      } while (state.connections > 0);
      await process[Symbol.asyncDispose]();
      assertEquals(await process.end(), { code: 0, stderr: "" });
      return state;
    },
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

async function startClient(
  link: NetworkLink,
  options: Omit<NetemClientOptions, "hostname">,
): Promise<{ process: ServerProcess; line: string }> {
  return await ServerProcess.start("netem_client.ts", {
    under: link.under("client"),
    args: [JSON.stringify({ hostname: link.hostname, ...options })],
  });
}

/** Asserts that all that was sent has arrived, once and in order, without an error. */
export function assertAllArrived({ result, server }: LinkRun): void {
  const { sent, arrived, wrong, unsettled, errors } = result;
  assertEquals(
    { arrived, wrong, unsettled, errors },
    { arrived: sent, wrong: 0, unsettled: [], errors: {} },
  );
  assertEquals([server.wrong, server.errors], [0, {}]);
}

/**
 * Asserts that each connection of a run ended by an error that `explained` names,
 * and that nothing came out of order before.
 */
export function assertAllEnded(
  { result, server }: LinkRun,
  explained: readonly RegExp[],
): void {
  const { runs, wrong, unsettled, errors } = result;
  const ended = Object.values(errors).reduce((sum, count) => sum + count, 0);
  assertEquals(
    { ended, wrong: wrong + server.wrong, unsettled },
    { ended: runs, wrong: 0, unsettled: [] },
  );
  for (const error of Object.keys({ ...errors, ...server.errors })) {
    assert(
      explained.some((each) => each.test(error)),
      `Not explained: ${error}`,
    );
  }
}

/** How connections end by their own limits, or by the program, when the link is gone. */
export const ENDED_BY_LIMIT: readonly RegExp[] = [
  /^TimeoutError: .* neither sent nor took a byte within idleTimeout of \d+ ms$/,
  /^TimeoutError: .* did not take it within sendTimeout of \d+ ms$/,
  /^TimeoutError: Cannot connect to .* within connectTimeout of 500 ms$/,
  /^Error: aborted here$/,
];

// The kernel tells its reason once, to a read or to a write: the time is over, or
// the last packet could not be sent at all. A write beside that read is told EPIPE.
const ENDED_BY_SYSTEM: readonly RegExp[] = [
  /^TimedOut: /,
  /^(Network|Host)Unreachable: /,
  /^Error: No route to host /,
  /^BrokenPipe: /,
  ...ENDED_BY_LIMIT.slice(-2),
];

/** Something that is done to the link, and what shows that it was. */
interface Condition {
  readonly fault: string;
  /** Whether packets come to harm, by the kernel or by a relay. */
  readonly impairment?: Impairment;
  /** A queue of the kernel. */
  readonly queue?: string[];
  /** Asserts that the fault was felt, and says how. */
  felt(run: LinkRun): string;
}

const CONDITIONS: readonly Condition[] = [
  {
    fault: "none",
    felt: ({ result, counters }) =>
      `${roundTrip(result)}; ${
        megabits(result, counters).toFixed(0)
      } Mbit/s to the client`,
  },
  {
    fault: "delay of 20 ms each way, 5 ms more or less",
    impairment: { delay: 20, jitter: 5 },
    felt({ result }) {
      assert(result.roundTrip > 30, roundTrip(result));
      return roundTrip(result);
    },
  },
  {
    fault: "1 % of packets lost",
    impairment: { loss: 1 },
    felt: retransmitted,
  },
  {
    fault: "10 % of packets lost",
    impairment: { loss: 10 },
    felt: retransmitted,
  },
  {
    fault: "25 % of packets overtake those of 5 ms before",
    impairment: { delay: 5, reorder: 25 },
    felt: ({ counters }) => some(counters.outOfOrder, "segments out of order"),
  },
  {
    fault: "10 % of packets come twice",
    impairment: { duplicate: 10 },
    felt: ({ counters }) => some(counters.duplicated, "segments came twice"),
  },
  {
    fault: "2 % of packets with a wrong bit",
    impairment: { corrupt: 2 },
    felt: ({ counters }) =>
      some(counters.corrupted, "segments with a wrong checksum"),
  },
  {
    fault:
      "all of these: 10 ms, 3 ms more or less, 3 % lost, 10 % overtaking, 5 % twice, 2 % wrong",
    impairment: {
      delay: 10,
      jitter: 3,
      loss: 3,
      reorder: 10,
      duplicate: 5,
      corrupt: 2,
    },
    felt: retransmitted,
  },
  {
    fault: `at most ${RATE_MBITS} Mbit/s each way`,
    queue: [
      "tbf",
      ...["rate", `${RATE_MBITS}mbit`, "burst", "16kb", "latency", "400ms"],
    ],
    felt({ result, counters }) {
      const rate = megabits(result, counters);
      assert(rate < RATE_MBITS * 1.05, `${rate} Mbit/s`);
      return `${rate.toFixed(1)} Mbit/s to the client`;
    },
  },
];

/** The full sizes of this suite, for about `seconds`. */
export async function* networkRows(
  { seconds, seed }: { seconds: number; seed: number },
): AsyncGenerator<ReportRow> {
  const refusals = await findRefusals();
  if (refusals.namespaces !== undefined) {
    return yield skipped("all of the network's", refusals.namespaces);
  }
  if (refusals.netem !== undefined) {
    yield skipped(
      "by the kernel's netem",
      `${refusals.netem}; a relay between two tun devices takes its place`,
    );
  }
  const harmedBy = refusals.netem === undefined
    ? "packets harmed by netem"
    : "packets harmed by a relay";
  // The faults of the link itself take some seconds, whatever is asked for.
  const share = Math.max(1, (seconds - 20) / CONDITIONS.length);
  for (const condition of CONDITIONS) {
    const { fault, impairment, queue } = condition;
    try {
      await using link = impairment === undefined
        ? await NetworkLink.open()
        : await openImpaired(impairment, { seed, netem: refusals.netem });
      if (queue !== undefined) await link.addQueue(...queue);
      const run = await runOver(link, { seconds: share, messages: MESSAGES });
      assertAllArrived(run);
      const note = condition.felt(run);
      yield row(fault, run, impairment ? `${note}; ${harmedBy}` : note);
    } catch (error) {
      yield unlessRefused(fault, error);
    }
  }
  yield await linkDown();
  yield await linkGone();
  yield await linkGoneWithoutLimits();
  yield await latencyRow(seed, refusals.netem);
}

/** The link goes down while messages are under way, and comes back. */
async function linkDown(): Promise<ReportRow> {
  const fault = `the link goes down for ${DOWN_MS / 1000} s and comes back`;
  try {
    await using link = await NetworkLink.open();
    const run = await runOver(link, {
      seconds: DOWN_MS / 1000 + 1,
      messages: MESSAGES,
      async disturb() {
        await link.setUp(false);
        await new Promise((resolve) => setTimeout(resolve, DOWN_MS));
        await link.setUp(true);
      },
    });
    assertAllArrived(run);
    const { longestSilence } = run.result;
    assert(longestSilence > DOWN_MS * 0.9, `${longestSilence} ms`);
    const silence = (longestSilence / 1000).toFixed(1);
    return row(
      fault,
      run,
      `nothing arrived for ${silence} s, and then all of it; ${
        retransmitted(run)
      }`,
    );
  } catch (error) {
    return unlessRefused(fault, error);
  }
}

/** The link goes down for good, and the connections' own limits end them. */
async function linkGone(): Promise<ReportRow> {
  const limits = { idleTimeout: 4000, sendTimeout: 2000 };
  const fault =
    "the link goes down for good; idleTimeout of 4 s, sendTimeout of 2 s";
  try {
    await using link = await NetworkLink.open();
    const run = await runOver(link, {
      seconds: 0,
      messages: MESSAGES,
      // Ample, so that none of them ends what waits before the link is down.
      limits,
      isCut: true,
      disturb: () => link.setUp(false),
    });
    assertAllEnded(run, ENDED_BY_LIMIT);
    return endedRow(fault, run);
  } catch (error) {
    return unlessRefused(fault, error);
  }
}

/** The link goes down for good, and only the kernel can tell. */
async function linkGoneWithoutLimits(): Promise<ReportRow> {
  const fault =
    "the link goes down for good; keepAlive and no timeouts, a kernel that gives up after some seconds";
  try {
    await using link = await NetworkLink.open();
    await link.giveUpSoon();
    const run = await runOver(link, {
      seconds: 0,
      messages: MESSAGES,
      limits: { keepAlive: true },
      isCut: true,
      disturb: () => link.setUp(false),
    });
    assertAllEnded(run, ENDED_BY_SYSTEM);
    return endedRow(fault, run);
  } catch (error) {
    return unlessRefused(fault, error);
  }
}

/** Requests one by one over a slow link, beside bare writes and reads. */
async function latencyRow(
  seed: number,
  netem: string | undefined,
): Promise<ReportRow> {
  const fault = "delay of 10 ms each way";
  try {
    await using slow = await openImpaired({ delay: 10 }, { seed, netem });
    const far = await measureLatency(slow);
    await using fast = await NetworkLink.open();
    const near = await measureLatency(fast);
    return {
      workload: "request, one at a time",
      fault,
      operations: far.requests,
      lost: 0,
      duplicated: 0,
      unsettled: 0,
      peakMemory: Deno.memoryUsage().rss,
      note: `a request takes ${
        (far.request / far.bare).toFixed(2)
      } times as long as a bare write and read (median ${
        far.request.toFixed(1)
      } ms and ${
        far.bare.toFixed(1)
      } ms); two messages flushed one by one, and their answer: ${
        far.withNoDelay.toFixed(1)
      } ms, with noDelay: false ${
        far.withoutNoDelay.toFixed(1)
      } ms; without the delay ${near.withNoDelay.toFixed(2)} ms and ${
        near.withoutNoDelay.toFixed(1)
      } ms`,
    };
  } catch (error) {
    return unlessRefused(fault, error);
  }
}

async function measureLatency(link: NetworkLink): Promise<NetemLatency> {
  await using server = await startServer(link, {}, MESSAGES);
  const { process, line } = await startClient(link, {
    task: "latency",
    ports: server.ports,
    limits: {},
    seconds: 0,
    messages: MESSAGES,
  });
  await using client = process;
  const { result }: { result: NetemLatency } = JSON.parse(line);
  assertEquals(await client.end(), { code: 0, stderr: "" });
  assertEquals((await server.end()).wrong, 0);
  return result;
}

function row(fault: string, run: LinkRun, note: string): ReportRow {
  const { sent, arrived, wrong, unsettled, peakMemory, runs } = run.result;
  return {
    workload: `echo, request and broadcast over ${SOURCES.length} framings`,
    fault,
    operations: sent,
    lost: sent - arrived,
    duplicated: wrong + run.server.wrong,
    unsettled: unsettled.length,
    peakMemory,
    note: `${runs} runs; ${note}`,
  };
}

/** What is not received when a link is gone was never acknowledged. */
function endedRow(fault: string, run: LinkRun): ReportRow {
  const { errors, arrived } = run.result;
  const ends = Object.entries(errors).map(([error, count]) =>
    `${count} × ${error.replace(/ to [\d.:]+/, "")}`
  );
  return {
    ...row(fault, run, `each ended by an error: ${ends.join(", ")}`),
    operations: arrived,
    lost: 0,
  };
}

function skipped(fault: string, reason: string): ReportRow {
  return {
    workload: "not run here",
    fault,
    operations: 0,
    lost: 0,
    duplicated: 0,
    unsettled: 0,
    peakMemory: 0,
    note: `skipped: ${reason}`,
  };
}

function unlessRefused(fault: string, error: unknown): ReportRow {
  if (error instanceof CommandError) return skipped(fault, error.message);
  throw error;
}

function roundTrip({ roundTrip }: NetemResult): string {
  return `a request takes ${roundTrip.toFixed(1)} ms`;
}

function megabits(
  { seconds }: NetemResult,
  { bytesToClient }: PacketCounters,
): number {
  return bytesToClient * 8 / 1e6 / seconds;
}

function retransmitted({ counters }: LinkRun): string {
  return some(counters.retransmitted, "segments sent again");
}

function some(count: number, what: string): string {
  assert(count > 0, `No ${what}`);
  return `${count} ${what}`;
}
