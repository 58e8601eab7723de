import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import { type Libc, loadLibc } from '../../src/linux/libc.ts';
import { type I2cBus, transferError } from './bus.ts';

const I2C_TIMEOUT = 0x0702;
const I2C_FUNCS = 0x0705;
const FUNC_I2C = 0x00000001;
/**
 * Longest time (in 10 ms) that the adapter waits for a stuck bus, while all other chips wait too. Transfers of these chips take
 * about a millisecond at 100 kHz.
 */
const TIMEOUT_TICKS = 5;

/** Opens `/dev/i2c-N`. Throws a DcsError: PORT_DOWN (not there), NO_PERMISSION, NOT_SUPPORTED (no koffi). */
export async function openKernelBus(path: string): Promise<I2cBus> {
  if (!existsSync(path)) {
    throw new DcsError('PORT_DOWN', `${path} is not there`, {
      expected: 'I2C enabled (raspi-config, or dtparam=i2c_arm=on) and the module i2c-dev loaded',
    });
  }
  const libc = await loadLibc('backend kernel', 'a 64-bit or ARMv7 Linux, or backend: i2c-bus');
  const fd = openDevice(path);
  try {
    libc.ioctlValue(fd, I2C_TIMEOUT, TIMEOUT_TICKS);
    const functions = Buffer.alloc(8);
    await libc.ioctlAsync(fd, I2C_FUNCS, functions);
    const plain = (functions.readUInt32LE() & FUNC_I2C) !== 0;
    return busOn(path, fd, libc, plain ? readWriteMessages : smbusTransfer);
  } catch (error) {
    closeSync(fd);
    throw transferError(path, 0, systemCode(error) ?? messageOf(error), error);
  }
}

function busOn(name: string, fd: number, libc: I2cLibc, transfer: typeof readWriteMessages): I2cBus {
  let open = true;
  return {
    name,
    async transfer(address, write, length) {
      if (!open) throw new DcsError('PORT_DOWN', `${name} is closed`);
      try {
        return await transfer(libc, fd, address, write, length);
      } catch (error) {
        const code = systemCode(error) ?? messageOf(error);
        // Some adapters report ENODEV for a chip that does not answer. When the adapter is gone, its device file is too.
        throw transferError(name, address, code === 'ENODEV' && existsSync(name) ? 'ENXIO' : code, error);
      }
    },
    close() {
      if (!open) return;
      open = false;
      closeSync(fd);
    },
  };
}

function openDevice(path: string): number {
  try {
    return openSync(path, constants.O_RDWR);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EACCES' || code === 'EPERM') {
      throw new DcsError('NO_PERMISSION', `this process may not open ${path}: it belongs to the group i2c`, {
        expected: 'membership: sudo usermod -aG i2c $USER, then log in again',
        cause: error,
      });
    }
    throw new DcsError('PORT_DOWN', `${path} cannot be opened: ${messageOf(error)}`, { cause: error });
  }
}

/** The system calls that a bus needs. */
export type I2cLibc = Pick<Libc, 'ioctlAsync' | 'ioctlValue' | 'addressOf' | 'wordBytes'>;

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

/** One transaction with I2C_RDWR: write, repeated start, read. Its structures have pointers, so 32 and 64 bits differ. */
export async function readWriteMessages(
  libc: I2cLibc,
  fd: number,
  address: number,
  write: Uint8Array,
  length: number,
): Promise<Buffer> {
  const { wordBytes } = libc;
  // struct i2c_rdwr_ioctl_data { i2c_msg *msgs; u32 nmsgs }: 8 or 16 bytes.
  const head = 2 * wordBytes;
  // struct i2c_msg { u16 addr, flags, len; u8 *buf }: 12 or 16 bytes.
  const size = 8 + wordBytes;
  const bytesAt = head + 2 * size;
  // All in one block. It must stay in place while the kernel uses it; the reference below keeps it alive.
  const block = Buffer.alloc(bytesAt + write.length + length);
  const base = libc.addressOf(block);
  block.set(write, bytesAt);
  const parts = [
    { flags: 0, at: bytesAt, length: write.length },
    { flags: I2C_M_RD, at: bytesAt + write.length, length },
  ].filter((part) => part.length > 0);
  writePointer(block, wordBytes, base + BigInt(head), 0);
  block.writeUInt32LE(parts.length, wordBytes);
  for (const [index, part] of parts.entries()) {
    const at = head + index * size;
    block.writeUInt16LE(address, at);
    block.writeUInt16LE(part.flags, at + 2);
    block.writeUInt16LE(part.length, at + 4);
    writePointer(block, wordBytes, base + BigInt(part.at), at + 8);
  }
  await libc.ioctlAsync(fd, I2C_RDWR, block);
  return block.subarray(bytesAt + write.length);
}

/** The same for SMBus-only adapters, as far as SMBus has such a transaction. */
export async function smbusTransfer(
  libc: I2cLibc,
  fd: number,
  address: number,
  write: Uint8Array,
  length: number,
): Promise<Buffer> {
  libc.ioctlValue(fd, I2C_SLAVE, address);
  const [command = 0, ...rest] = write;
  if (length === 0) {
    if (write.length === 1) await smbus(libc, fd, SMBUS_WRITE, command, SMBUS_BYTE, []);
    else if (rest.length === 1) await smbus(libc, fd, SMBUS_WRITE, command, SMBUS_BYTE_DATA, rest);
    else if (rest.length === 2) await smbus(libc, fd, SMBUS_WRITE, command, SMBUS_WORD_DATA, rest);
    else await smbus(libc, fd, SMBUS_WRITE, command, SMBUS_I2C_BLOCK, smbusBlock(rest));
    return Buffer.alloc(0);
  }
  if (write.length === 0 && length === 1) {
    return (await smbus(libc, fd, SMBUS_READ, 0, SMBUS_BYTE, [])).subarray(0, 1);
  }
  if (write.length !== 1) throw onlySmbus();
  if (length === 1) return (await smbus(libc, fd, SMBUS_READ, command, SMBUS_BYTE_DATA, [])).subarray(0, 1);
  if (length === 2) return (await smbus(libc, fd, SMBUS_READ, command, SMBUS_WORD_DATA, [])).subarray(0, 2);
  const parts: Buffer[] = [];
  for (let at = 0; at < length; at += SMBUS_BLOCK_MAX) {
    const count = Math.min(SMBUS_BLOCK_MAX, length - at);
    const data = await smbus(libc, fd, SMBUS_READ, command + at, SMBUS_I2C_BLOCK, [count]);
    parts.push(data.subarray(1, 1 + count));
  }
  return Buffer.concat(parts);
}

function smbusBlock(bytes: readonly number[]): number[] {
  if (bytes.length === 0 || bytes.length > SMBUS_BLOCK_MAX) throw onlySmbus();
  return [bytes.length, ...bytes];
}

/** One SMBus transaction. Resolves with union i2c_smbus_data, 34 bytes. */
async function smbus(
  libc: I2cLibc,
  fd: number,
  direction: number,
  command: number,
  kind: number,
  bytes: readonly number[],
): Promise<Buffer> {
  // struct i2c_smbus_ioctl_data { u8 read_write, command; u32 size; union *data }: 12 or 16 bytes. In one block, as above.
  const head = 8 + libc.wordBytes;
  const block = Buffer.alloc(head + 34);
  block.writeUInt8(direction, 0);
  block.writeUInt8(command, 1);
  block.writeUInt32LE(kind, 4);
  writePointer(block, libc.wordBytes, libc.addressOf(block) + BigInt(head), 8);
  block.set(bytes, head);
  await libc.ioctlAsync(fd, I2C_SMBUS, block);
  return block.subarray(head);
}

function writePointer(into: Buffer, size: 4 | 8, address: bigint, at: number): void {
  if (size === 8) into.writeBigUInt64LE(address, at);
  else into.writeUInt32LE(Number(address), at);
}

function onlySmbus(): Error & { code: string } {
  return Object.assign(new Error('this adapter only knows SMBus'), { code: 'EOPNOTSUPP' });
}
