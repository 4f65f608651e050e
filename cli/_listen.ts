/**
 * `listen`: accepts connections, shows what they send, and answers them.
 *
 * @module
 */
import { broadcast, type Connection } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import { serve, type Server } from "../server.ts";
import type { Command } from "./_command.ts";
import {
  connectionSettings,
  readServeTls,
  servingLimits,
} from "./_connection_flags.ts";
import { Display } from "./_display.ts";
import { readMessages } from "./_format.ts";
import { keepSample, Sample } from "./_guess.ts";
import { listenCode } from "./_listen_code.ts";
import { type ListenPlan, planListen } from "./_listen_plan.ts";
import { reasonOf } from "./_reason.ts";
import { answerOf } from "./_shell_command.ts";
import type { Shell } from "./_shell.ts";
import { bytesOf, nameOfAddress, UsageError } from "./_values.ts";

type Bare = Connection<Bytes, Sendable>;

/** The program that does the same. */
export function code(command: Command): Promise<string> {
  return listenCode(command, planListen(command));
}

/** Listens until Ctrl-C, or until `--once` or `--count` is fulfilled. */
export async function run(command: Command, shell: Shell): Promise<number> {
  const plan = planListen(command);
  const { flags } = command;
  const tls = await readServeTls(flags);
  // TLS over a Unix socket is refused by `serve()`, which says why.
  const place: object = { ...plan.place, ...(tls && { tls }) };
  const listening = new Listening(plan, shell);
  const { interrupted } = shell;
  let server: Server<Bytes, Sendable>;
  try {
    server = serve({
      ...place,
      framing: plan.chosen.framing,
      heartbeat: plan.heartbeat,
      ...connectionSettings(flags),
      ...servingLimits(flags, plan.endsWithFirst),
      // The handler reports its own errors; these are of connections that were never
      // made.
      onError: (error) => listening.say(reasonOf(error)),
    }, (connection) => listening.attend(connection));
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message);
    }
    throw error;
  }
  try {
    return await listening.run(server, interrupted);
  } finally {
    // Do not wait for handlers: one may wait for an output that is not read.
    await server.shutdown({ timeout: SHUTDOWN_MS });
  }
}

/** A server at work. */
class Listening {
  readonly #plan: ListenPlan;
  readonly #shell: Shell;
  readonly #done = new AbortController();
  readonly #interrupted = Promise.withResolvers<void>();
  readonly #connected = Promise.withResolvers<void>();
  readonly #connections = new Set<Bare>();
  readonly #samples: Sample[] = [];
  #display: Display;
  #print: ((line: string) => void) | undefined;
  #inputSent: Promise<void> | undefined;
  /** Why it ends, if that is an error. */
  #failure: { readonly error: unknown } | undefined;
  #accepted = 0;
  #received = 0;

  constructor(plan: ListenPlan, shell: Shell) {
    this.#plan = plan;
    this.#shell = shell;
    this.#display = this.#displayOn();
  }

  #displayOn(print?: (line: string) => void): Display {
    return new Display(this.#shell, {
      format: this.#plan.format,
      isAnnotated: this.#shell.isOutputTerminal,
      ...(print && { print }),
    });
  }

  say(text: string): void {
    if (this.#print === undefined) this.#shell.note(text);
    else this.#print(text);
  }

  async run(
    server: Server<Bytes, Sendable>,
    interrupted: AbortSignal,
  ): Promise<number> {
    const { answer, count, guesses } = this.#plan;
    const ended = Promise.withResolvers<void>();
    const end = () => {
      if (interrupted.aborted) this.#interrupted.resolve();
      ended.resolve();
    };
    for (const signal of [interrupted, this.#done.signal]) {
      if (signal.aborted) end();
      signal.addEventListener("abort", end);
    }
    const isAtTerminal = answer === "typed" && this.#shell.isInputTerminal &&
      this.#shell.isOutputTerminal && !guesses;
    {
      using _terminal = isAtTerminal
        ? await this.#openTerminal(end)
        : undefined;
      this.say(`Listening on ${nameOfAddress(server.addr)}`);
      if (answer === "typed" && !this.#shell.isInputTerminal) {
        this.#inputSent = this.#sendInput();
        this.#inputSent.catch((error) => ended.reject(error));
      }
      await ended.promise;
    }
    this.#print = undefined;
    await server.shutdown({ timeout: SHUTDOWN_MS });
    if (guesses) {
      const { anyFits, guessReport } = await import("./_guess_report.ts");
      await this.#shell.write(`${guessReport(this.#samples)}\n`);
      return anyFits(this.#samples) ? 0 : 1;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    if (count !== undefined && this.#received < count && !interrupted.aborted) {
      throw new Error(
        `Received ${this.#received} of ${count} messages, and then the end`,
      );
    }
    return 0;
  }

  /** Shows what a connection sends, and answers it, until it ends. */
  async attend(connection: Bare): Promise<void> {
    const number = ++this.#accepted;
    const { endsWithFirst } = this.#plan;
    this.#connections.add(connection);
    this.#connected.resolve();
    const { remoteAddr } = connection;
    const from = remoteAddr === undefined
      ? ""
      : ` from ${nameOfAddress(remoteAddr)}`;
    this.say(`#${number} connected${from}`);
    try {
      await this.#converse(connection, number);
      const { messagesReceived, messagesSent } = connection.stats();
      this.say(
        `#${number} ended: ${messagesReceived} received, ${messagesSent} sent`,
      );
    } catch (error) {
      if (!this.#done.signal.aborted) {
        if (endsWithFirst) this.#endWith(error);
        else this.say(`#${number} failed: ${reasonOf(error)}`);
      }
      // After an error of the peer's, the connection still sends what was queued.
      if (!connection.signal.aborted) connection.abort(error);
    } finally {
      this.#connections.delete(connection);
      this.#display.forget(number);
      if (endsWithFirst) this.#done.abort();
    }
  }

  /** Ends with an error, unless Ctrl-C came before it. */
  #endWith(error: unknown): void {
    if (!this.#shell.interrupted.aborted) this.#failure ??= { error };
    this.#done.abort();
  }

  async #converse(connection: Bare, number: number): Promise<void> {
    const { count, guesses } = this.#plan;
    const sample = new Sample();
    if (guesses) keepSample(this.#samples, sample);
    for await (const bytes of connection) {
      if (this.#received === count) break; // the last one came on another
      this.#received++;
      sample.add(bytes);
      await this.#show(number, "client", bytes);
      await this.#answer(connection, number, bytes);
      if (this.#received === count) {
        this.#done.abort();
        break;
      }
    }
    sample.isWhole = true;
    // Standard input may be an answer to everything received.
    await Promise.race([this.#inputSent, this.#interrupted.promise]);
  }

  async #show(
    connection: number,
    from: "client" | "server",
    bytes: Uint8Array,
  ): Promise<void> {
    const { isQuiet, guesses } = this.#plan;
    if (isQuiet || guesses && !this.#shell.isOutputTerminal) return;
    const time = this.#display.now();
    try {
      await this.#display.show({ time, connection, from, bytes });
    } catch (error) {
      this.#endWith(error); // the disk is full, or the next program has ended
      throw error;
    }
  }

  async #answer(connection: Bare, number: number, bytes: Bytes): Promise<void> {
    const { answer, reply, command, format, chosen } = this.#plan;
    switch (answer) {
      case "echo":
        return await connection.send(bytes);
      case "broadcast": {
        const others = [...this.#connections].filter((each) =>
          each !== connection
        );
        return void await broadcast(others, bytes);
      }
      case "reply":
        await connection.send(reply);
        return await this.#showAnswer(number, bytesOf(reply));
      case "exec": {
        const isBinary = chosen.isRaw || format === "binary";
        const { output, code } = await answerOf(
          command,
          bytes,
          !isBinary,
          connection.signal, // the answer would reach no client
        );
        if (code !== 0) {
          this.say(`#${number} The command ended with code ${code}`);
        }
        await connection.send(output);
        return await this.#showAnswer(number, output);
      }
    }
  }

  /** A pipe gets only received messages. */
  async #showAnswer(number: number, bytes: Bytes): Promise<void> {
    const { format } = this.#plan;
    if (!this.#shell.isOutputTerminal && format !== "json") return;
    await this.#show(number, "server", bytes);
  }

  /** Sends standard input to all connected clients, once there is one. */
  async #sendInput(): Promise<void> {
    await this.#connected.promise;
    const { input, chosen } = this.#plan;
    const messages = readMessages(this.#shell.input, {
      ...input,
      isRaw: chosen.isRaw,
    });
    for await (const message of messages) {
      await broadcast(this.#connections, message, { slow: "wait" });
    }
    for (const connection of this.#connections) connection.closeWrite();
  }

  async #openTerminal(end: () => void): Promise<Disposable> {
    const { Terminal } = await import("./_terminal.ts");
    const { parseMessage } = await import("./_format.ts");
    const terminal = new Terminal({
      commands: [],
      keepsHistory: this.#plan.keepsHistory,
      hasColor: this.#shell.hasColor,
      onLine: (line) => {
        try {
          if (this.#connections.size === 0) this.say("No one is connected");
          const message = parseMessage("The line", line, this.#plan.input);
          broadcast(this.#connections, message)
            .catch((error) => this.say(reasonOf(error)));
        } catch (error) {
          this.say(reasonOf(error));
        }
      },
      onEnd: end,
      onInterrupt: end,
    });
    const print = (line: string) => terminal.print(line);
    this.#print = print;
    this.#display = this.#displayOn(print);
    return terminal;
  }
}

// A peer that has not ended by then does not listen.
const SHUTDOWN_MS = 500;
