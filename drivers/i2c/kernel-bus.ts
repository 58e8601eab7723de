import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import { loadLibc } from '../../src/linux/libc.ts';
import { type I2cBus, transferError } from './bus.ts';
import { type I2cLibc, readWriteMessages, smbusTransfer } from './uapi.ts';

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
