/**
 * The parts of the process that the tool uses: three streams, a terminal and Ctrl-C.
 * Verbs get them as an argument, so that tests can replace them.
 *
 * @module
 */
import { delay } from "@std/async/delay";

/** The process around a command. */
export interface Shell {
  /** Standard input. */
  readonly input: ReadableStream<Uint8Array>;
  readonly isInputTerminal: boolean;
  readonly isOutputTerminal: boolean;
  /** Whether standard error is a terminal: for a progress bar. */
  readonly isErrorTerminal: boolean;
  /** Whether colours may be used, on a terminal. */
  readonly hasColor: boolean;
  /** Writes to standard output; throws an {@linkcode OutputClosed} if it is closed. */
  write(output: Uint8Array | string): Promise<void>;
  /** Writes a line to standard error. */
  note(line: string): void;
  /** Writes to standard error without ending the line. */
  noteRaw(text: string): void;
  /**
   * Aborts with an {@linkcode Interrupted} on Ctrl-C and SIGTERM, once this property has
   * been read.
   */
  readonly interrupted: AbortSignal;
}

/** Standard output is closed, as by `head -1`: there is nothing left to do. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

/** Ctrl-C ended a running command; the reason of {@linkcode Shell.interrupted}. */
export class Interrupted extends Error {
  override name = "Interrupted";
}

// How long to wait for a full output that does not block.
const FULL_PAUSE_MS = 5;

/** Writes all of `bytes`. */
async function writeAll(
  writer: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    try {
      at += await writer.write(bytes.subarray(at));
    } catch (error) {
      // Another program that shares the terminal or the pipe may have made it
      // non-blocking: it is full, and no event tells when it is not.
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      await delay(FULL_PAUSE_MS);
    }
  }
}

/** The process itself. */
export class ProcessShell implements Shell {
  readonly isInputTerminal = Deno.stdin.isTerminal();
  readonly isOutputTerminal = Deno.stdout.isTerminal();
  readonly isErrorTerminal = Deno.stderr.isTerminal();
  readonly hasColor = !Deno.noColor;
  #interrupted: AbortController | undefined;
  #written: Promise<void> = Promise.resolve();

  get input(): ReadableStream<Uint8Array> {
    return Deno.stdin.readable;
  }

  write(output: Uint8Array | string): Promise<void> {
    const bytes = toBytes(output);
    this.#written = this.#written.then(() => writeAll(Deno.stdout, bytes))
      .catch((cause) => {
        throw cause instanceof Deno.errors.BrokenPipe
          ? new OutputClosed("Standard output is closed", { cause })
          : cause;
      });
    return this.#written;
  }

  note(line: string): void {
    this.noteRaw(`${line}\n`);
  }

  noteRaw(text: string): void {
    try {
      const bytes = toBytes(text);
      for (let at = 0; at < bytes.length;) {
        at += Deno.stderr.writeSync(bytes.subarray(at));
      }
    } catch {
      // No reader is left.
    }
  }

  get interrupted(): AbortSignal {
    if (this.#interrupted === undefined) {
      const controller = new AbortController();
      this.#interrupted = controller;
      const signals: Deno.Signal[] = ["SIGINT"];
      if (Deno.build.os !== "windows") signals.push("SIGTERM");
      const onSignal = () => {
        // A second signal ends the process if the first did not.
        for (const signal of signals) {
          Deno.removeSignalListener(signal, onSignal);
        }
        controller.abort(new Interrupted("Interrupted"));
      };
      for (const signal of signals) Deno.addSignalListener(signal, onSignal);
    }
    return this.#interrupted.signal;
  }
}

function toBytes(output: Uint8Array | string): Uint8Array {
  return typeof output === "string" ? new TextEncoder().encode(output) : output;
}
