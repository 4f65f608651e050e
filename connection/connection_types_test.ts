/**
 * Code that the type checker must refuse. Nothing here runs: `deno test` type-checks
 * it.
 *
 * @module
 */
import {
  asText,
  type Bytes,
  fixedLength,
  FrameEncoderStream,
  lengthPrefixed,
  lines,
  mapped,
} from "../framing.ts";
import {
  Connection,
  type ReceiveOptions,
  type Transport,
} from "../connection.ts";

/** Type-checked, not run. */
async function sendsAndReceives(
  texts: Connection<string>,
  bytes: Connection,
): Promise<void> {
  await texts.send("text");
  await bytes.send("text");
  await bytes.send(new Uint8Array());
  // @ts-expect-error: lines send no bytes
  await texts.send(new Uint8Array());
  await texts.send(new Uint8Array(), { framing: lengthPrefixed() });
  // @ts-expect-error: without a framing it is a line
  await texts.send(new Uint8Array(), {});
  // @ts-expect-error: nor by a framing of text
  await texts.send(new Uint8Array(), { framing: asText(lengthPrefixed()) });

  const line: string = await texts.request("text");
  // @ts-expect-error: what is received is not what is wished for
  const wished: number = await texts.request("text");
  // @ts-expect-error: nor if it is asked for by name
  const named: number = await texts.request<number>("text");
  // @ts-expect-error: nor with receive
  const received: number | undefined = await texts.receive();
  const next: string = await texts.expect();
  const body: Bytes | undefined = await texts.receive({
    framing: fixedLength(line.length),
  });
  // @ts-expect-error: the framing gives bytes
  const text: string = await texts.request("a", { framing: fixedLength(1) });
  void [wished, named, received, next, body, text];
}

/** Type-checked, not run. */
async function receivesByAnotherFraming(
  json: Connection<unknown>,
  texts: Connection<string>,
  options: ReceiveOptions<string>,
): Promise<void> {
  // The framing given says what comes, also if the connection's own could give it too.
  const body: Bytes | undefined = await json.receive({
    framing: fixedLength(1),
  });
  const line: string = await json.expect({ framing: lines() });
  const answer: string = await json.request({}, { framing: lines() });
  const next: string | undefined = await texts.receive(options);
  const last: string = await texts.expect(options);
  void [body, line, answer, next, last];
}

/** Type-checked, not run. */
function passedOn(
  texts: Connection<string>,
  takesAll: (connection: Connection<string, string | Uint8Array>) => void,
  takesText: (connection: Connection<unknown, string>) => void,
): void {
  takesText(texts);
  // @ts-expect-error: it could be sent bytes
  takesAll(texts);
}

interface Packet {
  type: number;
  body?: string;
}

/** Type-checked, not run. */
function beats(transport: Transport): Connection<Packet, Packet> {
  const framing = mapped(lines(), {
    decode: (line): Packet => ({ type: Number(line) }),
    encode: ({ type }: Packet) => `${type}`,
  });
  const heartbeat = { interval: 1000, message: { type: 12 } };
  const beating = new Connection(transport, { framing, heartbeat });
  const inline = new Connection(transport, {
    framing,
    heartbeat: { interval: 1000, message: { type: 12 } },
  });
  beating.send({ type: 3, body: "not only what the heartbeat sends" });
  inline.send({ type: 3, body: "not only what the heartbeat sends" });
  new Connection(transport, {
    framing,
    // @ts-expect-error: no packet
    heartbeat: { interval: 1000, message: "ping" },
  });
  return inline.reframe(framing, {
    heartbeat: { interval: 1000, message: { type: 12 } },
  });
}

/** Type-checked, not run. */
async function startsTls(
  texts: Connection<string>,
  caCerts: readonly string[],
): Promise<void> {
  await texts.startTls({ serverName: "localhost", caCerts });
  await texts.startTls({ side: "server", cert: "PEM", key: "PEM" });
  // @ts-expect-error: a client verifies a name
  await texts.startTls({});
  // @ts-expect-error: nor is one with a certificate of its own an exception
  await texts.startTls({ side: "client", cert: "PEM", key: "PEM" });
  // @ts-expect-error: a server has a certificate
  await texts.startTls({ side: "server" });
  const asServer = { side: "server", cert: "PEM", key: "PEM" } as const;
  // @ts-expect-error: a server asks for no certificate
  await texts.startTls({ ...asServer, caCerts: [] });
}

/** Type-checked, not run. */
function overStreams(
  compressed: TransformStream<BufferSource, Bytes>,
  messages: ReadableStream<string>,
): void {
  new Connection(compressed, { framing: lines() });
  messages.pipeThrough(new FrameEncoderStream(lines())).pipeThrough(compressed);
}

void [
  sendsAndReceives,
  receivesByAnotherFraming,
  passedOn,
  beats,
  startsTls,
  overStreams,
];
