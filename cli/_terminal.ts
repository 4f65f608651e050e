/**
 * A line that is typed while messages arrive, with line editing, history and completion
 * from `node:readline`.
 *
 * @module
 */
import process from "node:process";
import readline from "node:readline";
import { styleText } from "node:util";

const MAX_HISTORY = 500;
const HISTORY_KEY = "framed: history";

/** Options for {@linkcode Terminal}. */
export interface TerminalOptions {
  /** The commands that Tab completes. */
  readonly commands: readonly string[];
  /** Whether typed lines are kept for the next session. */
  readonly keepsHistory: boolean;
  readonly hasColor: boolean;
  /** Called with each line. */
  onLine(line: string): void;
  /** Called at Ctrl-D. */
  onEnd(): void;
  /** Called at Ctrl-C. */
  onInterrupt(): void;
}

/** A prompt at the bottom, with messages above it. */
export class Terminal implements Disposable {
  readonly #readline: readline.Interface;
  #isClosed = false;

  constructor(options: TerminalOptions) {
    const { commands, keepsHistory, hasColor, onLine, onEnd, onInterrupt } =
      options;
    this.#readline = readline.createInterface({
      input: process.stdin,
      output: process.stdout,
      prompt: hasColor
        ? styleText("green", "> ", { validateStream: false })
        : "> ",
      history: keepsHistory ? readHistory() : [],
      historySize: MAX_HISTORY,
      removeHistoryDuplicates: true,
      completer: (line: string): [string[], string] => [
        line.startsWith("/")
          ? commands.filter((each) => each.startsWith(line))
          : [],
        line,
      ],
    });
    if (keepsHistory) this.#readline.on("history", writeHistory);
    this.#readline.on("line", (line) => {
      onLine(line);
      this.#prompt();
    });
    this.#readline.on("SIGINT", onInterrupt);
    this.#readline.on("close", () => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      process.stdout.write("\n");
      onEnd();
    });
    this.#prompt();
  }

  /** Prints a line above the prompt, and leaves what is being typed as it is. */
  print(line: string): void {
    if (this.#isClosed) {
      process.stdout.write(`${line}\n`);
      return;
    }
    // What is being typed may go over several rows.
    const { rows } = this.#readline.getCursorPos();
    readline.moveCursor(process.stdout, 0, -rows);
    readline.cursorTo(process.stdout, 0);
    readline.clearScreenDown(process.stdout);
    process.stdout.write(`${line}\n`);
    this.#readline.prompt(true);
  }

  #prompt(): void {
    if (!this.#isClosed) this.#readline.prompt();
  }

  /** Gives the terminal back as it was. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    readline.cursorTo(process.stdout, 0);
    readline.clearScreenDown(process.stdout);
    this.#readline.close();
  }
}

// Deno's storage needs no permission, and is this program's own. Where there is none,
// the history ends with the process.
function readHistory(): string[] {
  try {
    const lines: unknown = JSON.parse(
      localStorage.getItem(HISTORY_KEY) ?? "[]",
    );
    return Array.isArray(lines) ? lines.map(String) : [];
  } catch {
    return [];
  }
}

function writeHistory(lines: readonly string[]): void {
  try {
    localStorage.setItem(
      HISTORY_KEY,
      JSON.stringify(lines.slice(0, MAX_HISTORY)),
    );
  } catch {
    // As above.
  }
}
