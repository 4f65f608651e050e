/**
 * Modbus TCP, the protocol of machines in factories and buildings: a server with holding
 * registers, and a client that writes and reads them.
 *
 * Each message begins with the MBAP header:
 *
 * ```text
 * byte  0 1          2 3       4 5     6     7 ...
 *       transaction  protocol  length  unit  request or response (PDU)
 * ```
 *
 * The length counts the bytes after it, so framing takes one line. The PDU begins with a
 * function code. The whole message has 260 bytes at most.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/modbus.ts
 * ```
 *
 * Or in two terminals, with `--server` and with `--client`. With `mbpoll`, a
 * common tool for Modbus: `mbpoll -0 -r 0 -c 4 -p 8000 127.0.0.1`.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { type Bytes, connect, type Connection, correlate } from "@framed/tcp";
import { type Correlation, FieldReader, FramingError } from "@framed/tcp";
import { lengthPrefixed, mapped, serve, type Server } from "@framed/tcp";
import { runLesson } from "./_lesson.ts";

interface Message {
  /** Chosen by the client; the response has the same value. */
  transaction: number;
  /** The device that the server forwards requests to, if it has several. */
  unit: number;
  pdu: Bytes;
}

const framing = mapped(
  // `strip: 0`: a message is the whole frame, with its header.
  lengthPrefixed({ fieldSize: 2, fieldOffset: 4, strip: 0, maxLength: 260 }),
  {
    decode(frame): Message {
      const fields = new FieldReader(frame);
      // The transaction, the protocol, the length, and the unit.
      const [transaction, protocol, , unit] = fields.takeUints(2, 2, 2, 1);
      if (protocol !== 0 || fields.length === 0) {
        throw new FramingError("Cannot decode message: not Modbus");
      }
      return { transaction, unit, pdu: fields.take() };
    },
    encode: ({ transaction, unit, pdu }: Message) =>
      // The length is filled in after this.
      Uint8Array.of(...uint16(transaction), 0, 0, 0, 0, unit, ...pdu),
  },
);

const READ_HOLDING_REGISTERS = 3;
const WRITE_SINGLE_REGISTER = 6;
const WRITE_MULTIPLE_REGISTERS = 16;

/** The most registers for each function. */
const MOST_REGISTERS = new Map([
  [READ_HOLDING_REGISTERS, 125],
  [WRITE_SINGLE_REGISTER, 1],
  [WRITE_MULTIPLE_REGISTERS, 123],
]);

// In a response, this bit of the function code says that the next byte is an error.
const EXCEPTION = 0x80;
const ILLEGAL_FUNCTION = 1;
const ILLEGAL_DATA_ADDRESS = 2;
const ILLEGAL_DATA_VALUE = 3;
const MEANINGS = ["", "illegal function", "illegal address", "illegal value"];

function listen(port: number): Server<Message, Message, Deno.NetAddr> {
  const registers = new Uint16Array(100);
  return serve({
    hostname: "127.0.0.1",
    port,
    framing,
    onListen: (addr) => console.log(`Server: listening on port ${addr.port}`),
    onError: (error) => console.log(`Server: lost a client: ${error}`),
  }, async (connection) => {
    for await (const request of connection) {
      const pdu = respond(request.pdu, registers);
      await connection.send({ ...request, pdu });
    }
  });
}

/** Does what a request asks for; gives the response. */
function respond(request: Bytes, registers: Uint16Array): Bytes {
  const fields = new FieldReader(request);
  const functionCode = fields.takeUint(1);
  const refuse = (code: number) =>
    Uint8Array.of(EXCEPTION | functionCode, code);
  const most = MOST_REGISTERS.get(functionCode);
  if (most === undefined) return refuse(ILLEGAL_FUNCTION);
  if (fields.length < 4) return refuse(ILLEGAL_DATA_VALUE);
  // How many registers, or what one is to be.
  const [address, number] = fields.takeUints(2, 2);
  const isSingle = functionCode === WRITE_SINGLE_REGISTER;
  const count = isSingle ? 1 : number;
  const hasValues = functionCode === WRITE_MULTIPLE_REGISTERS;
  const isRight = hasValues
    ? fields.length === 1 + 2 * count && fields.takeUint(1) === 2 * count
    : fields.length === 0;
  if (!isRight || count < 1 || count > most) return refuse(ILLEGAL_DATA_VALUE);
  if (address + count > registers.length) return refuse(ILLEGAL_DATA_ADDRESS);
  if (isSingle) registers[address] = number;
  if (hasValues) registers.set(fromBytes(fields.take()), address);
  if (isSingle || hasValues) return request.subarray(0, 5);
  const values = registers.subarray(address, address + count);
  return Uint8Array.of(functionCode, 2 * count, ...toBytes(values));
}

/** Sends requests to a server, and returns the responses after the function code. */
class ModbusClient {
  readonly #correlation: Correlation<Message, Message>;

  constructor(connection: Connection<Message, Message>) {
    // A server may answer in any order: each response has its request's transaction.
    this.#correlation = correlate(connection, {
      id: ({ transaction }) => transaction,
      maxId: 65_535,
    });
  }

  async read(address: number, count: number): Promise<Uint16Array> {
    const fields = [...uint16(address), ...uint16(count)];
    const response = await this.#request([READ_HOLDING_REGISTERS, ...fields]);
    if (response[0] !== 2 * count || response.length !== 1 + 2 * count) {
      throw new Error(`The server did not send ${count} registers`);
    }
    return fromBytes(response.subarray(1));
  }

  async write(address: number, values: number[]): Promise<void> {
    const bytes = toBytes(values);
    const fields = [...uint16(address), ...uint16(values.length), bytes.length];
    await this.#request([WRITE_MULTIPLE_REGISTERS, ...fields, ...bytes]);
  }

  async #request(request: number[]): Promise<Bytes> {
    const pdu = Uint8Array.from(request);
    const response = await this.#correlation.request(
      (transaction) => ({ transaction, unit: 1, pdu }),
    );
    const [functionCode = 0, code = 0] = response.pdu;
    if (functionCode === (EXCEPTION | (request[0] ?? 0))) {
      throw new Error(`The server refused: ${MEANINGS[code] ?? code}`);
    }
    if (functionCode !== request[0]) {
      throw new Error("The server answered with another function");
    }
    return response.pdu.subarray(1);
  }
}

async function dial(port: number): Promise<void> {
  await using connection = await connect({ port, framing });
  const client = new ModbusClient(connection);

  await client.write(0, [21, 22, 65535]);
  console.log("Client: wrote 21, 22 and 65535 into the registers from 0 on");

  // Three concurrent requests: the second need not wait for the first's response.
  const [first, second, both] = await Promise.all([
    client.read(0, 1),
    client.read(1, 1),
    client.read(0, 4),
  ]);
  console.log(`Client: register 0 is ${first}, register 1 is ${second}`);
  console.log(`Client: the first four are ${both.join(", ")}`);

  const error = await client.read(99, 2).catch((error: Error) => error.message);
  console.log(`Client: asked for register 100, which is not there: ${error}`);
}

/** A number as two bytes, the high byte first. */
const uint16 = (value: number) => [value >> 8, value & 0xff];

function toBytes(registers: Iterable<number>): number[] {
  return [...registers].flatMap(uint16);
}

function fromBytes(bytes: Bytes): Uint16Array {
  const fields = new FieldReader(bytes);
  return Uint16Array.from(
    { length: bytes.length / 2 },
    () => fields.takeUint(2),
  );
}

await runLesson({ file: "examples/modbus.ts", listen, dial });
