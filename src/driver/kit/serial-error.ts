import { readFileSync, statSync } from 'node:fs';
import { DcsError, messageOf } from '../../errors/errors.ts';

/** What went wrong with opening a serial line, as a person can mend it. serialport gives no codes, only the C library's text. */
export function serialOpenError(path: string, thrown: unknown): DcsError {
  const text = messageOf(thrown).replace(/^Error:?\s*/, '');
  const cause = thrown;
  if (/permission denied|operation not permitted/i.test(text)) {
    const group = groupOf(path);
    return new DcsError('NO_PERMISSION', `this process may not open ${path}: it belongs to the group ${group}`, {
      found: text,
      expected: `membership: sudo usermod -aG ${group} $USER, then log in anew`,
      cause,
    });
  }
  if (/cannot lock|busy/i.test(text)) {
    return new DcsError('BUSY', `another program holds ${path}`, {
      found: text,
      expected: `nobody else on it; 'fuser -v ${path}' names the program`,
      cause,
    });
  }
  if (/inappropriate ioctl|is a directory/i.test(text)) {
    return new DcsError('NOT_SUPPORTED', `${path} is not a serial port`, { found: text, cause });
  }
  if (/no such|not configured|input\/output error/i.test(text)) {
    return new DcsError('PORT_DOWN', `${path} is not there`, {
      found: text,
      expected: 'a plugged-in device; ls -l /dev/serial/by-id shows those that are',
      cause,
    });
  }
  return new DcsError('PORT_DOWN', `${path} cannot be opened: ${text}`, { found: text, cause });
}

/** Name of the group a device belongs to; dialout on Debian. */
function groupOf(path: string): string {
  try {
    const { gid } = statSync(path);
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((entry) => entry.split(':')[2] === String(gid));
    return line?.split(':')[0] ?? String(gid);
  } catch {
    // Not even visible, or no such file on this system: the group Debian gives serial ports.
    return 'dialout';
  }
}
