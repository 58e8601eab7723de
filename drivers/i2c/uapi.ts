/** What linux/i2c.h and linux/i2c-dev.h need from the process: system calls and the addresses of buffers. */
export interface Native {
  /** Throws an error with the system's `code`. */
  ioctl(fd: number, request: number, argument: Uint8Array): void;
  ioctlNumber(fd: number, request: number, argument: number): void;
  addressOf(buffer: Uint8Array): bigint;
  readonly pointerSize: 4 | 8;
}

const I2C_SLAVE = 0x0703;
const I2C_RDWR = 0x0707;
const I2C_SMBUS = 0x0720;
const I2C_M_RD = 0x0001;

const SMBUS_WRITE = 0;
const SMBUS_READ = 1;
const SMBUS_BYTE = 1;
const SMBUS_BYTE_DATA = 2;
const SMBUS_WORD_DATA = 3;
const SMBUS_I2C_BLOCK = 8;
const SMBUS_BLOCK_MAX = 32;

/** One transaction by I2C_RDWR: write, repeated start, read. Structures have pointers, so 32 and 64 bits differ. */
export function readWriteMessages(
  native: Native,
  fd: number,
  address: number,
  write: Uint8Array,
  length: number,
): Buffer {
  const { pointerSize } = native;
  const read = Buffer.alloc(length);
  const parts = [
    { flags: 0, bytes: write },
    { flags: I2C_M_RD, bytes: read },
  ].filter(({ bytes }) => bytes.length > 0);
  // struct i2c_msg { u16 addr, flags, len; u8 *buf }: 12 or 16 bytes.
  const size = 8 + pointerSize;
  const messages = Buffer.alloc(size * Math.max(1, parts.length));
  parts.forEach(({ flags, bytes }, index) => {
    const at = index * size;
    messages.writeUInt16LE(address, at);
    messages.writeUInt16LE(flags, at + 2);
    messages.writeUInt16LE(bytes.length, at + 4);
    writePointer(messages, native, bytes, at + 8);
  });
  // struct i2c_rdwr_ioctl_data { i2c_msg *msgs; u32 nmsgs }: 8 or 16 bytes.
  const argument = Buffer.alloc(2 * pointerSize);
  writePointer(argument, native, messages, 0);
  argument.writeUInt32LE(parts.length, pointerSize);
  native.ioctl(fd, I2C_RDWR, argument);
  return read;
}

/** The same for adapters that only know SMBus, as far as SMBus can say it. */
export function smbusTransfer(native: Native, fd: number, address: number, write: Uint8Array, length: number): Buffer {
  native.ioctlNumber(fd, I2C_SLAVE, address);
  const [command = 0, ...rest] = write;
  if (length === 0) {
    if (write.length === 1) smbus(native, fd, SMBUS_WRITE, command, SMBUS_BYTE, []);
    else if (rest.length === 1) smbus(native, fd, SMBUS_WRITE, command, SMBUS_BYTE_DATA, rest);
    else if (rest.length === 2) smbus(native, fd, SMBUS_WRITE, command, SMBUS_WORD_DATA, rest);
    else smbus(native, fd, SMBUS_WRITE, command, SMBUS_I2C_BLOCK, block(rest));
    return Buffer.alloc(0);
  }
  if (write.length === 0 && length === 1) {
    return Buffer.from(smbus(native, fd, SMBUS_READ, 0, SMBUS_BYTE, []).subarray(0, 1));
  }
  if (write.length !== 1) throw unsupported();
  if (length === 1) return smbus(native, fd, SMBUS_READ, command, SMBUS_BYTE_DATA, []).subarray(0, 1);
  if (length === 2) return smbus(native, fd, SMBUS_READ, command, SMBUS_WORD_DATA, []).subarray(0, 2);
  const parts: Buffer[] = [];
  for (let at = 0; at < length; at += SMBUS_BLOCK_MAX) {
    const count = Math.min(SMBUS_BLOCK_MAX, length - at);
    const data = smbus(native, fd, SMBUS_READ, command + at, SMBUS_I2C_BLOCK, [count]);
    parts.push(data.subarray(1, 1 + count));
  }
  return Buffer.concat(parts);
}

function block(bytes: readonly number[]): number[] {
  if (bytes.length === 0 || bytes.length > SMBUS_BLOCK_MAX) throw unsupported();
  return [bytes.length, ...bytes];
}

/** One SMBus transaction; gives union i2c_smbus_data, 34 bytes. */
function smbus(
  native: Native,
  fd: number,
  direction: number,
  command: number,
  kind: number,
  bytes: readonly number[],
): Buffer {
  const data = Buffer.alloc(34);
  data.set(bytes);
  // struct i2c_smbus_ioctl_data { u8 read_write, command; u32 size; union *data }: 12 or 16 bytes.
  const argument = Buffer.alloc(8 + native.pointerSize);
  argument.writeUInt8(direction, 0);
  argument.writeUInt8(command, 1);
  argument.writeUInt32LE(kind, 4);
  writePointer(argument, native, data, 8);
  native.ioctl(fd, I2C_SMBUS, argument);
  return data;
}

function writePointer(into: Buffer, native: Native, target: Uint8Array, at: number): void {
  const address = native.addressOf(target);
  if (native.pointerSize === 8) into.writeBigUInt64LE(address, at);
  else into.writeUInt32LE(Number(address), at);
}

function unsupported(): Error & { code: string } {
  return Object.assign(new Error('this adapter only knows SMBus'), { code: 'EOPNOTSUPP' });
}
