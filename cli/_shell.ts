/**
 * What the tool has to do with the process around it: three streams, a terminal and
 * Ctrl-C. Verbs get it as an argument, so tests can stand in for it.
 *
 * @module
 */

/** The process around a command. */
export interface Shell {
  /** Standard input. */
  readonly input: ReadableStream<Uint8Array>;
  readonly isInputTerminal: boolean;
  readonly isOutputTerminal: boolean;
  /** Whether standard error is a terminal: for a bar of progress. */
  readonly isErrorTerminal: boolean;
  /** Whether colours may be used, on a terminal that is. */
  readonly hasColor: boolean;
  /** Writes to standard output; throws an {@linkcode OutputClosed} if it is closed. */
  write(output: Uint8Array | string): Promise<void>;
  /** Writes a line to standard error. */
  note(line: string): void;
  /** Writes to standard error without ending the line. */
  noteRaw(text: string): void;
  /**
   * Aborted by Ctrl-C and SIGTERM, with an {@linkcode Interrupted}, from the first time
   * this is asked for.
   */
  readonly interrupted: AbortSignal;
}

/** Standard output is closed, as by `head -1`: there is nothing left to do. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

/** Ctrl-C ended what would have gone on; the reason of {@linkcode Shell.interrupted}. */
export class Interrupted extends Error {
  override name = "Interrupted";
}

/** Writes all of `bytes`. */
async function writeAll(
  writer: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await writer.write(bytes.subarray(at));
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
      // There is no one left to tell.
    }
  }

  get interrupted(): AbortSignal {
    if (this.#interrupted === undefined) {
      const controller = new AbortController();
      this.#interrupted = controller;
      const signals: Deno.Signal[] = ["SIGINT"];
      if (Deno.build.os !== "windows") signals.push("SIGTERM");
      const onSignal = () => {
        // A second one ends the process, should the first not have.
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
