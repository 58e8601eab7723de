import type { IncomingMessage } from 'node:http';
import { isIPv4 } from 'node:net';
import { DcsError } from '../../errors/errors.ts';
import type { Role, WebHost, WebOptions, WebUser } from '../options.ts';
import { constantTimeEqual, DUMMY_HASH, tokenHash, verifyPassword } from './credentials.ts';
import { LoginRateLimit, type Session, Sessions } from './sessions.ts';

/** Whoever a request is from, and how that is known. */
export interface Identity {
  readonly name: string;
  readonly role: Role;
  /** Present when a cookie says so: then a request that changes something must prove that our page made it. */
  readonly session?: Session;
}

const errorCodeOf = {
  401: 'NO_PERMISSION',
  403: 'NO_PERMISSION',
  413: 'BAD_COMMAND',
  429: 'BUSY',
  503: 'BUSY',
} as const;

/** Refused before anything was looked at. `retryAfter`: seconds. */
export class HttpError extends DcsError {
  readonly status: 401 | 403 | 413 | 429 | 503;
  readonly retryAfter: number | undefined;

  constructor(status: HttpError['status'], message: string, retryAfter?: number) {
    super(errorCodeOf[status], message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** A password check costs 16 MiB; more at a time would starve a small board. */
const MAX_PASSWORD_CHECKS = 2;
const TOKEN_SUBPROTOCOL = 'dcs-io.token.';

/** Decides who a request is from, and refuses what comes from where nothing may come. */
export class Authenticator {
  readonly sessions: Sessions;
  readonly loginLimit: LoginRateLimit;
  readonly cookieName: string;
  failedLogins = 0;
  readonly #options: WebOptions;
  readonly #log: WebHost['log'];
  #runningChecks = 0;

  constructor(options: WebOptions, { clock, log }: Pick<WebHost, 'clock' | 'log'>) {
    this.#options = options;
    this.#log = log;
    this.sessions = new Sessions(clock);
    this.loginLimit = new LoginRateLimit(clock);
    // Cookies do not tell ports apart: two agents of one machine must not log each other out.
    // The prefix: browsers take it over TLS only, and from nobody but this very host.
    this.cookieName = `${options.tls ? '__Host-' : ''}dcs-io-${options.port}`;
  }

  /** There are no users: whoever is on this machine is let in. */
  get withoutUsers(): boolean {
    return this.#options.users.length === 0;
  }

  /** Refuses (403) scripts of pages that are neither ours nor listed, and names that are not ours. */
  checkOrigin({ headers }: IncomingMessage): void {
    const kind = originKind(headers.origin, headers.host, this.#options.origins, this.#options.tls !== undefined);
    if (kind === 'foreign') {
      throw new HttpError(
        403,
        `scripts of ${headers.origin} may not use this agent; web.origins in its configuration lists who may`,
      );
    }
    if (this.withoutUsers && !isLoopbackHost(headers.host)) {
      throw new HttpError(
        403,
        `without users only http://localhost is answered, not ${headers.host}; add web.users to the configuration`,
      );
    }
  }

  /**
   * Who it is; undefined: nobody we know. Refuses (401, 429) a token that is wrong, so that a program does not go on as
   * a stranger.
   */
  identify(request: IncomingMessage): Identity | undefined {
    const { headers } = request;
    const bearer = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1] ?? tokenFromSubprotocol(request);
    if (bearer !== undefined) return this.#identifyToken(bearer, addressOf(request));
    if (this.withoutUsers) return { name: 'local', role: 'admin' };
    const session = this.sessionFrom(request);
    return session && { name: session.user.name, role: session.user.role, session };
  }

  sessionFrom({ headers }: IncomingMessage): Session | undefined {
    const wanted = `${this.cookieName}=`;
    for (const part of headers.cookie?.split(';') ?? []) {
      const cookie = part.trim();
      if (cookie.startsWith(wanted)) return this.sessions.find(cookie.slice(wanted.length));
    }
    return undefined;
  }

  /** Refuses (403) a change that a cookie alone stands for: any page can make a browser send the cookie. */
  checkCsrf(request: IncomingMessage, { session }: Identity): void {
    if (!session || request.method === 'GET' || request.method === 'HEAD') return;
    const given = request.headers['x-csrf-token'];
    if (typeof given === 'string' && constantTimeEqual(given, session.csrf)) return;
    throw new HttpError(403, 'the header x-csrf-token is missing or wrong; GET /api/session tells it');
  }

  /** Logs a browser in. Rejects with a Refusal: 401 wrong, 429 too many wrong tries, 503 too many at once. */
  async login(name: string, password: string, request: IncomingMessage): Promise<{ secret: string; session: Session }> {
    const address = addressOf(request);
    this.#checkLimit(address);
    if (this.#runningChecks >= MAX_PASSWORD_CHECKS) throw new HttpError(503, 'others are logging in just now', 1);
    this.#runningChecks++;
    try {
      const user = this.#options.users.find((one) => one.name === name && one.password !== undefined);
      const fits = await verifyPassword(password, user?.password ?? DUMMY_HASH);
      if (user && fits) return this.#startSession(user, address);
    } finally {
      this.#runningChecks--;
    }
    throw this.#loginFailed(address, name);
  }

  /** Logs a browser in with a token, as its user would with a password. */
  loginWithToken(token: string, request: IncomingMessage): { secret: string; session: Session } {
    const address = addressOf(request);
    const { name } = this.#identifyToken(token, address);
    const user = this.#options.users.find((one) => one.name === name);
    if (!user) throw new HttpError(401, 'this token is unknown');
    return this.#startSession(user, address);
  }

  #startSession(user: WebUser, address: string): { secret: string; session: Session } {
    this.loginLimit.recordSuccess(address, user.name);
    this.#log.info({ security: 'login', user: user.name, address }, `web: ${user.name} has logged in`);
    return this.sessions.create(user);
  }

  /** A right token passes at once: it is too long to be guessed, and must not suffer for a neighbour's tries. */
  #identifyToken(token: string, address: string): Identity {
    const hash = tokenHash(token);
    // All are compared, so that the time tells nothing.
    const fitting = this.#options.users.filter((one) => one.token !== undefined && constantTimeEqual(one.token, hash));
    const [user] = fitting;
    if (user) return { name: user.name, role: user.role };
    this.#checkLimit(address);
    throw this.#loginFailed(address, 'a token');
  }

  #checkLimit(address: string): void {
    const wait = this.loginLimit.waitSeconds(address);
    if (wait > 0) throw new HttpError(429, `too many wrong tries; wait ${wait} s`, wait);
  }

  #loginFailed(address: string, who: string): HttpError {
    this.failedLogins++;
    const failures = this.loginLimit.recordFailure(address, who);
    this.#log.warn(
      { security: 'wrong login', user: who, address, failures },
      `web: wrong login as ${who} from ${address}`,
    );
    return new HttpError(401, 'the name, password or token is wrong');
  }
}

/** Browsers cannot give a WebSocket any header but its subprotocols. */
function tokenFromSubprotocol({ headers }: IncomingMessage): string | undefined {
  const offered = headers['sec-websocket-protocol']?.split(',').map((one) => one.trim()) ?? [];
  return offered.find((one) => one.startsWith(TOKEN_SUBPROTOCOL))?.slice(TOKEN_SUBPROTOCOL.length);
}

function addressOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? '';
}

/** Where a request's script comes from: none (no browser), this page, one the configuration lists, or anywhere else. */
export type OriginKind = 'none' | 'own' | 'listed' | 'foreign';

/**
 * `origin` and `host` are the headers of the request. `secure`: our page comes over TLS; what comes under our name without
 * it, anybody on the way may have made.
 */
export function originKind(
  origin: string | undefined,
  host: string | undefined,
  listed: readonly string[],
  secure: boolean,
): OriginKind {
  if (origin === undefined) return 'none';
  if (listed.includes(origin)) return 'listed';
  // `null` is what a sandboxed page or a file sends.
  if (!URL.canParse(origin) || host === undefined) return 'foreign';
  const { protocol, host: from } = new URL(origin);
  return from === host.toLowerCase() && (!secure || protocol === 'https:') ? 'own' : 'foreign';
}

/**
 * Whether the Host header names this machine itself. Without logins only that is answered: a foreign name that is made to
 * point at 127.0.0.1 (DNS rebinding) would otherwise let its page in.
 */
export function isLoopbackHost(host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(`http://${host}`)) return false;
  const { hostname } = new URL(`http://${host}`);
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
}
