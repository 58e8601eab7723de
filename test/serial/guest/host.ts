import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { until } from '../../support/wait.ts';

const SHARE = '/run/share';
let number = 0;

/** Asks the host of the virtual machine to do something to its hardware; resolves when it is done. */
export async function host(what: 'unplug' | 'plug' | 'break'): Promise<void> {
  const name = `${SHARE}/want-${number++}`;
  writeFileSync(name, what);
  await until(`the host to ${what}`, () => existsSync(`${name}.done`));
  rmSync(`${name}.done`);
}
