import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { Authenticator, originKind } from '../../src/web/auth/authenticator.ts';
import { hashPassword, verifyPassword } from '../../src/web/auth/credentials.ts';
import { LoginRateLimit, Sessions } from '../../src/web/auth/sessions.ts';
import { bareHost } from './web-server.ts';

const PASSWORD = 'correct horse';

describe('the parts of authentication', () => {
  it('a password matches its hash and no other; an invalid hash matches nothing', async () => {
    const hash = await hashPassword(PASSWORD);
    expect(await verifyPassword(PASSWORD, hash)).toBe(true);
    expect(await verifyPassword('correct horsf', hash)).toBe(false);
    expect(await verifyPassword(PASSWORD, 'scrypt:30:8:5:aaaaaaaaaaaaaaaaaaaaaa:bbb')).toBe(false);
    expect(await hashPassword(PASSWORD)).not.toBe(hash);
  });

  it('the wait doubles from the sixth failed login on, an IPv6 /64 counts as one, and a success clears it', async () => {
    const clock = new ManualClock();
    const limit = new LoginRateLimit(clock);
    for (let wrong = 0; wrong < 4; wrong++) limit.recordFailure('2001:db8::1', 'ali');
    expect(limit.waitSeconds('2001:db8::2')).toBe(0);
    limit.recordFailure('2001:db8::3', 'ali');
    expect(limit.waitSeconds('2001:db8::4')).toBe(10);
    expect(limit.waitSeconds('2001:db8:0:1::4')).toBe(0);
    await clock.advance(10_000);
    expect(limit.waitSeconds('2001:db8::4')).toBe(0);
    limit.recordFailure('2001:db8::1', 'ali');
    expect(limit.waitSeconds('2001:db8::1')).toBe(20);
    limit.recordSuccess('2001:db8::1', 'ali');
    expect(limit.waitSeconds('2001:db8::1')).toBe(0);
    for (let wrong = 0; wrong < 4; wrong++) limit.recordFailure('192.0.2.1', 'boss');
    limit.recordSuccess('192.0.2.1', 'eve');
    limit.recordFailure('192.0.2.1', 'boss');
    expect(limit.waitSeconds('192.0.2.1')).toBe(10);
  });

  it('a session ends after 12 h without a request, and after a week in any case', async () => {
    const clock = new ManualClock();
    const sessions = new Sessions(clock);
    const { secret, session } = sessions.create({ name: 'ali', role: 'view' });
    for (let day = 0; day < 13; day++) {
      await clock.advance(11 * 3_600_000);
      expect(sessions.find(secret)).toBe(session);
    }
    await clock.advance(11 * 3_600_000);
    await clock.advance(11 * 3_600_000);
    await clock.advance(11 * 3_600_000);
    expect(sessions.find(secret)).toBeUndefined();
    const other = sessions.create({ name: 'ali', role: 'view' });
    await clock.advance(12 * 3_600_000);
    expect(sessions.isAlive(other.session)).toBe(false);
  });

  it('at most two password checks run at once; the third login gets 503', async () => {
    const host = bareHost(new ManualClock());
    const users = [{ name: 'ali', role: 'view' as const, token: 'sha256:00' }];
    const authenticator = new Authenticator({ host: '127.0.0.1', port: 1, users, origins: [], historyMs: 1 }, host);
    const request = new IncomingMessage(new Socket());
    const tries = await Promise.allSettled([1, 2, 3].map(() => authenticator.login('ali', 'x', request)));
    const codes = tries.map((one) => (one.status === 'rejected' ? Reflect.get(one.reason, 'status') : 200));
    expect(codes.sort()).toEqual([401, 401, 503]);
  });
});

describe('originKind', () => {
  it('is own for our host name only, and with TLS for https only', () => {
    expect(originKind(undefined, 'pi:8443', [], true)).toBe('none');
    expect(originKind('https://pi:8443', 'pi:8443', [], true)).toBe('own');
    // Anybody on the path can forge a page of plain HTTP, with our name and port, too.
    expect(originKind('http://pi:8443', 'pi:8443', [], true)).toBe('foreign');
    expect(originKind('http://pi', 'pi', [], true)).toBe('foreign');
    expect(originKind('http://pi:8080', 'Pi:8080', [], false)).toBe('own');
    // A reverse proxy may terminate TLS.
    expect(originKind('https://pi', 'pi', [], false)).toBe('own');
    expect(originKind('https://pi.evil.example', 'pi', [], false)).toBe('foreign');
    expect(originKind('null', 'pi', [], false)).toBe('foreign');
    expect(originKind('http://panel', 'pi', ['http://panel'], true)).toBe('listed');
  });

  it.each([
    [undefined, 'pi:8080', 'none'],
    ['http://pi:8080', 'pi:8080', 'own'],
    ['http://PI:8080', 'Pi:8080', 'own'],
    ['http://pi', 'pi:8080', 'foreign'],
    ['null', 'pi', 'foreign'],
    ['https://panel.example', 'pi', 'listed'],
  ] as const)('origin %s at host %s is %s', (origin, host, kind) => {
    expect(originKind(origin, host, ['https://panel.example'], false)).toBe(kind);
  });
});
