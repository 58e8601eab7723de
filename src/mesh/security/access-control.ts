import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import type { Router } from 'zeromq';
import type { Clock, Timer } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import type { Log } from '../../log/log.ts';
import { type Envelope, isRecord } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { commandsPin, commandsPort } from '../routing/message-filters.ts';
import type { KeyPair, SocketFactory } from '../transport/socket-factory.ts';
import { encodeZ85, fits, type Grant, listAllowed } from './keys.ts';

/** Interval at which the allowed keys are read again (ms), in case the file system does not report a change. */
const RELOAD_MS = 500;
const ZAP_ADDRESS = 'inproc://zeromq.zap.01';
/** Most actors remembered of one key. Beyond it the one silent for the longest time is forgotten. */
const MAX_CREATORS = 8192;

/** Decides which keys may connect, and what the owner of each may do. */
export interface PeerAccess {
  /** This process's own keys. */
  readonly own: KeyPair;
  /** Public keys of the nodes that this process dials. */
  keys(): readonly string[];
  /** True when the owner of the key may connect. */
  allows(key: string | undefined): key is string;
  /** Says why a message must not come in from the owner of a key; `undefined` when it may. */
  refusal(envelope: Envelope, key: string | undefined): string | undefined;
  /** True when the owner of a key may get the message. */
  mayRead(envelope: Envelope, key: string | undefined): boolean;
}

/** The access of a light client: it trusts the node that it dials, which must have one of these keys. */
export class ServerTrust implements PeerAccess {
  readonly own: KeyPair;
  readonly #serverKeys: readonly string[];

  constructor(own: KeyPair, serverKeys: readonly string[]) {
    this.own = own;
    this.#serverKeys = serverKeys;
  }

  keys(): readonly string[] {
    return this.#serverKeys;
  }

  allows(key: string | undefined): key is string {
    return key !== undefined && this.#serverKeys.includes(key);
  }

  refusal(_envelope: Envelope, key: string | undefined): string | undefined {
    return this.allows(key) ? undefined : 'it does not come from the node that was dialled';
  }

  mayRead(_envelope: Envelope, key: string | undefined): boolean {
    return this.allows(key);
  }
}

/**
 * The access to a node: its folder of allowed keys, with the rights of each. Authenticates every connection for ZeroMQ (ZAP,
 * ZeroMQ RFC 27); while this does not run, no connection is admitted.
 */
export class AccessControl implements PeerAccess {
  readonly own: KeyPair;
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #sockets: SocketFactory;
  readonly #log: Log;
  /** The key to which an actor's id belongs, and the ids of each key, the one heard last at the end. */
  readonly #keyByCreator = new Map<string, string>();
  readonly #creatorsByKey = new Map<string, Set<string>>();
  #grants = new Map<string, Grant>();
  #broken: readonly string[] = [];
  #zapSocket: Router | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #closed = false;
  #revoked: (key: string) => void = () => undefined;

  constructor(folder: string, own: KeyPair, clock: Clock, sockets: SocketFactory) {
    this.#folder = folder;
    this.own = own;
    this.#clock = clock;
    this.#sockets = sockets;
    this.#log = sockets.log;
    this.#reload();
  }

  /** `listener` is called with every key that is not allowed any more. */
  onRevoked(listener: (key: string) => void): void {
    this.#revoked = listener;
  }

  /** Starts the authenticator. Call it before any socket that it guards is bound. */
  async start(): Promise<void> {
    this.#zapSocket = this.#sockets.zap();
    await this.#zapSocket.bind(ZAP_ADDRESS);
    void this.#answerZapRequests(this.#zapSocket);
    try {
      this.#watcher = watch(join(this.#folder, 'allowed'), () => this.#reload());
      this.#watcher.on('error', (error) =>
        this.#log.debug({ err: error }, 'polling the allowed keys: cannot watch them'),
      );
    } catch (error) {
      this.#log.debug({ err: error }, `polling the allowed keys: cannot watch them: ${messageOf(error)}`);
    }
    this.#scheduleReload();
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#timer?.cancel();
    this.#zapSocket?.close();
  }

  keys(): readonly string[] {
    return [...this.#grants.keys()];
  }

  allows(key: string | undefined): key is string {
    return key !== undefined && this.#grantOf(key) !== undefined;
  }

  refusal(envelope: Envelope, key: string | undefined): string | undefined {
    const grant = this.#grantOf(key);
    if (!grant) return 'its connection has no allowed key';
    if (envelope.sender.length > 2 && !grant.relay) return `${grant.name} may not pass on messages of others`;
    if (!this.#ownsCreator(envelope.sender[0] ?? '', grant)) return 'its creator is an actor of another node';
    for (const target of targetsOf(envelope)) {
      if (target === undefined || !fits(target, grant.write)) return `${grant.name} may not write ${target}`;
    }
    return undefined;
  }

  mayRead({ payload }: Envelope, key: string | undefined): boolean {
    const grant = this.#grantOf(key);
    if (!grant) return false;
    const io = ioMessageOf(payload);
    return !io || !isReport(io) || fits(io.pin_name, grant.read);
  }

  /**
   * The grant of a key. The node's own key may do everything: only programs that can read its secret key have it, such as the
   * command line on the same machine.
   */
  #grantOf(key: string | undefined): Grant | undefined {
    if (key === undefined) return undefined;
    if (key === this.own.publicKey) return { name: 'this node', key, read: ['*'], write: ['*'], relay: false };
    return this.#grants.get(key);
  }

  /**
   * An actor's id belongs to the key that used it first, so that no other node can use up its message ids. The number of ids
   * is limited for each key, so that a key that invents actors does not push out those of others.
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

  async #answerZapRequests(socket: Router): Promise<void> {
    try {
      for await (const request of socket) {
        const [route, blank, version, id] = request;
        if (!route || !blank || !version || !id) continue;
        const { ok, key } = this.#authenticate(request);
        await socket.send([
          ...[route, blank, version, id],
          ...(ok ? ['200', 'OK'] : ['400', 'not allowed']),
          ...[key ?? '', ''],
        ]);
      }
    } catch (error) {
      if (this.#closed) return;
      this.#log.error({ err: error }, `no connection can be admitted any more: ${messageOf(error)}`);
    }
  }

  #authenticate([, , , , domain, address, , mechanism, credential]: readonly Buffer[]): {
    readonly ok: boolean;
    readonly key: string | undefined;
  } {
    const key = credential?.length === 32 ? encodeZ85(credential) : undefined;
    const inDomain = mechanism?.toString() === 'CURVE' && domain?.toString() === this.#sockets.zapDomain;
    const ok = inDomain && this.allows(key);
    if (!ok) {
      this.#sockets.stats.refused++;
      this.#log.warn(
        { security: 'connection', address: address?.toString(), key },
        'a connection without an allowed key was refused',
      );
    }
    return { ok, key };
  }

  #scheduleReload(): void {
    this.#timer = this.#clock.after(RELOAD_MS, () => {
      this.#reload();
      this.#scheduleReload();
    });
  }

  /** Reads the list of allowed keys. A list that cannot be read allows no key. */
  #reload(): void {
    if (this.#closed) return;
    const before = this.#grants;
    try {
      const { grants, broken } = listAllowed(this.#folder);
      this.#grants = new Map(grants.map((grant) => [grant.key, grant]));
      for (const name of broken) {
        if (!this.#broken.includes(name))
          this.#log.warn({ name }, `the allowed key '${name}' is malformed or cannot be read, and is ignored`);
      }
      this.#broken = broken;
    } catch (error) {
      this.#grants = new Map();
      this.#log.error({ err: error }, `the list of allowed keys cannot be read: ${messageOf(error)}`);
    }
    for (const key of before.keys()) if (!this.#grants.has(key)) this.#revoked(key);
  }
}

/** The pins and ports that a message commands: it may command one of each. */
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
