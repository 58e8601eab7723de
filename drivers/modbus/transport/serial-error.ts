import { DcsError, messageOf } from '../../../src/errors/errors.ts';

/** What went wrong with opening a serial line. serialport gives no codes, only the C library's text. */
export function serialError(path: string, cause: unknown): DcsError {
  const found = messageOf(cause).replace(/^Error:?\s*/, '');
  if (/permission denied|operation not permitted/i.test(found))
    return new DcsError('NO_PERMISSION', `this process may not open ${path}`, {
      found,
      expected: 'membership in the group of the device, on Debian: sudo usermod -aG dialout $USER, then log in anew',
      cause,
    });
  if (/cannot lock|busy/i.test(found))
    return new DcsError('BUSY', `another program holds ${path}`, {
      found,
      expected: `fuser -v ${path} names it`,
      cause,
    });
  if (/inappropriate ioctl|is a directory/i.test(found))
    return new DcsError('NOT_SUPPORTED', `${path} is not a serial port`, { found, cause });
  return new DcsError('PORT_DOWN', `${path} cannot be opened: ${found}`, {
    found,
    expected: 'a plugged-in adapter; ls -l /dev/serial/by-id shows those that are',
    cause,
  });
}
