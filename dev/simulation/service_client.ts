/** A client in virtual time, which reconnects until it has all of its answers. */
import { assert, assertEquals } from "@std/assert";
import { reconnect } from "../../client.ts";
import { Connection } from "../../connection.ts";
import { lines, unframed } from "../../framing.ts";
import type { Network } from "./network.ts";
import type { Scenario } from "./scenarios.ts";

// Timeouts of connections: they end a peer that vanished, but not a slow one.
const BEAT_MS = 256;
const SILENCE_MS = 1280;
// How connections may end here.
const KNOWN_ERRORS: readonly string[] = [
  "AbortError",
  "BadResource",
  "BrokenPipe",
  "ConnectionReset",
  "FramingError",
  "Interrupted",
  "InvalidStateError",
  "Odd",
  "QuotaExceededError",
  "TimeoutError",
  "UnexpectedEof",
];

// A part of a message may arrive before a reset.
const framing = lines({ trailing: "error" });

/** The options of all connections. */
export function optionsOf({ highWaterMark }: Scenario) {
  return {
    framing,
    highWaterMark,
    receiveTimeout: SILENCE_MS,
    sendTimeout: SILENCE_MS,
    heartbeat: { interval: BEAT_MS, message: "beat" },
  };
}

/** A request of a client, until it has the answer. */
interface Job {
  readonly id: string;
  readonly body: number | undefined;
  readonly answer: string;
}

/** The messages of one connection of a client. */
interface Session {
  readonly connection: Connection<string, string>;
  readonly asked: string[];
  readonly answered: string[];
  readonly news: number[];
}

/** A client that reconnects until it is done, and repeats unanswered requests. */
export class Client {
  readonly name: string;
  readonly sessions: Session[] = [];
  /** Settles when it is done. */
  readonly done: Promise<void>;
  result: PromiseSettledResult<void> | undefined;
  readonly #pending = new Map<string, Job>();
  readonly #log: (event: string) => void;
  #session: Session | undefined;
  #jobs = 0;
  #isFinishing = false;
  answers = 0;

  constructor(
    name: string,
    scenario: Scenario,
    network: Network,
    log: (event: string) => void,
  ) {
    this.name = name;
    this.#log = (event) => log(`${name}: ${event}`);
    this.done = reconnect({
      connect: async () =>
        new Connection<string, string>(
          await network.dial(),
          optionsOf(scenario),
        ),
      minTimeout: 64,
      maxTimeout: 512,
      jitter: 0,
      onError: (error) => {
        this.#log(`lost its connection: ${error}`);
        checkKnown(error);
      },
    }, (connection) => this.#handle(connection));
    this.done.then(
      (value) => this.result = { status: "fulfilled", value },
      (reason) => this.result = { status: "rejected", reason },
    );
  }

  get connection(): Connection<string, string> | undefined {
    return this.#session?.connection;
  }

  /** Sends a request, now or on the next connection. */
  ask(size: number, isUpload: boolean): void {
    const id = `${this.name}-${this.#jobs++}`;
    const job: Job = {
      id,
      body: isUpload ? size : undefined,
      answer: isUpload ? `${id} got ${size}` : `${id} ${"x".repeat(size)}`,
    };
    this.#pending.set(id, job);
    if (this.#session !== undefined) this.#send(job, this.#session);
  }

  /** Ends when all requests are answered. */
  finish(): void {
    this.#isFinishing = true;
    this.ask(0, false); // the loop ends with its answer
  }

  async #handle(connection: Connection<string, string>): Promise<void> {
    this.#log("connects");
    const session: Session = { connection, asked: [], answered: [], news: [] };
    this.sessions.push(session);
    this.#session = session;
    for (const job of this.#pending.values()) this.#send(job, session);
    try {
      for await (const message of connection) {
        if (message === "beat") continue;
        this.#log(`takes ${message.slice(0, 20)}`);
        if (message.startsWith("news ")) {
          session.news.push(Number(message.slice(5)));
        } else this.#note(message, session);
        if (this.#isFinishing && this.#pending.size === 0) return;
      }
    } finally {
      this.#session = undefined;
    }
  }

  #send({ id, body }: Job, { connection, asked }: Session): void {
    asked.push(id);
    const isUpload = body !== undefined;
    const answer = this.#pending.get(id)?.answer ?? "";
    const sending = connection.send(
      isUpload ? `upload ${id} ${body}` : `ask ${answer}`,
    );
    sending.catch(() => {}); // the request is repeated
    if (!isUpload || body === 0) return;
    connection.send(new Uint8Array(body).fill(10), { framing: unframed() })
      .catch(() => {});
  }

  #note(message: string, session: Session): void {
    const id = message.split(" ", 1)[0] ?? "";
    session.answered.push(id);
    const job = this.#pending.get(id);
    assert(job !== undefined, `${this.name} was answered twice: ${id}`);
    assertEquals(message, job.answer);
    this.#pending.delete(id);
    this.answers++;
  }
}

/** Throws unless a connection may end with this error. */
export function checkKnown(error: unknown): void {
  if (error instanceof Error && KNOWN_ERRORS.includes(error.name)) return;
  throw new Error(`An error that is not documented: ${error}`, {
    cause: error,
  });
}
