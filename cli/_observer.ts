/**
 * Observes the traffic of a proxy: shows, records and captures it.
 *
 * @module
 */
import { ChunkDecoder } from "../framing.ts";
import { namingTask } from "../internal/system_error.ts";
import { Display } from "./_display.ts";
import type { Origin } from "./_format.ts";
import { keepSample, Sample } from "./_guess.ts";
import { Flow, type FlowEnds, pcapHeader } from "./_pcap.ts";
import type { ProxyPlan } from "./_proxy_plan.ts";
import { reasonOf } from "./_reason.ts";
import { eventLine, messageLine, recordingHeader } from "./_recording.ts";
import type { Shell } from "./_shell.ts";

/** Observes all connections of a proxy. */
export class Observer implements Disposable {
  readonly #plan: ProxyPlan;
  readonly #shell: Shell;
  readonly #display: Display;
  readonly #record: OutputFile | undefined;
  readonly #pcap: OutputFile | undefined;
  readonly #started = Date.now();
  #hasLineEnd = false;
  /** The samples to guess from, by sender. */
  readonly samples: Readonly<Record<Origin, Sample[]>> = {
    client: [],
    server: [],
  };

  /** Opens the files; throws if one cannot be written. */
  constructor(plan: ProxyPlan, shell: Shell) {
    this.#plan = plan;
    this.#shell = shell;
    this.#display = new Display(shell, {
      format: plan.format,
      isAnnotated: true,
    });
    this.#record = openToWrite(plan.record);
    this.#pcap = openToWrite(plan.pcap);
    try {
      this.#pcap?.write(pcapHeader());
      this.#note(recordingHeader(plan.chosen.flags, new Date(this.#started)));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Begins to observe a connection. */
  open(number: number, ends: FlowEnds): ObservedConnection {
    const time = this.#display.now();
    const pcap = this.#pcap;
    this.#note(eventLine("open", { time, connection: number, from: "client" }));
    const flow = pcap && new Flow(
      ends,
      number,
      this.#started + time,
      (packet) => pcap.write(packet),
    );
    return {
      client: this.#direction(number, "client", flow),
      server: this.#direction(number, "server", flow),
      reset: (from) => {
        const time = this.#display.now();
        flow?.reset(from, this.#started + time);
        this.#note(eventLine("reset", { time, connection: number, from }));
      },
      forget: () => this.#display.forget(number),
    };
  }

  #direction(
    connection: number,
    from: Origin,
    flow: Flow | undefined,
  ): ObservedDirection {
    const { chosen, isQuiet, guesses } = this.#plan;
    const decoder = new ChunkDecoder(chosen.framing);
    const sample = new Sample();
    if (guesses) keepSample(this.samples[from], sample);
    const shows = !isQuiet && !(guesses && !this.#shell.isOutputTerminal);
    let fits = true;
    const take = async (decode: () => Uint8Array[], time: number) => {
      if (!fits) return;
      let messages: Uint8Array[];
      try {
        messages = decode();
      } catch (error) {
        fits = false;
        const side = from === "client" ? "client" : "server";
        this.#shell.note(
          `#${connection} The ${side} does not fit the framing, its bytes still pass: ${
            reasonOf(error)
          }`,
        );
        return;
      }
      for (const bytes of messages) {
        const message = { time, connection, from, bytes };
        this.#note(messageLine(message));
        if (shows) await this.#display.show(message);
      }
    };
    return {
      take: async (chunk) => {
        const time = this.#display.now();
        flow?.data(from, chunk, this.#started + time);
        sample.add(chunk);
        if (from === "client") this.#noteLineEnd(chunk);
        await take(() => decoder.decode(chunk), time);
        // An error comes after the messages before it, with the next call.
        await take(() => decoder.decode(NO_BYTES), time);
      },
      end: async () => {
        const time = this.#display.now();
        flow?.end(from, this.#started + time);
        sample.isWhole = true;
        await take(() => decoder.end(), time);
        this.#note(eventLine("end", { time, connection, from }));
      },
    };
  }

  /** A replay ends lines as the client did; decoded lines do not show how. */
  #noteLineEnd(chunk: Uint8Array): void {
    if (this.#hasLineEnd) return;
    const end = chunk.indexOf(LF);
    if (end === -1) return;
    this.#hasLineEnd = true;
    const { flags } = this.#plan.chosen;
    if (!flags.includes("--lines") || flags.includes("--eol")) return;
    if (chunk[end - 1] !== CR) return;
    const withEnd = [...flags, "--eol", "crlf"];
    this.#note(recordingHeader(withEnd, new Date(this.#started)));
  }

  #note(line: string): void {
    this.#record?.write(new TextEncoder().encode(line));
  }

  [Symbol.dispose](): void {
    this.#record?.close();
    this.#pcap?.close();
  }
}

const LF = 0x0a;
const CR = 0x0d;
const NO_BYTES = new Uint8Array(0);

/** An observed connection. */
export interface ObservedConnection {
  readonly client: ObservedDirection;
  readonly server: ObservedDirection;
  reset(from: Origin): void;
  forget(): void;
}

/** One direction of it. */
export interface ObservedDirection {
  /** Observes bytes, which must not change later. */
  take(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

function openToWrite(path: string | undefined): OutputFile | undefined {
  return path === undefined ? undefined : new OutputFile(path);
}

/** A new file, which an error of a write names. */
class OutputFile {
  readonly #path: string;
  readonly #file: Deno.FsFile;

  constructor(path: string) {
    this.#path = path;
    this.#file = Deno.openSync(path, {
      write: true,
      create: true,
      truncate: true,
    });
  }

  write(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length;) {
        at += this.#file.writeSync(bytes.subarray(at));
      }
    } catch (error) { // such as a full disk
      throw namingTask(error, `write to ${this.#path}`);
    }
  }

  close(): void {
    this.#file.close();
  }
}
