/** A long mixed run on the server under load, which measures whether its memory grows. */
import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { heldMemory } from "./held_memory.ts";
import {
  ask,
  type Client,
  connectTls,
  connectUnix,
  counted,
  LoadedServer,
  type LoadResult,
  newTally,
  type Tally,
  withinMinutes,
} from "./load.ts";

/** A measurement of both processes while they run. */
export interface Sample {
  readonly seconds: number;
  readonly operations: number;
  /** Bytes of objects and buffers in the server and here, after a garbage collection. */
  readonly heap: number;
  readonly ownHeap: number;
  readonly resident: number;
}

/** All kinds of work in turn, with pauses; some connections fail. */
export async function soak(
  { seconds, sampleSeconds }: { seconds: number; sampleSeconds: number },
): Promise<LoadResult & { readonly samples: Sample[] }> {
  await using server = await LoadedServer.start();
  const { descriptors } = await server.firstState();
  // Makes one-time allocations, also for each kind of error.
  const first = await Mixture.start(server, newTally());
  await first.round();
  await first.stop();
  const before = await server.rest(descriptors);
  const tally = newTally();
  const mixture = await Mixture.start(server, tally);
  const samples: Sample[] = [];
  const start = performance.now();
  const secondsSoFar = () => (performance.now() - start) / 1000;
  let nextSample = 0;
  do {
    const begun = performance.now();
    await withinMinutes(1, mixture.round());
    if (secondsSoFar() >= nextSample) {
      nextSample += sampleSeconds;
      const { heap, resident } = await server.state();
      const { heapUsed, external } = heldMemory();
      samples.push({
        seconds: secondsSoFar(),
        operations: tally.asked,
        heap,
        ownHeap: heapUsed + external,
        resident,
      });
    }
    // About a third of one processor.
    await delay(2 * (performance.now() - begun));
  } while (secondsSoFar() < seconds && tally.unsettled === 0);
  await mixture.stop();
  return { tally, before, after: await server.lastState(before), samples };
}

const LARGE = "x".repeat(1024 * 1024);

/** Clients of all kinds. */
class Mixture {
  readonly #server: LoadedServer;
  readonly #tally: Tally;
  // These stay for the whole run, over TCP, TLS and a Unix socket.
  readonly #lasting: Client[];
  readonly #subscribers: Client[];
  #rounds = 0;

  private constructor(
    server: LoadedServer,
    tally: Tally,
    lasting: Client[],
    subscribers: Client[],
  ) {
    this.#server = server;
    this.#tally = tally;
    this.#lasting = lasting;
    this.#subscribers = subscribers;
  }

  static async start(server: LoadedServer, tally: Tally): Promise<Mixture> {
    const connectAll = (count: number, open: () => Promise<Client>) =>
      Promise.all(Array.from({ length: count }, open));
    const lasting = [
      ...await connectAll(20, () => server.connect()),
      ...await connectAll(5, () => connectTls(server.address)),
      ...await connectAll(5, () => connectUnix(server.address)),
    ];
    const subscribers = await connectAll(20, () => server.connect());
    await Promise.all(
      subscribers.map((each, i) => ask(each, `subscribe ${i}`, tally)),
    );
    return new Mixture(server, tally, lasting, subscribers);
  }

  async round(): Promise<void> {
    this.#rounds++;
    await Promise.all([
      this.#pipeline(),
      this.#publish(),
      this.#comeAndGo(() => this.#server.connect()),
      this.#comeAndGo(() => connectTls(this.#server.address)),
      this.#comeAndGo(() => connectUnix(this.#server.address)),
      this.#halfClose(),
      this.#abortOneOfTwo(),
      this.#endBadly("half a messa"),
      this.#endBadly("fail handler\n"),
      ...this.#rounds % 20 === 0
        ? [
          ask(this.#lasting[0]!, LARGE, this.#tally),
          this.#endBadly(LARGE.repeat(3)),
        ]
        : [],
    ]);
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#lasting, ...this.#subscribers].map((each) => each.close()),
    );
  }

  async #pipeline(): Promise<void> {
    await Promise.all(
      this.#lasting.flatMap((client, i) =>
        Array.from(
          { length: 10 },
          (_, j) => ask(client, `echo ${i} ${j} ${this.#rounds}`, this.#tally),
        )
      ),
    );
  }

  async #publish(): Promise<void> {
    const notice = `publish ${this.#rounds}`;
    await using publisher = await this.#server.connect();
    const received = this.#subscribers.map((each) =>
      counted(this.#tally, async () => {
        if (await each.receive() !== notice) this.#tally.wrong++;
      })
    );
    await publisher.send(notice);
    await Promise.all(received);
  }

  /** Two connections with a request each: we end one, the server the other. */
  async #comeAndGo(open: () => Promise<Client>): Promise<void> {
    await Promise.all(["echo", "last"].map(async (word) => {
      await using client = await open();
      await ask(client, `${word} ${this.#rounds}`, this.#tally);
      if (word === "last") assertEquals(await client.receive(), undefined);
    }));
  }

  async #halfClose(): Promise<void> {
    await counted(this.#tally, async () => {
      await using client = await this.#server.connect();
      const sent = Array.from({ length: 20 }, (_, i) => `echo ${i}`);
      for (const line of sent) await client.send(line);
      await client.closeWrite();
      assertEquals(await Array.fromAsync(client), sent);
    });
  }

  async #abortOneOfTwo(): Promise<void> {
    await using client = await this.#server.connect();
    const controller = new AbortController();
    const aborted = client.request("echo aborted", {
      signal: controller.signal,
      onAbort: "skip",
    });
    controller.abort();
    await aborted.catch(() => {});
    await ask(client, "echo after it", this.#tally);
  }

  /** A raw client, which the server reports as an error. */
  async #endBadly(text: string): Promise<void> {
    const { port } = this.#server.address;
    using conn = await Deno.connect({ hostname: "127.0.0.1", port });
    let rest: Uint8Array = new TextEncoder().encode(text);
    try {
      while (rest.length > 0) rest = rest.subarray(await conn.write(rest));
    } catch {
      // The server has ended the connection.
    }
  }
}

/** The growth of `value` in a second, by linear regression. */
export function slope(
  samples: readonly Sample[],
  value: (sample: Sample) => number,
): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const time = mean(({ seconds }) => seconds);
  const level = mean(value);
  const spread = mean(({ seconds }) => (seconds - time) ** 2);
  return mean((each) => (each.seconds - time) * (value(each) - level)) / spread;
}
