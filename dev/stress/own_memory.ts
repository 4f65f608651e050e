/** Watches what this process holds. */

const LOOK_MS = 100;
const REST_MS = 20_000;

/** The most memory that this process is seen to hold, from its making on. */
export class OwnMemory implements Disposable {
  #peak = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor() {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Bytes. */
  get peak(): number {
    this.#look();
    return this.#peak;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    this.#peak = Math.max(this.#peak, Deno.memoryUsage().rss);
  }
}

/** The open files of this process, or `undefined` where the system does not tell. */
export function openFiles(): number | undefined {
  if (Deno.build.os !== "linux") return undefined;
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/**
 * The open files of this process, once they are as few as `most`: a case that time
 * has cut short goes on for a moment.
 *
 * @throws {Error} If they stay more.
 */
export async function openFilesAtRest(most: number): Promise<number> {
  const deadline = Date.now() + REST_MS;
  for (;;) {
    const files = openFiles() ?? 0;
    if (files <= most) return files;
    if (Date.now() > deadline) {
      throw new Error(
        `Files did not come back: ${files} are more than ${most}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
