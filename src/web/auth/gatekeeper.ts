import type { IncomingMessage } from 'node:http';
import { DcsError } from '../../errors/errors.ts';
import type { Role, WebHost, WebOptions, WebUser } from '../options.ts';
import { LoginLimit } from './login-limit.ts';
import { isLocalName, originKind } from './origin.ts';
import { NOBODY, passwordFits, sameText, tokenHash } from './secrets.ts';
import { type Session, Sessions } from './sessions.ts';

/** Whoever a request is from, and how that is known. */
export interface Visitor {
  readonly name: string;
  readonly role: Role;
  /** Present when a cookie says so: then a request that changes something must prove that our page made it. */
  readonly session?: Session;
}

const codes = {
  401: 'NO_PERMISSION',
  403: 'NO_PERMISSION',
  413: 'BAD_COMMAND',
  429: 'BUSY',
  503: 'BUSY',
} as const;

/** Refused before anything was looked at. `retryAfter`: seconds. */
export class Refusal extends DcsError {
  readonly status: 401 | 403 | 413 | 429 | 503;
  readonly retryAfter: number | undefined;

  constructor(status: Refusal['status'], message: string, retryAfter?: number) {
    super(codes[status], message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** A password check costs 16 MiB; more at a time would starve a small board. */
const MAX_CHECKS = 2;
const SUBPROTOCOL_TOKEN = 'dcs-io.token.';

/** Decides who a request is from, and refuses what comes from where nothing may come. */
export class Gatekeeper {
  readonly sessions: Sessions;
  readonly limit: LoginLimit;
  readonly cookieName: string;
  failures = 0;
  readonly #options: WebOptions;
  readonly #log: WebHost['log'];
  #checks = 0;

  constructor(options: WebOptions, { clock, log }: Pick<WebHost, 'clock' | 'log'>) {
    this.#options = options;
    this.#log = log;
    this.sessions = new Sessions(clock);
    this.limit = new LoginLimit(clock);
    // Cookies do not tell ports apart: two agents of one machine must not log each other out.
    // The prefix: browsers take it over TLS only, and from nobody but this very host.
    this.cookieName = `${options.tls ? '__Host-' : ''}dcs-io-${options.port}`;
  }

  /** There are no users: whoever is on this machine is let in. */
  get open(): boolean {
    return this.#options.users.length === 0;
  }

  /** Refuses (403) scripts of pages that are neither ours nor listed, and names that are not ours. */
  checkOrigin({ headers }: IncomingMessage): void {
    const kind = originKind(headers.origin, headers.host, this.#options.origins, this.#options.tls !== undefined);
    if (kind === 'foreign') {
      throw new Refusal(
        403,
        `scripts of ${headers.origin} may not use this agent; web.origins in its configuration lists who may`,
      );
    }
    if (this.open && !isLocalName(headers.host)) {
      throw new Refusal(
        403,
        `without users only http://localhost is answered, not ${headers.host}; add web.users to the configuration`,
      );
    }
  }

  /**
   * Who it is; undefined: nobody we know. Refuses (401, 429) a token that is wrong, so that a program does not go on as
   * a stranger.
   */
  visitor(request: IncomingMessage): Visitor | undefined {
    const { headers } = request;
    const bearer = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1] ?? protocolToken(request);
    if (bearer !== undefined) return this.#byToken(bearer, addressOf(request));
    if (this.open) return { name: 'local', role: 'admin' };
    const session = this.sessionOf(request);
    return session && { name: session.user.name, role: session.user.role, session };
  }

  sessionOf({ headers }: IncomingMessage): Session | undefined {
    const wanted = `${this.cookieName}=`;
    for (const part of headers.cookie?.split(';') ?? []) {
      const cookie = part.trim();
      if (cookie.startsWith(wanted)) return this.sessions.find(cookie.slice(wanted.length));
    }
    return undefined;
  }

  /** Refuses (403) a change that a cookie alone stands for: any page can make a browser send the cookie. */
  checkCsrf(request: IncomingMessage, { session }: Visitor): void {
    if (!session || request.method === 'GET' || request.method === 'HEAD') return;
    const given = request.headers['x-csrf-token'];
    if (typeof given === 'string' && sameText(given, session.csrf)) return;
    throw new Refusal(403, 'the header x-csrf-token is missing or wrong; GET /api/session tells it');
  }

  /** Logs a browser in. Rejects with a Refusal: 401 wrong, 429 too many wrong tries, 503 too many at once. */
  async login(name: string, password: string, request: IncomingMessage): Promise<{ secret: string; session: Session }> {
    const address = addressOf(request);
    this.#checkLimit(address);
    if (this.#checks >= MAX_CHECKS) throw new Refusal(503, 'others are logging in just now', 1);
    this.#checks++;
    try {
      const user = this.#options.users.find((one) => one.name === name && one.password !== undefined);
      const fits = await passwordFits(password, user?.password ?? NOBODY);
      if (user && fits) return this.#welcome(user, address);
    } finally {
      this.#checks--;
    }
    throw this.#wrong(address, name);
  }

  /** Logs a browser in with a token, as its user would with a password. */
  loginByToken(token: string, request: IncomingMessage): { secret: string; session: Session } {
    const address = addressOf(request);
    const { name } = this.#byToken(token, address);
    const user = this.#options.users.find((one) => one.name === name);
    if (!user) throw new Refusal(401, 'this token is unknown');
    return this.#welcome(user, address);
  }

  #welcome(user: WebUser, address: string): { secret: string; session: Session } {
    this.limit.succeeded(address, user.name);
    this.#log.info({ security: 'login', user: user.name, address }, `web: ${user.name} has logged in`);
    return this.sessions.begin(user);
  }

  /** A right token passes at once: it is too long to be guessed, and must not suffer for a neighbour's tries. */
  #byToken(token: string, address: string): Visitor {
    const hash = tokenHash(token);
    // All are compared, so that the time tells nothing.
    const fitting = this.#options.users.filter((one) => one.token !== undefined && sameText(one.token, hash));
    const [user] = fitting;
    if (user) return { name: user.name, role: user.role };
    this.#checkLimit(address);
    throw this.#wrong(address, 'a token');
  }

  #checkLimit(address: string): void {
    const wait = this.limit.wait(address);
    if (wait > 0) throw new Refusal(429, `too many wrong tries; wait ${wait} s`, wait);
  }

  #wrong(address: string, who: string): Refusal {
    this.failures++;
    const failures = this.limit.failed(address, who);
    this.#log.warn(
      { security: 'wrong login', user: who, address, failures },
      `web: wrong login as ${who} from ${address}`,
    );
    return new Refusal(401, 'the name, password or token is wrong');
  }
}

/** Browsers cannot give a WebSocket any header but its subprotocols. */
function protocolToken({ headers }: IncomingMessage): string | undefined {
  const offered = headers['sec-websocket-protocol']?.split(',').map((one) => one.trim()) ?? [];
  return offered.find((one) => one.startsWith(SUBPROTOCOL_TOKEN))?.slice(SUBPROTOCOL_TOKEN.length);
}

function addressOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? '';
}
