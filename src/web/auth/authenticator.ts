import type { IncomingMessage } from 'node:http';
import { isIPv4 } from 'node:net';
import { DcsError } from '../../errors/errors.ts';
import type { Role, WebHost, WebOptions, WebUser } from '../options.ts';
import { constantTimeEqual, DUMMY_HASH, tokenHash, verifyPassword } from './credentials.ts';
import { LoginRateLimit, type Session, Sessions } from './sessions.ts';

/** The user that a request comes from, and how the request proved it. */
export interface Identity {
  readonly name: string;
  readonly role: Role;
  /** Set when a cookie identified the user: then a request that changes something must carry the CSRF token. */
  readonly session?: Session;
}

const errorCodeOf = {
  401: 'NO_PERMISSION',
  403: 'NO_PERMISSION',
  413: 'BAD_COMMAND',
  429: 'BUSY',
  503: 'BUSY',
} as const;

/** A request rejected with an HTTP status of its own. `retryAfter`: seconds. */
export class HttpError extends DcsError {
  readonly status: 401 | 403 | 413 | 429 | 503;
  readonly retryAfter: number | undefined;

  constructor(status: HttpError['status'], message: string, retryAfter?: number) {
    super(errorCodeOf[status], message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Concurrent password checks: each takes 16 MiB, and more would exhaust the memory of a small board. */
const MAX_PASSWORD_CHECKS = 2;
const TOKEN_SUBPROTOCOL = 'dcs-io.token.';

/** Identifies the user of a request, and rejects requests from foreign origins. */
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
    // Cookies ignore the port: without it in the name, two agents on one machine would log each other out.
    // Browsers accept the `__Host-` prefix over TLS only, and only from this very host.
    this.cookieName = `${options.tls ? '__Host-' : ''}dcs-io-${options.port}`;
  }

  /** Whether the configuration has no users: then every local client is admin. */
  get withoutUsers(): boolean {
    return this.#options.users.length === 0;
  }

  /** Throws HttpError 403 for an origin that is neither ours nor listed, and for a Host header that is not ours. */
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
   * Returns the user of a request; `undefined` when it carries no credentials. Throws HttpError 401 or 429 for a wrong
   * token, so that a program does not go on unauthenticated.
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

  /** Throws HttpError 403 for a change with a cookie but no CSRF token: any page can make a browser send the cookie. */
  checkCsrf(request: IncomingMessage, { session }: Identity): void {
    if (!session || request.method === 'GET' || request.method === 'HEAD') return;
    const given = request.headers['x-csrf-token'];
    if (typeof given === 'string' && constantTimeEqual(given, session.csrf)) return;
    throw new HttpError(403, 'the header x-csrf-token is missing or wrong; GET /api/session tells it');
  }

  /** Logs a browser in. Rejects with HttpError: 401 wrong, 429 too many failed attempts, 503 too many at once. */
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

  /** Logs a browser in with a token in place of a password. Throws HttpError 401 or 429. */
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

  /** A valid token passes also at a blocked address: it is too long to guess, and others may share the address. */
  #identifyToken(token: string, address: string): Identity {
    const hash = tokenHash(token);
    // Compares all tokens, so that the response time reveals nothing.
    const [user] = this.#options.users.filter((one) => one.token !== undefined && constantTimeEqual(one.token, hash));
    if (user) return { name: user.name, role: user.role };
    this.#checkLimit(address);
    throw this.#loginFailed(address, 'a token');
  }

  #checkLimit(address: string): void {
    const wait = this.loginLimit.waitSeconds(address);
    if (wait > 0) throw new HttpError(429, `too many failed logins; wait ${wait} s`, wait);
  }

  #loginFailed(address: string, who: string): HttpError {
    this.failedLogins++;
    const failures = this.loginLimit.recordFailure(address, who);
    this.#log.warn(
      { security: 'failed login', user: who, address, failures },
      `web: failed login as ${who} from ${address}`,
    );
    return new HttpError(401, 'the name, password or token is wrong');
  }
}

/** A script in a browser can set no header of a WebSocket but the subprotocols. */
function tokenFromSubprotocol({ headers }: IncomingMessage): string | undefined {
  const offered = headers['sec-websocket-protocol']?.split(',').map((one) => one.trim()) ?? [];
  return offered.find((one) => one.startsWith(TOKEN_SUBPROTOCOL))?.slice(TOKEN_SUBPROTOCOL.length);
}

function addressOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? '';
}

/** Origin of a request's script: none (no browser), this page, one that the configuration lists, or any other. */
type OriginKind = 'none' | 'own' | 'listed' | 'foreign';

/**
 * Classifies the origin of a request from its headers `origin` and `host`. `secure`: the page is served over TLS; then a
 * plain http origin with our name is foreign, because anybody on the path could have made that page.
 */
export function originKind(
  origin: string | undefined,
  host: string | undefined,
  listed: readonly string[],
  secure: boolean,
): OriginKind {
  if (origin === undefined) return 'none';
  if (listed.includes(origin)) return 'listed';
  // A sandboxed page and a file send the text `null`.
  if (!URL.canParse(origin) || host === undefined) return 'foreign';
  const { protocol, host: from } = new URL(origin);
  return from === host.toLowerCase() && (!secure || protocol === 'https:') ? 'own' : 'foreign';
}

/**
 * Returns whether the Host header names this machine. Without users the server answers only such requests: with DNS
 * rebinding, a foreign name that resolves to 127.0.0.1 would give its page access.
 */
function isLoopbackHost(host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(`http://${host}`)) return false;
  const { hostname } = new URL(`http://${host}`);
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
}
