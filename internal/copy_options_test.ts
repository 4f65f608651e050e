import { assertEquals, assertStrictEquals } from "@std/assert";
import { copyOptions } from "./copy_options.ts";

Deno.test("copyOptions() copies own properties and those of the class", () => {
  class Defaults {
    readonly #port = 4000;
    hostname = "localhost";
    get port(): number {
      return this.#port;
    }
    filter(): boolean {
      return this.#port === 4000;
    }
  }
  class Options extends Defaults {
    override hostname = "127.0.0.1";
  }
  const options = new Options();
  const copy = copyOptions(options);
  options.hostname = "";

  const { filter } = copy;
  assertEquals([copy.hostname, copy.port, copy.filter(), filter()], [
    "127.0.0.1",
    4000,
    true,
    true,
  ]);
  assertEquals(Object.keys(copy).sort(), ["filter", "hostname", "port"]);
});

Deno.test("copyOptions() copies defaults without a prototype", () => {
  const defaults = Object.assign(Object.create(null), { port: 4000 });
  assertEquals(copyOptions(Object.create(defaults)), { port: 4000 });
});

Deno.test("copyOptions() adds nothing to a plain object", () => {
  const signal = AbortSignal.abort();
  const copy = copyOptions({ port: 1, signal });
  assertEquals(Object.keys(copy), ["port", "signal"]);
  assertStrictEquals(copy.signal, signal);
  assertEquals(Object.keys(copyOptions(Object.create(null))), []);
});

Deno.test("copyOptions() copies heartbeat too", () => {
  const message = { type: "beat" };
  const options = { heartbeat: { interval: 1, message } };
  const copy = copyOptions(options);
  options.heartbeat.interval = NaN;
  assertEquals(copy.heartbeat.interval, 1);
  assertStrictEquals(copy.heartbeat.message, message);
});
