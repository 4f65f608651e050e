/**
 * Publishes events of connections on `node:diagnostics_channel`. Without subscribers, it
 * only checks for them: once when a transport opens, once when a connection is made from
 * it, and once at its end.
 *
 * @module
 */
import { builtinModule } from "./event_loop.ts";

/** A channel of `node:diagnostics_channel`, as far as it matters here. */
interface Channel {
  readonly hasSubscribers: boolean;
  publish(message: unknown): void;
}

interface Channels {
  readonly open: Channel;
  readonly close: Channel;
}

/** Who opened a connection; the connection itself does not know. */
export interface Origin {
  /** Whether this side dialled or accepted. */
  readonly role: "client" | "server";
  /** The name or address of the server, or its path, as it was dialled. */
  readonly address?: string;
  /** The port of the server, as it was dialled. */
  readonly port?: number;
}

const origins = new WeakMap<object, Origin>();

// `null` if the runtime has no such channels, to ask only once.
let channels: Channels | null | undefined;

function getChannels(): Channels | null | undefined {
  let module: { channel(name: string): Channel } | undefined;
  try {
    module = builtinModule("node:diagnostics_channel");
  } catch {
    // Deno loads Node's modules on first use, and runs continuations meanwhile. For those
    // the module is not loaded yet, so nothing can have subscribed.
    return undefined;
  }
  if (module === undefined) return null;
  return {
    open: module.channel("framed_tcp.connection.open"),
    close: module.channel("framed_tcp.connection.close"),
  };
}

/** The channel for opening, if it has subscribers. */
function openChannel(): Channel | undefined {
  if (channels === undefined) channels = getChannels();
  return channels?.open.hasSubscribers ? channels.open : undefined;
}

/**
 * Notes who opened a transport, before a connection is made from it.
 *
 * @param origin Makes the origin, if there are subscribers.
 */
export function noteOrigin(transport: object, origin: () => Origin): void {
  if (openChannel() !== undefined) origins.set(transport, origin());
}

/** The origin of a transport that a server has accepted. */
export function serverOrigin(): Origin {
  return { role: "server" };
}

/** Tells subscribers that a connection was made from `transport`. */
export function publishOpen(connection: object, transport: object): void {
  openChannel()?.publish({ connection, ...origins.get(transport) });
}

/** Tells subscribers that a connection has ended, and with which error. */
export function publishClose(
  connection: object,
  failure: { readonly error: unknown } | undefined,
): void {
  if (channels?.close.hasSubscribers) {
    channels.close.publish({ connection, ...failure });
  }
}
