import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import { type I2cBus, transferError } from './bus.ts';
import { type Native, readWriteMessages, smbusTransfer } from './uapi.ts';

const I2C_TIMEOUT = 0x0702;
const I2C_FUNCS = 0x0705;
const FUNC_I2C = 0x00000001;
/**
 * Most time (in 10 ms) the adapter may wait for a stuck bus. Healthy transfers of these chips take about a millisecond at
 * 100 kHz; other chips on the bus wait meanwhile.
 */
const TIMEOUT_TICKS = 5;

/** Opens `/dev/i2c-N`. Throws a DcsError: PORT_DOWN (not there), NO_PERMISSION, NOT_SUPPORTED (no koffi). */
export async function openKernelBus(path: string): Promise<I2cBus> {
  if (!existsSync(path)) {
    throw new DcsError('PORT_DOWN', `${path} is not there`, {
      expected: 'I2C enabled (raspi-config, or dtparam=i2c_arm=on) and the module i2c-dev loaded',
    });
  }
  const native = await loadNative();
  const fd = openDevice(path);
  try {
    native.ioctlNumber(fd, I2C_TIMEOUT, TIMEOUT_TICKS);
    const functions = Buffer.alloc(8);
    await native.ioctl(fd, I2C_FUNCS, functions);
    const plain = (functions.readUInt32LE() & FUNC_I2C) !== 0;
    return busOn(path, fd, native, plain ? readWriteMessages : smbusTransfer);
  } catch (error) {
    closeSync(fd);
    throw transferError(path, 0, systemCode(error) ?? messageOf(error), error);
  }
}

function busOn(name: string, fd: number, native: Native, transfer: typeof readWriteMessages): I2cBus {
  let open = true;
  return {
    name,
    async transfer(address, write, length) {
      if (!open) throw new DcsError('PORT_DOWN', `${name} is closed`);
      try {
        return await transfer(native, fd, address, write, length);
      } catch (error) {
        const code = systemCode(error) ?? messageOf(error);
        // Some adapters say ENODEV of a chip that does not answer; one that is gone has no device file any more.
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
        expected: 'membership: sudo usermod -aG i2c $USER, then log in anew',
        cause: error,
      });
    }
    throw new DcsError('PORT_DOWN', `${path} cannot be opened: ${messageOf(error)}`, { cause: error });
  }
}

/** A system call that failed; `code` as Node's own errors have it. */
class CallError extends Error {
  readonly code: string;

  constructor(errno: number) {
    const code = getSystemErrorName(-errno);
    super(`ioctl: ${code}`);
    this.code = code;
  }
}

type IoctlLater = (
  fd: number,
  request: number,
  argument: Uint8Array,
  done: (error: Error | null, result: number) => void,
) => void;

async function loadNative(): Promise<Native> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new DcsError('NOT_SUPPORTED', 'I2C needs the npm package koffi, which does not load here', { cause });
  });
  const library = koffi.load(null);
  const byAddress: { async: IoctlLater } = library.func('int ioctl(int fd, unsigned long request, void *argument)');
  const byValue: (fd: number, request: number, argument: number) => number = library.func(
    'int ioctl(int fd, unsigned long request, long argument)',
  );
  return {
    ioctl: (fd, request, argument) =>
      new Promise((resolve, reject) => {
        byAddress.async(fd, request, argument, (error, result) => {
          if (error) reject(error);
          // koffi gives the errno of the call's own thread, here and nowhere else.
          else if (result < 0) reject(new CallError(koffi.errno()));
          else resolve();
        });
      }),
    ioctlNumber: (fd, request, argument) => {
      if (byValue(fd, request, argument) < 0) throw new CallError(koffi.errno());
    },
    addressOf: (buffer) => koffi.address(buffer),
    pointerSize: koffi.sizeof('void *') === 4 ? 4 : 8,
  };
}
