/**
 * A connection at a terminal: a line typed is a message sent.
 *
 * @module
 */
import type { Connection } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import type { ConnectPlan } from "./_connect_plan.ts";
import { Display } from "./_display.ts";
import { duration, type Format, parseMessage, size } from "./_format.ts";
import { reasonOf } from "./_reason.ts";
import type { Shell } from "./_shell.ts";
import { Terminal } from "./_terminal.ts";
import { parseHex } from "./_values.ts";

const HELP: readonly (readonly [string, string])[] = [
  ["/hex DIGITS", "Send these bytes; without digits, show and read all as hex"],
  ["/text", "Show and read text"],
  ["/json", "Show lines of JSON"],
  ["/file PATH", "Send what is in a file, as one message"],
  ["/half", "End this side, and go on receiving (also Ctrl-D)"],
  ["/stats", "Show how much has passed"],
  ["/close", "Close the connection (also Ctrl-C)"],
  ["//…", "Send a text that begins with /"],
];

/** The names of the commands. */
export const COMMANDS: readonly string[] = [
  "/close",
  "/file ",
  "/half",
  "/help",
  "/hex ",
  "/json",
  "/stats",
  "/text",
];

/** Sends typed lines, and shows received messages, until one side ends. */
export async function converse(
  connection: Connection<Bytes, Sendable>,
  plan: ConnectPlan,
  name: string,
  shell: Shell,
): Promise<number> {
  return await new Conversation(connection, plan, shell).run(name);
}

class Conversation {
  readonly #connection: Connection<Bytes, Sendable>;
  readonly #plan: ConnectPlan;
  readonly #shell: Shell;
  readonly #display: Display;
  readonly #terminal: Terminal;
  readonly #leave = new AbortController();
  // One after the other, even if the first is a file that must be read first.
  #acting: Promise<void> = Promise.resolve();

  constructor(
    connection: Connection<Bytes, Sendable>,
    plan: ConnectPlan,
    shell: Shell,
  ) {
    this.#connection = connection;
    this.#plan = plan;
    this.#shell = shell;
    this.#terminal = new Terminal({
      commands: COMMANDS,
      keepsHistory: plan.keepsHistory,
      hasColor: shell.hasColor,
      onLine: (line) => this.#doNext(() => this.#take(line)),
      onEnd: () => this.#doNext(() => this.#endSide()),
      onInterrupt: () => this.#leave.abort(),
    });
    this.#display = new Display(shell, {
      format: plan.format,
      isAnnotated: true,
      print: (line) => this.#terminal.print(line),
    });
  }

  async run(name: string): Promise<number> {
    const { signal } = this.#leave;
    const { count } = this.#plan;
    let received = 0;
    try {
      using _terminal = this.#terminal;
      const { alpnProtocol } = this.#connection;
      const by = alpnProtocol ? `, which speaks ${alpnProtocol}` : "";
      this.#say(`Connected to ${name}${by} (/help lists commands)`);
      for (;;) {
        const bytes = await this.#connection.receive({ signal });
        if (bytes === undefined) break;
        const time = this.#display.now();
        await this.#display.show({ time, from: "server", bytes });
        if (++received === count) break;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    const isOurs = signal.aborted || received === count;
    if (!isOurs && count !== undefined) {
      throw new Error(
        `Received ${received} of ${count} messages, and then the end`,
      );
    }
    this.#shell.note(isOurs ? "Closed" : "The peer has ended the connection");
    return 0;
  }

  #say(text: string): void {
    this.#terminal.print(text);
  }

  /** Acts on a line or a key, after those before it. */
  #doNext(act: () => void | Promise<void>): void {
    this.#acting = this.#acting.then(act)
      .catch((error) => this.#say(reasonOf(error)));
  }

  /** Ends this side. Later commands do not wait until the peer takes the end. */
  #endSide(): void {
    this.#connection.closeWrite().then(
      () => this.#say("This side has ended (Ctrl-C closes the connection)"),
      (error) => this.#say(reasonOf(error)),
    );
  }

  async #take(line: string): Promise<void> {
    if (!line.startsWith("/") || line.startsWith("//")) {
      const text = line.startsWith("//") ? line.slice(1) : line;
      // Messages shown as digits are typed as digits.
      const format = this.#display.format === "hex" ? "hex" : "text";
      const message = parseMessage("The line", text, {
        ...this.#plan.input,
        format,
      });
      return await this.#send(message);
    }
    const [command = ""] = line.slice(1).split(/\s/, 1);
    const rest = line.slice(1 + command.length).trim();
    switch (command) {
      case "hex": {
        if (rest === "") return this.#show("hex");
        const bytes = parseHex(rest);
        if (bytes === undefined) {
          return this.#say("/hex takes hexadecimal digits, two for each byte");
        }
        return await this.#send(bytes);
      }
      case "text":
      case "json":
        return this.#show(command);
      case "file":
        return await this.#sendFile(rest);
      case "half":
        return this.#endSide();
      case "stats":
        return this.#sayStats();
      case "close":
        return this.#leave.abort();
      case "help":
        return this.#say(
          HELP.map(([name, does]) => `  ${name.padEnd(13)}${does}`).join("\n"),
        );
    }
    this.#say(`There is no command /${command}: /help lists them`);
  }

  async #send(message: Sendable): Promise<void> {
    const sent = this.#connection.send(message);
    // The time of an answer counts from here.
    this.#display.note({ time: this.#display.now() });
    await sent;
  }

  async #sendFile(path: string): Promise<void> {
    const { state } = await Deno.permissions.query({ name: "read", path });
    // A prompt from Deno would go to the terminal that this line is on.
    if (state !== "granted") {
      return this.#say(`/file needs the permission --allow-read=${path}`);
    }
    await this.#send(await Deno.readFile(path));
  }

  #show(format: Format): void {
    this.#display.format = format;
    this.#say(
      format === "json"
        ? "Messages are shown as JSON"
        : `Messages are shown and read as ${format}`,
    );
  }

  #sayStats(): void {
    const stats = this.#connection.stats();
    this.#say(
      `  sent      ${stats.messagesSent} messages, ${size(stats.bytesSent)}, ${
        size(stats.bufferedAmount)
      } queued, blocked for ${duration(stats.blockedTime)}\n` +
        `  received  ${stats.messagesReceived} messages, ${
          size(stats.bytesReceived)
        }`,
    );
  }
}
