/**
 * What is published about connections on `node:diagnostics_channel`. If nothing has subscribed,
 * that is all that is looked at: once when a transport is opened, once when a
 * connection is made of it, and once at its end.
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

/** Who opened a connection, of which the connection itself knows nothing. */
export interface Origin {
  /** Whether this side dialled or accepted. */
  readonly role: "client" | "server";
  /** The name or address of the server, or its path, as it was dialled. */
  readonly address?: string;
  /** The port of the server, as it was dialled. */
  readonly port?: number;
}

const origins = new WeakMap<object, Origin>();

// `null` if the runtime has no such channels, so that it is not asked again.
let channels: Channels | null | undefined;

function getChannels(): Channels | null | undefined {
  let module: { channel(name: string): Channel } | undefined;
  try {
    module = builtinModule("node:diagnostics_channel");
  } catch {
    // Deno loads Node's modules when they are first asked for, and runs continuations
    // meanwhile, for which they are not there yet: nothing can have subscribed.
    return undefined;
  }
  if (module === undefined) return null;
  return {
    open: module.channel("framed_tcp.connection.open"),
    close: module.channel("framed_tcp.connection.close"),
  };
}

/** The channel of opening, if something listens to it. */
function openChannel(): Channel | undefined {
  if (channels === undefined) channels = getChannels();
  return channels?.open.hasSubscribers ? channels.open : undefined;
}

/**
 * Notes who opened a transport, before a connection is made of it.
 *
 * @param origin Makes it, if something listens.
 */
export function noteOrigin(transport: object, origin: () => Origin): void {
  if (openChannel() !== undefined) origins.set(transport, origin());
}

/** Tells those who subscribed that a connection was made of `transport`. */
export function publishOpen(connection: object, transport: object): void {
  openChannel()?.publish({ connection, ...origins.get(transport) });
}

/** Tells those who subscribed that a connection has ended, and by which error. */
export function publishClose(
  connection: object,
  failure: { readonly error: unknown } | undefined,
): void {
  if (channels?.close.hasSubscribers) {
    channels.close.publish({ connection, ...failure });
  }
}
