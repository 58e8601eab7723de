import { createServer } from 'node:net';

/**
 * Below the ports the kernel gives to connections that go out (32768 and up): one of those could be taken by any other
 * program between this answer and its use, or while the program that had it is restarted.
 */
const FIRST = 10_000;
const LAST = 32_000;

const given = new Set<number>();

/** A TCP port of loopback that is free now; never the same twice. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
