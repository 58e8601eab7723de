"""A Modbus TCP server that is not ours: pymodbus 3.0. Prints its port, then takes lines `set TABLE ADDRESS VALUE...` and
`get TABLE ADDRESS COUNT` on stdin and answers each with one line. Usage: pymodbus-server.py PORT"""
import asyncio
import logging
import sys
import threading

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import ModbusTcpServer

CODES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def block():
    return ModbusSequentialDataBlock(0, [0] * 2001)


def main():
    logging.disable(logging.CRITICAL)  # every connection we tear down would be an error to it
    slave = ModbusSlaveContext(di=block(), co=block(), hr=block(), ir=block(), zero_mode=True)
    context = ModbusServerContext(slaves=slave, single=True)

    async def serve():
        server = ModbusTcpServer(context, address=("127.0.0.1", int(sys.argv[1])), allow_reuse_address=True)
        serving = asyncio.ensure_future(server.serve_forever())
        await server.serving
        print("ready", server.server.sockets[0].getsockname()[1], flush=True)
        await serving

    def commands():
        for line in sys.stdin:
            what, table, address, *rest = line.split()
            if what == "set":
                slave.setValues(CODES[table], int(address), [int(value) for value in rest])
                print("ok", flush=True)
            else:
                values = slave.getValues(CODES[table], int(address), int(rest[0]))
                print(*[int(value) for value in values], flush=True)

    threading.Thread(target=commands, daemon=True).start()
    asyncio.run(serve())


main()
