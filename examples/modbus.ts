/**
 * Modbus TCP, as machines in factories and buildings speak it: a server with
 * holding registers, and a client that writes and reads them.
 *
 * Each message begins with the MBAP header:
 *
 * ```text
 * byte  0 1          2 3       4 5     6     7 ...
 *       transaction  protocol  length  unit  request or response (PDU)
 * ```
 *
 * The length counts what follows it, so it takes one line to frame. The
 * PDU begins with a function code. The whole message has 260 bytes at most.
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
import {
  connect,
  type Connection,
  correlate,
  type Correlation,
  FramingError,
  lengthPrefixed,
  mapped,
  serve,
  type Server,
} from "@framed/tcp";
import { runLesson } from "./_lesson.ts";

interface Message {
  /** Chosen by the client; the response has the same. */
  transaction: number;
  /** The device that the server passes requests to, if it has several. */
  unit: number;
  pdu: Uint8Array;
}

const HEADER_LENGTH = 7;
const SHORTEST_MESSAGE = 8;

const framing = mapped(
  // `strip: 0`: a message is the whole frame, with its header.
  lengthPrefixed({ fieldSize: 2, fieldOffset: 4, strip: 0, maxLength: 260 }),
  {
    decode(frame): Message {
      const header = view(frame);
      if (frame.length < SHORTEST_MESSAGE || header.getUint16(2) !== 0) {
        throw new FramingError("Cannot decode message: not Modbus", {
          code: "malformed",
        });
      }
      return {
        transaction: header.getUint16(0),
        unit: header.getUint8(6),
        pdu: frame.subarray(HEADER_LENGTH),
      };
    },
    encode({ transaction, unit, pdu }: Message): Uint8Array {
      const frame = new Uint8Array(HEADER_LENGTH + pdu.length);
      view(frame).setUint16(0, transaction);
      frame[6] = unit;
      frame.set(pdu, HEADER_LENGTH);
      return frame; // the length is filled in after this
    },
  },
);

const READ_HOLDING_REGISTERS = 3;
const WRITE_SINGLE_REGISTER = 6;
const WRITE_MULTIPLE_REGISTERS = 16;

// In a response, the function code plus this says that the next byte is an error.
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
function respond(request: Uint8Array, registers: Uint16Array): Uint8Array {
  const [functionCode = 0] = request;
  const refuse = (code: number) =>
    Uint8Array.of(EXCEPTION + functionCode, code);
  const fields = view(request);
  switch (functionCode) {
    case READ_HOLDING_REGISTERS: {
      if (request.length !== 5) return refuse(ILLEGAL_DATA_VALUE);
      const address = fields.getUint16(1);
      const count = fields.getUint16(3);
      if (count < 1 || count > 125) return refuse(ILLEGAL_DATA_VALUE);
      if (address + count > registers.length) {
        return refuse(ILLEGAL_DATA_ADDRESS);
      }
      const values = registers.subarray(address, address + count);
      return Uint8Array.of(functionCode, 2 * count, ...toBytes(values));
    }
    case WRITE_SINGLE_REGISTER: {
      if (request.length !== 5) return refuse(ILLEGAL_DATA_VALUE);
      const address = fields.getUint16(1);
      if (address >= registers.length) return refuse(ILLEGAL_DATA_ADDRESS);
      registers[address] = fields.getUint16(3);
      return request;
    }
    case WRITE_MULTIPLE_REGISTERS: {
      if (request.length < 6) return refuse(ILLEGAL_DATA_VALUE);
      const address = fields.getUint16(1);
      const count = fields.getUint16(3);
      const values = request.subarray(6);
      if (
        count < 1 || count > 123 || values.length !== 2 * count ||
        request[5] !== values.length
      ) {
        return refuse(ILLEGAL_DATA_VALUE);
      }
      if (address + count > registers.length) {
        return refuse(ILLEGAL_DATA_ADDRESS);
      }
      registers.set(fromBytes(values), address);
      return request.subarray(0, 5);
    }
    default:
      return refuse(ILLEGAL_FUNCTION);
  }
}

/** Asks a server, and gives its response after the function code. */
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
    const fields = Uint16Array.of(address, count);
    const response = await this.#request(
      Uint8Array.of(READ_HOLDING_REGISTERS, ...toBytes(fields)),
    );
    if (response[0] !== 2 * count || response.length !== 1 + 2 * count) {
      throw new Error(`The server did not send ${count} registers`);
    }
    return fromBytes(response.subarray(1));
  }

  async write(address: number, values: number[]): Promise<void> {
    const fields = toBytes(Uint16Array.of(address, values.length));
    const bytes = toBytes(Uint16Array.from(values));
    await this.#request(
      Uint8Array.of(
        WRITE_MULTIPLE_REGISTERS,
        ...fields,
        bytes.length,
        ...bytes,
      ),
    );
  }

  async #request(pdu: Uint8Array): Promise<Uint8Array> {
    const response = await this.#correlation.request((transaction) => ({
      transaction,
      unit: 1,
      pdu,
    }));
    const [functionCode = 0, code = 0] = response.pdu;
    if (functionCode === EXCEPTION + (pdu[0] ?? 0)) {
      throw new Error(`The server refused: ${MEANINGS[code] ?? code}`);
    }
    if (functionCode !== pdu[0]) {
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

  // Three requests together: the second need not wait for the first's response.
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

function view({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Registers go as two bytes each, the higher first. */
function toBytes(registers: Uint16Array): Uint8Array {
  const bytes = new Uint8Array(2 * registers.length);
  registers.forEach((value, i) => view(bytes).setUint16(2 * i, value));
  return bytes;
}

function fromBytes(bytes: Uint8Array): Uint16Array {
  return Uint16Array.from(
    { length: bytes.length / 2 },
    (_, i) => view(bytes).getUint16(2 * i),
  );
}

await runLesson({ file: "examples/modbus.ts", listen, dial });
