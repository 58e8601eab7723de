import { existsSync } from 'node:fs';
import type { I2cBusHandle, PromisifiedBus } from 'i2c-bus';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import { type I2cBus, transferError } from './bus.ts';
import { openKernelBus } from './kernel-bus.ts';

/** Interface to the bus; `auto`: the kernel's interface, and the package where koffi does not load. */
export type Backend = 'auto' | 'kernel' | 'i2c-bus';

/** Opens a bus of this machine. Rejects as openKernelBus and openPackageBus do. */
export async function openBus(path: string, backend: Backend): Promise<I2cBus> {
  if (backend === 'i2c-bus') return openPackageBus(path);
  try {
    return await openKernelBus(path);
  } catch (error) {
    if (backend === 'kernel' || !(error instanceof DcsError) || error.code !== 'NOT_SUPPORTED') throw error;
    return openPackageBus(path);
  }
}

/** Longest read after a repeated start in the package (an SMBus block, linux/i2c.h I2C_SMBUS_BLOCK_MAX). */
const BLOCK_MAX = 32;

/**
 * Opens `/dev/i2c-N` with npm i2c-bus, for systems on which koffi does not load. It reads at most 32 bytes of a register after a
 * repeated start; the kernel's own interface has no such limit.
 */
export async function openPackageBus(path: string): Promise<I2cBus> {
  const number = /^\/dev\/i2c-(\d+)$/.exec(path)?.[1];
  if (number === undefined) {
    throw new DcsError('NOT_SUPPORTED', `backend i2c-bus opens buses by number, not ${path}`, {
      found: path,
      expected: 'bus: 1, or backend: kernel',
    });
  }
  const { default: library } = await import('i2c-bus').catch((cause: unknown) => {
    const why =
      systemCode(cause) === 'ERR_MODULE_NOT_FOUND' ? 'is not installed' : `cannot be loaded: ${messageOf(cause)}`;
    throw new DcsError('NOT_SUPPORTED', `backend i2c-bus needs the npm package i2c-bus, which ${why}`, {
      expected: 'npm rebuild i2c-bus or npm install i2c-bus (with a compiler), or backend: kernel',
      cause,
    });
  });
  if (!existsSync(path)) throw new DcsError('PORT_DOWN', `${path} is not there`, { expected: 'I2C enabled' });
  try {
    const handle = library.openSync(Number(number));
    return busOn(path, handle, handle.i2cFuncsSync().i2c);
  } catch (error) {
    throw transferError(path, 0, systemCode(error) ?? messageOf(error), error);
  }
}

function busOn(name: string, handle: I2cBusHandle, plain: boolean): I2cBus {
  let open = true;
  return {
    name,
    async transfer(address, write, length) {
      if (!open) throw new DcsError('PORT_DOWN', `${name} is closed`);
      try {
        return await transfer(handle.promisifiedBus(), plain, address, write, length);
      } catch (error) {
        if (error instanceof DcsError) throw error;
        const code = systemCode(error) ?? messageOf(error);
        throw transferError(name, address, code === 'ENODEV' && existsSync(name) ? 'ENXIO' : code, error);
      }
    },
    close() {
      if (!open) return;
      open = false;
      handle.closeSync();
    },
  };
}

async function transfer(
  handle: PromisifiedBus,
  plain: boolean,
  address: number,
  write: Uint8Array,
  length: number,
): Promise<Buffer> {
  if (length === 0) {
    await send(handle, plain, address, write);
    return Buffer.alloc(0);
  }
  if (write.length === 0) return await receive(handle, plain, address, length);
  const [register = 0] = write;
  if (write.length !== 1 || length > BLOCK_MAX) throw unsupported(write, length);
  const data = Buffer.alloc(length);
  // An SMBus-only adapter may distinguish bytes and words from blocks.
  if (!plain && length === 1) data[0] = await handle.readByte(address, register);
  else if (!plain && length === 2) data.writeUInt16LE(await handle.readWord(address, register));
  else await handle.readI2cBlock(address, register, length, data);
  return data;
}

async function send(handle: PromisifiedBus, plain: boolean, address: number, write: Uint8Array): Promise<void> {
  const [register = 0, ...rest] = write;
  if (plain) await handle.i2cWrite(address, write.length, Buffer.from(write));
  else if (rest.length === 0) await handle.sendByte(address, register);
  else if (rest.length === 1) await handle.writeByte(address, register, rest[0] ?? 0);
  else await handle.writeI2cBlock(address, register, rest.length, Buffer.from(rest));
}

async function receive(handle: PromisifiedBus, plain: boolean, address: number, length: number): Promise<Buffer> {
  const data = Buffer.alloc(length);
  if (plain) await handle.i2cRead(address, length, data);
  else if (length === 1) data[0] = await handle.receiveByte(address);
  else throw unsupported(new Uint8Array(0), length);
  return data;
}

function unsupported(write: Uint8Array, length: number): DcsError {
  return new DcsError('NOT_SUPPORTED', `backend i2c-bus cannot write ${write.length} and read ${length} bytes in one`, {
    expected: `one byte written and at most ${BLOCK_MAX} read, or backend: kernel`,
  });
}
