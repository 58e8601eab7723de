import { readFileSync, statSync } from 'node:fs';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';

/** Group that owns GPIO devices on Raspberry Pi OS and by most udev rules. */
const USUAL_GROUP = 'gpio';

/**
 * Turns what the kernel said into this agent's words. `what` names the line or chip; `path` is the file whose group a
 * user must be in.
 */
export function kernelError(thrown: unknown, what: string, path: string): DcsError {
  if (thrown instanceof DcsError) return thrown;
  const code = systemCode(thrown);
  const cause = { cause: thrown };
  switch (code) {
    case 'EBUSY':
      return new DcsError('BUSY', `${what} is held by somebody else`, cause);
    case 'EACCES':
    case 'EPERM':
      return noPermission(what, path, thrown);
    case 'ENODEV':
    case 'ENXIO':
      return new DcsError('PORT_DOWN', `${what} is gone`, cause);
    case 'EINVAL':
      return new DcsError('NOT_SUPPORTED', `${what}: the chip refuses these settings`, cause);
    default:
      return new DcsError('PORT_DOWN', `${what}: ${messageOf(thrown)}`, cause);
  }
}

function noPermission(what: string, path: string, thrown: unknown): DcsError {
  const group = groupOf(path);
  return new DcsError('NO_PERMISSION', `${what}: this user may not use ${path}; it needs the group ${group}`, {
    expected: `a member of the group ${group} (sudo usermod -aG ${group} USER, then log in anew)`,
    cause: thrown,
  });
}

/** The group a file belongs to, by name; the usual one when root alone owns it, for then a udev rule is missing. */
function groupOf(path: string): string {
  try {
    const { gid } = statSync(path);
    if (gid === 0) return USUAL_GROUP;
    const entry = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([, , id]) => Number(id) === gid);
    return entry?.[0] ?? String(gid);
  } catch {
    // Not to be looked up: the usual name is still the best advice.
    return USUAL_GROUP;
  }
}
