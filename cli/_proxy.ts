/**
 * `proxy`: forwards connections, and observes them.
 *
 * @module
 */
import { abortable } from "@std/async/abortable";
import type { Command } from "./_command.ts";
import { open, wantsTls } from "./_connection_flags.ts";
import { type Faults, FaultyLine, isRandom } from "./_faults.ts";
import type { Flags } from "./_flags.ts";
import { unframed } from "../framing.ts";
import { type ObservedDirection, Observer } from "./_observer.ts";
import { proxyCode } from "./_proxy_code.ts";
import { planProxy, type ProxyPlan } from "./_proxy_plan.ts";
import { reasonOf } from "./_reason.ts";
import type { Shell } from "./_shell.ts";
import { dial, Listener, type Side, sideOf } from "./_sockets.ts";
import { type Place, placeName } from "./_values.ts";

/** The program that does the same. */
export function code(command: Command): Promise<string> {
  return proxyCode(command, planProxy(command));
}

/** Forwards connections until Ctrl-C. */
export async function run(command: Command, shell: Shell): Promise<number> {
  const plan = planProxy(command);
  const { interrupted } = shell;
  using observer = new Observer(plan, shell);
  const proxy = new Proxy(plan, command.flags, observer, shell);
  {
    await using listener = await Listener.listen(
      plan.listen,
      (side) => proxy.accept(side),
    );
    const { faults } = plan;
    const seed = faults !== undefined && isRandom(faults)
      ? ` (--seed ${faults.seed})`
      : "";
    shell.note(
      `Passing ${placeName(listener.place)} on to ${
        placeName(plan.target)
      }${seed}`,
    );
    await proxy.runUntil(interrupted);
  }
  if (!plan.guesses) return 0;
  const { anyFits, guessReport } = await import("./_guess_report.ts");
  const { client, server } = observer.samples;
  await shell.write(
    `From the client: ${guessReport(client)}\nFrom the server: ${
      guessReport(server)
    }\n`,
  );
  return anyFits([...client]) || anyFits([...server]) ? 0 : 1;
}

class Proxy {
  readonly #plan: ProxyPlan;
  readonly #flags: Flags;
  readonly #observer: Observer;
  readonly #shell: Shell;
  readonly #links = new Map<Link, Promise<void>>();
  readonly #failed = Promise.withResolvers<void>();
  #accepted = 0;

  constructor(plan: ProxyPlan, flags: Flags, observer: Observer, shell: Shell) {
    this.#plan = plan;
    this.#flags = flags;
    this.#observer = observer;
    this.#shell = shell;
  }

  accept(client: Side): void {
    const link = new Link(client, ++this.#accepted);
    const done = this.#pass(link).catch((error) => this.#failed.reject(error))
      .finally(() => this.#links.delete(link));
    this.#links.set(link, done);
  }

  /** Settles after Ctrl-C, when no connection is left; rejects if nothing can be shown. */
  async runUntil(interrupted: AbortSignal): Promise<void> {
    const ended = Promise.withResolvers<void>();
    if (interrupted.aborted) ended.resolve();
    interrupted.addEventListener("abort", () => ended.resolve());
    try {
      await Promise.race([ended.promise, this.#failed.promise]);
    } finally {
      for (const link of this.#links.keys()) link.close();
      await Promise.all(this.#links.values());
    }
  }

  async #pass(link: Link): Promise<void> {
    const { client, number } = link;
    const { target, faults } = this.#plan;
    try {
      link.server = await this.#dial(target, link.signal);
    } catch (error) {
      this.#shell.note(`#${number} ${reasonOf(error)}`);
      client.reset();
      return;
    }
    const { server } = link;
    this.#shell.note(`#${number} connected from ${client.name}`);
    const observed = this.#observer.open(number, {
      client: client.remote,
      server: server.remote,
    });
    link.onReset = () => observed.reset("server");
    const ways = [
      relay(link, client, server, observed.client, faults, 2 * number),
      relay(link, server, client, observed.server, faults, 2 * number + 1),
    ];
    try {
      await Promise.all(ways);
      this.#shell.note(`#${number} ended`);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      // One side broke: tell the other.
      link.reset();
      this.#shell.note(`#${number} ${error.message}`);
    } finally {
      link.close();
      await Promise.allSettled(ways);
      observed.forget();
    }
  }

  async #dial(target: Place, signal: AbortSignal): Promise<Side> {
    if (!wantsTls(this.#flags)) return await dial(target, signal);
    const framing = unframed();
    return sideOf(await open(this.#flags, target, { framing }, signal), target);
  }
}

/** Both sides of a connection, and how it ends. */
class Link {
  readonly client: Side;
  readonly number: number;
  readonly #controller = new AbortController();
  server: Side | undefined;
  onReset: (() => void) | undefined;
  #isOver = false;

  constructor(client: Side, number: number) {
    this.client = client;
    this.number = number;
  }

  /** Aborts when the connection is over. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  reset(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.client.reset();
    this.server?.reset();
    this.onReset?.();
    this.#controller.abort(new Broken("was reset"));
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.client.close();
    this.server?.close();
    this.#controller.abort(new Broken("was closed"));
  }
}

/** The error of a connection that was not closed by both sides. */
class Broken extends Error {
  override name = "Broken";
}

/** Forwards the bytes of `source` to `target`, and its end. */
async function relay(
  link: Link,
  source: Side,
  target: Side,
  observed: ObservedDirection,
  faults: Faults | undefined,
  stream: number,
): Promise<void> {
  const { signal } = link;
  const line = faults && new FaultyLine(faults, faults.seed + stream, {
    write: (bytes) => target.write(bytes).catch(broken(signal, target)),
    end: () => target.end(),
    reset: () => link.reset(),
    signal,
  });
  for await (const chunk of readAll(source, signal)) {
    // An output that is not read must not delay Ctrl-C.
    await abortable(observed.take(chunk), signal);
    if (line === undefined) {
      await target.write(chunk).catch(broken(signal, target));
    } else await line.push(chunk);
  }
  await abortable(observed.end(), signal);
  if (line === undefined) target.end();
  else await line.finish();
}

async function* readAll(
  source: Side,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const chunks = source.chunks[Symbol.asyncIterator]();
  for (;;) {
    const next = await chunks.next().catch(broken(signal, source));
    signal.throwIfAborted();
    if (next.done) return;
    yield next.value;
  }
}

/** What an error of a socket means for the connection. */
function broken(signal: AbortSignal, side: Side): (error: unknown) => never {
  return (error) => {
    signal.throwIfAborted(); // this side caused it
    throw new Broken(`broke at ${side.name}: ${reasonOf(error)}`);
  };
}
