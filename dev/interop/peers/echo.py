"""Echoes messages, with the streams of asyncio.

  python3 echo.py listen FRAMING          prints its port, and serves until it is killed
  python3 echo.py connect PORT FRAMING    makes two connections, one after the other

At the message "bye" it ends its side, reads on to the end and prints how many
messages came after it. At the end without one it sends "end" and closes.
"""

import asyncio
import sys

# The longest line that readline() takes; 64 KiB if not given.
LIMIT = 16 * 1024 * 1024
DELIMITER = b"<<>>"


async def read(framing, reader):
    """Returns the next message, or None at the end."""
    try:
        if framing == "readline":
            line = await reader.readline()
            return line.removesuffix(b"\n") if line else None
        if framing == "readuntil":
            message = await reader.readuntil(DELIMITER)
            return message.removesuffix(DELIMITER)
        length = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None


async def write(framing, writer, message):
    if framing == "readline":
        writer.write(message + b"\n")
    elif framing == "readuntil":
        writer.write(message + DELIMITER)
    else:
        writer.write(len(message).to_bytes(4, "big") + message)
    await writer.drain()


async def echo(framing, reader, writer):
    while (message := await read(framing, reader)) not in (None, b"bye"):
        await write(framing, writer, message)
    if message is None:
        await write(framing, writer, b"end")
    else:
        writer.write_eof()
        count = 0
        while await read(framing, reader) is not None:
            count += 1
        print(count, flush=True)
    writer.close()
    await writer.wait_closed()


async def listen(framing):
    server = await asyncio.start_server(
        lambda reader, writer: echo(framing, reader, writer),
        "127.0.0.1",
        0,
        limit=LIMIT,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def connect(port, framing):
    for _ in range(2):
        streams = await asyncio.open_connection("127.0.0.1", port, limit=LIMIT)
        await echo(framing, *streams)


if sys.argv[1] == "listen":
    asyncio.run(listen(sys.argv[2]))
else:
    asyncio.run(connect(int(sys.argv[2]), sys.argv[3]))
