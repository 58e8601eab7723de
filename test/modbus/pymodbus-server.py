"""A Modbus server that is not ours: pymodbus 3.0. Prints `ready PORT`, then takes lines `set TABLE ADDRESS VALUE...` and
`get TABLE ADDRESS COUNT` on stdin and answers each with one line.
Usage: pymodbus-server.py tcp|tcp-rtu|udp PORT, or rtu|ascii DEVICE"""
import asyncio
import logging
import sys
import threading

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

CODES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def block():
    return ModbusSequentialDataBlock(0, [0] * 2001)


def main():
    logging.disable(logging.CRITICAL)  # every connection we tear down would be an error to it
    how, where = sys.argv[1:3]
    slave = ModbusSlaveContext(di=block(), co=block(), hr=block(), ir=block(), zero_mode=True)
    context = ModbusServerContext(slaves=slave, single=True)

    async def serve():
        if how in ("rtu", "ascii"):
            framer = ModbusRtuFramer if how == "rtu" else ModbusAsciiFramer
            server = ModbusSerialServer(context, framer=framer, port=where, baudrate=19200)
            await server.start()
            print("ready 0", flush=True)
            await server.serve_forever()
            return
        address = ("127.0.0.1", int(where))
        if how == "udp":
            server = ModbusUdpServer(context, address=address)
        else:
            framer = ModbusRtuFramer if how == "tcp-rtu" else ModbusSocketFramer
            server = ModbusTcpServer(context, framer=framer, address=address, allow_reuse_address=True)
        serving = asyncio.ensure_future(server.serve_forever())
        await server.serving
        if how == "udp":
            port = server.protocol.get_extra_info("sockname")[1]
        else:
            port = server.server.sockets[0].getsockname()[1]
        print("ready", port, flush=True)
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
