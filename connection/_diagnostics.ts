import { builtinModule } from "../internal/event_loop.ts";
import { originOf } from "../internal/origins.ts";

/** A channel of `node:diagnostics_channel`, as far as it matters here. */
interface Channel {
  readonly hasSubscribers: boolean;
  publish(message: unknown): void;
}

interface Channels {
  readonly open: Channel;
  readonly close: Channel;
}

// `null` where the runtime has no such channels, so that it is not asked again.
let channels: Channels | null | undefined;

function getChannels(): Channels | null {
  const module = builtinModule<{ channel(name: string): Channel }>(
    "node:diagnostics_channel",
  );
  if (module === undefined) return null;
  return {
    open: module.channel("framed_tcp.connection.open"),
    close: module.channel("framed_tcp.connection.close"),
  };
}

/** Tells those who subscribed that a connection was made of `transport`. */
export function publishOpen(connection: object, transport: object): void {
  channels ??= getChannels();
  if (channels?.open.hasSubscribers) {
    channels.open.publish({ connection, ...originOf(transport) });
  }
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
