// deno-lint-ignore-file no-console -- it tells the test by it
// Modbus TCP by the npm package "modbus-serial".
//
//   deno run modbus_serial.mjs listen          prints its port, and serves until it is killed
//   deno run modbus_serial.mjs connect PORT    writes and reads, and prints what it got
import { once } from "node:events";
import process from "node:process";
import modbus from "npm:modbus-serial@8.0.25";

const [action, port] = process.argv.slice(2);

if (action === "listen") {
  const registers = new Uint16Array(100);
  const vector = {
    getHoldingRegister: (address) => {
      // As documented: the code of the exception.
      if (address >= registers.length) throw { modbusErrorCode: 2 };
      return registers[address];
    },
    setRegister: (address, value) => {
      registers[address] = value;
    },
  };
  const server = new modbus.ServerTCP(vector, {
    host: "127.0.0.1",
    port: 0,
    unitID: 1,
  });
  await once(server, "initialized");
  console.log(server._server.address().port);
} else {
  const client = new modbus();
  await client.connectTCP("127.0.0.1", { port: Number(port) });
  client.setID(1);
  await client.writeRegister(5, 1234);
  const many = Array.from({ length: 80 }, (_, i) => 700 * i);
  await client.writeRegisters(10, many);
  console.log(JSON.stringify({
    one: (await client.readHoldingRegisters(5, 1)).data,
    many: (await client.readHoldingRegisters(10, 80)).data,
    // All concurrently, over one connection.
    together: await Promise.all(
      [10, 11, 12].map(async (address) =>
        (await client.readHoldingRegisters(address, 1)).data[0]
      ),
    ),
    beyond: await client.readHoldingRegisters(99, 2).catch((error) =>
      error.modbusCode
    ),
    unknown: await client.readInputRegisters(0, 1).catch((error) =>
      error.modbusCode
    ),
  }));
  await new Promise((resolve) => client.close(resolve));
}
