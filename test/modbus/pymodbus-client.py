"""A Modbus client that is not ours exercises a slave: functions 1-6, 15, 16, 22, 23 and 43/14 on unit 3.
Usage: pymodbus-client.py tcp PORT | rtu DEVICE | ascii DEVICE. Prints `ok`, or the first thing that was wrong."""
import sys

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.mei_message import ReadDeviceInformationRequest
from pymodbus.register_read_message import ReadWriteMultipleRegistersRequest
from pymodbus.register_write_message import MaskWriteRegisterRequest
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer

how, where = sys.argv[1:3]
if how == "tcp":
    client = ModbusTcpClient("127.0.0.1", port=int(where))
else:
    framer = ModbusRtuFramer if how == "rtu" else ModbusAsciiFramer
    client = ModbusSerialClient(where, framer=framer, baudrate=19200, timeout=2)
assert client.connect()
U = {"slave": 3}


def same(found, wanted, what):
    if found != wanted:
        print(f"{what}: {found} in place of {wanted}")
        sys.exit(1)


same(client.write_coil(5, True, **U).function_code, 5, "write coil")
same(client.write_coils(6, [True, False, True], **U).function_code, 15, "write coils")
same(client.read_coils(5, 4, **U).bits[:4], [True, True, False, True], "coils")
same(client.read_discrete_inputs(0, 3, **U).bits[:3], [True, False, True], "discrete inputs")
same(client.write_register(10, 0x1234, **U).function_code, 6, "write register")
same(client.write_registers(11, [1, 2, 65535], **U).function_code, 16, "write registers")
same(client.read_holding_registers(10, 4, **U).registers, [0x1234, 1, 2, 65535], "holding registers")
same(client.read_input_registers(0, 2, **U).registers, [111, 222], "input registers")
mask = MaskWriteRegisterRequest(address=10, and_mask=0x00F2, or_mask=0x0025)
mask.unit_id = 3
same(client.execute(mask).function_code, 22, "mask write")
same(client.read_holding_registers(10, 1, **U).registers, [(0x1234 & 0x00F2) | (0x0025 & ~0x00F2)], "masked register")
both = ReadWriteMultipleRegistersRequest(read_address=10, read_count=2, write_address=11, write_registers=[77])
both.unit_id = 3
same(client.execute(both).registers[1], 77, "read and write")
identify = ReadDeviceInformationRequest(read_code=1, object_id=0)
identify.unit_id = 3
same(client.execute(identify).information[0], b"dcs-io", "identification")
same(client.read_holding_registers(1990, 20, **U).exception_code, 2, "an address that is not there")
client.close()
print("ok")
