"""pymodbus's payload builder as the judge of codecs. Reads lines of JSON {type, byteorder, wordorder, values} on stdin and
prints for each a line of JSON: for every value its registers, and what its own decoder makes of them."""
import json
import sys

from pymodbus.constants import Endian
from pymodbus.payload import BinaryPayloadBuilder, BinaryPayloadDecoder

NAMES = {
    "int16": "16bit_int", "uint16": "16bit_uint", "int32": "32bit_int", "uint32": "32bit_uint",
    "int64": "64bit_int", "uint64": "64bit_uint", "float16": "16bit_float", "float32": "32bit_float", "float64": "64bit_float",
}
ENDS = {"big": Endian.Big, "little": Endian.Little}

for line in sys.stdin:
    job = json.loads(line)
    name = NAMES[job["type"]]
    ends = {"byteorder": ENDS[job["byteorder"]], "wordorder": ENDS[job["wordorder"]]}
    answers = []
    for value in job["values"]:
        builder = BinaryPayloadBuilder(**ends)
        getattr(builder, "add_" + name)(int(value) if "int" in job["type"] else float(value))
        registers = [int.from_bytes(word, "big") for word in builder.build()]
        decoder = BinaryPayloadDecoder.fromRegisters(registers, **ends)
        answers.append({"registers": registers, "decoded": str(getattr(decoder, "decode_" + name)())})
    print(json.dumps(answers))
