import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { HttpListener } from '../../src/web/http/listener.ts';
import { until } from '../support/wait.ts';
import { getTls, makeCertificate } from './web-agent.ts';
import { bareHost } from './web-server.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function certificate() {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-listener-'));
  folders.push(folder);
  return makeCertificate(folder);
}

describe('a listener whose port was in use', () => {
  it('watches the certificate once and uses a renewed one', async () => {
    const clock = new ManualClock(Date.now() / 1000);
    const host = bareHost(clock);
    const { log } = host;
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const tls = certificate();
    const options = { host: '127.0.0.1', port, users: [], origins: [], tls, historyMs: 1000 };
    const listener = new HttpListener(options, host, {
      request: (_request, response) => void response.end('here'),
      upgrade: () => undefined,
    });
    const tried = () => log.lines.filter(({ message }) => message.startsWith('web: the certificate is valid')).length;
    await listener.start();
    for (let attempt = 2; attempt < 6; attempt++) {
      // The bind error arrives in real time, not by the manual clock.
      await until('the next attempt', async () => {
        if (clock.pending > 0) await clock.advance(3000);
        return tried() >= attempt;
      });
    }
    expect(log.lines.filter(({ message }) => message.includes('is not served'))).toHaveLength(1);
    await new Promise((resolve) => other.close(resolve));
    const served = () => log.lines.some(({ message }) => message.startsWith('the web page is at'));
    await until('the page', async () => {
      if (!served()) await clock.advance(1000);
      return served();
    });
    expect(clock.pending).toBe(1);
    const fresh = certificate();
    const ca = readFileSync(fresh.cert, 'utf8');
    renameSync(fresh.cert, tls.cert);
    renameSync(fresh.key, tls.key);
    const answer = await until('the renewed certificate', async () => {
      await clock.advance(2000);
      return getTls(`https://127.0.0.1:${port}/`, ca).catch(() => undefined);
    });
    expect(answer.text).toBe('here');
    listener.stop();
    expect(clock.pending).toBe(0);
  });
});
