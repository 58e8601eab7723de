import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import type { Router } from 'zeromq';
import type { Clock, Timer } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import type { Log } from '../../log/log.ts';
import { type Envelope, isRecord } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { commandsPin, commandsPort } from '../peer/session.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { encodeZ85, fits, type Grant, type KeyPair, listAllowed } from './keys.ts';

/** How often the list of allowed keys is read anew (ms), should the file system not tell of a change. */
const RELOAD_MS = 500;
const ZAP_ADDRESS = 'inproc://zeromq.zap.01';
/** Most actors remembered of one key; the one longest silent is forgotten first. */
const MAX_CREATORS = 8192;

/**
 * Who may talk with this node. Answers ZeroMQ's question for every connection (ZAP, ZeroMQ RFC 27); while nobody answers,
 * nobody gets in. Knows what each key may do.
 */
export class AccessControl {
  readonly own: KeyPair;
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #sockets: SocketFactory;
  readonly #log: Log;
  readonly #revoked: (key: string) => void;
  /** Whose key an actor's id belongs to, and the ids of each key, the one heard last at the end. */
  readonly #keyByCreator = new Map<string, string>();
  readonly #creatorsByKey = new Map<string, Set<string>>();
  #grants = new Map<string, Grant>();
  #broken: readonly string[] = [];
  #zapSocket: Router | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #closed = false;

  /** `revoked` is called with every key that is not allowed any more. */
  constructor(folder: string, own: KeyPair, clock: Clock, sockets: SocketFactory, revoked: (key: string) => void) {
    this.#folder = folder;
    this.own = own;
    this.#clock = clock;
    this.#sockets = sockets;
    this.#log = sockets.log;
    this.#revoked = revoked;
    this.#reload();
  }

  /** Opens the gate; must be called before any socket that it guards is bound. */
  async start(): Promise<void> {
    this.#zapSocket = this.#sockets.zap();
    await this.#zapSocket.bind(ZAP_ADDRESS);
    void this.#answerZapRequests(this.#zapSocket, this.#sockets);
    try {
      this.#watcher = watch(join(this.#folder, 'allowed'), () => this.#reload());
      this.#watcher.on('error', (error) =>
        this.#log.debug({ err: error }, 'the list of allowed keys is looked at instead'),
      );
    } catch (error) {
      this.#log.debug({ err: error }, `the list of allowed keys is looked at instead: ${messageOf(error)}`);
    }
    this.#scheduleReload();
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#timer?.cancel();
    this.#zapSocket?.close();
  }

  /** Keys that may talk with us. */
  keys(): readonly string[] {
    return [...this.#grants.keys()];
  }

  allows(key: string | undefined): key is string {
    return key !== undefined && this.#grants.has(key);
  }

  /** Why a message must not come in from the owner of a key; undefined: it may. */
  refusal(envelope: Envelope, key: string | undefined): string | undefined {
    const grant = key === undefined ? undefined : this.#grants.get(key);
    if (!grant) return 'its link has no key that is allowed';
    if (envelope.sender.length > 2 && !grant.relay) return `${grant.name} may not pass on messages of others`;
    if (!this.#ownsCreator(envelope.sender[0] ?? '', grant)) return 'its creator is an actor of another node';
    for (const target of targetsOf(envelope)) {
      if (target === undefined || !fits(target, grant.write)) return `${grant.name} may not write ${target}`;
    }
    return undefined;
  }

  /** Whether the owner of a key may be told. */
  mayRead({ payload }: Envelope, key: string | undefined): boolean {
    const grant = key === undefined ? undefined : this.#grants.get(key);
    if (!grant) return false;
    const io = ioMessageOf(payload);
    return !io || !isReport(io) || fits(io.pin_name, grant.read);
  }

  /**
   * An actor's id belongs to the node that used it first: nobody else can use up its message ids. Each key has room of its
   * own, so that one that invents actors without end takes none from the others.
   */
  #ownsCreator(creator: string, { key, relay }: Grant): boolean {
    if (relay) return true;
    if ((this.#keyByCreator.get(creator) ?? key) !== key) return false;
    const own = this.#creatorsByKey.get(key) ?? new Set();
    this.#creatorsByKey.set(key, own);
    own.delete(creator);
    own.add(creator);
    this.#keyByCreator.set(creator, key);
    const [oldest] = own;
    if (own.size > MAX_CREATORS && oldest !== undefined) {
      own.delete(oldest);
      this.#keyByCreator.delete(oldest);
    }
    return true;
  }

  async #answerZapRequests(router: Router, sockets: SocketFactory): Promise<void> {
    try {
      for await (const [route, blank, version, request, domain, address, , mechanism, credential] of router) {
        if (!route || !blank || !version || !request) continue;
        const key = credential?.length === 32 ? encodeZ85(credential) : undefined;
        const ok = mechanism?.toString() === 'CURVE' && domain?.toString() === sockets.zapDomain && this.allows(key);
        if (!ok) {
          sockets.stats.refused++;
          this.#log.warn(
            { security: 'connection', address: address?.toString(), key },
            'a connection without an allowed key was refused',
          );
        }
        await router.send([
          route,
          blank,
          version,
          request,
          ok ? '200' : '400',
          ok ? 'OK' : 'not allowed',
          key ?? '',
          '',
        ]);
      }
    } catch (error) {
      if (this.#closed) return;
      this.#log.error({ err: error }, `nobody can be admitted any more: ${messageOf(error)}`);
    }
  }

  #scheduleReload(): void {
    this.#timer = this.#clock.after(RELOAD_MS, () => {
      this.#reload();
      this.#scheduleReload();
    });
  }

  /** A list that cannot be read allows nobody. */
  #reload(): void {
    if (this.#closed) return;
    const before = this.#grants;
    try {
      const { grants, broken } = listAllowed(this.#folder);
      this.#grants = new Map(grants.map((grant) => [grant.key, grant]));
      for (const name of broken) {
        if (!this.#broken.includes(name))
          this.#log.warn({ name }, `the allowed key '${name}' makes no sense or cannot be read, and allows nobody`);
      }
      this.#broken = broken;
    } catch (error) {
      this.#grants = new Map();
      this.#log.error({ err: error }, `the list of allowed keys cannot be read: ${messageOf(error)}`);
    }
    for (const key of before.keys()) if (!this.#grants.has(key)) this.#revoked(key);
  }
}

/** What the commands of a message would change: there may be one of each kind in it. */
function targetsOf({ payload }: Envelope): (string | undefined)[] {
  const targets: (string | undefined)[] = [];
  if (commandsPin(payload)) targets.push(ioMessageOf(payload)?.pin_name);
  if (commandsPort(payload)) {
    const serial = payload['SerialPortMessage'];
    const port = isRecord(serial) ? serial['port'] : undefined;
    targets.push(typeof port === 'string' ? port : undefined);
  }
  return targets;
}
