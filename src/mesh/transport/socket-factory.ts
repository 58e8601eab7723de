import type { Context, Dealer, Router, Subscriber, XPublisher } from 'zeromq';
import { DcsError } from '../../errors/errors.ts';
import type { Log } from '../../log/log.ts';
import type { KeyPair } from '../security/keys.ts';
import type { MeshStats } from '../stats.ts';

type Zmq = typeof import('zeromq');

/** Longest frame on any link; a longer one is dropped and counted. */
export const MAX_FRAME = 1024 * 1024;
/** The transport ends the connection a frame longer than this comes from, without a word: it must not fill the memory. */
const MAX_TRANSPORT_FRAME = 2 * MAX_FRAME;
/** Frames that wait for one peer, each way. Beyond it a peer that does not read loses, and nobody else. */
export const HIGH_WATER_MARK = 1000;
/** Frames of a session that wait in the transport, each way; a frame may hold many messages. */
const SESSION_HIGH_WATER_MARK = 250;
/** How long what was sent last may take to leave when the sockets close (ms). */
export const LINGER_MS = 1000;

const ZAP_DOMAIN = 'dcs-io';

/** What every socket of one mesh is made with. */
export interface SocketFactory {
  readonly context: Context;
  readonly stats: MeshStats;
  readonly log: Log;
  /** Name of what the gate guards. */
  readonly zapDomain: string;
  subscriber(): Subscriber;
  publisher(): XPublisher;
  /** Encrypted if this node has keys: then only those get in whom the gate lets in. */
  router(): Router;
  /** The socket on which ZeroMQ asks who may come in. */
  zap(): Router;
  /** `serverKey`: the public key the other end must have, when the mesh is encrypted. */
  dealer(serverKey?: string): Dealer;
}

/**
 * Loads ZeroMQ and makes a context of its own. `own`: this node's keys, when its sessions are encrypted. Rejects with NOT_SUPPORTED where there is no binary for this machine.
 */
export async function openSocketFactory(stats: MeshStats, log: Log, own?: KeyPair): Promise<SocketFactory> {
  const zmq = await loadZmq();
  const context = new zmq.Context({ blocky: false, maxSockets: 4095 });
  return {
    context,
    stats,
    log,
    zapDomain: ZAP_DOMAIN,
    zap: () => new zmq.Router({ context, linger: 0 }),
    subscriber: () =>
      new zmq.Subscriber({ context, ...commonOptions(), ...keepaliveOptions, receiveHighWaterMark: HIGH_WATER_MARK }),
    publisher: () =>
      new zmq.XPublisher({
        context,
        ...commonOptions(),
        ...sendOptions(),
        receiveHighWaterMark: 0,
        verbosity: 'allSubsUnsubs',
      }),
    router: () =>
      new zmq.Router({
        context,
        ...commonOptions(),
        ...sessionOptions(),
        ...(own && curveServerOptions(own)),
        mandatory: true,
      }),
    dealer: (serverKey) =>
      new zmq.Dealer({
        context,
        ...commonOptions(),
        ...sessionOptions(),
        // With it libzmq throws away what came last, when the connection breaks before it was read: a goodbye, or the report
        // of a safe state. A call is for one connection, and is over when that breaks; whoever it would reach then drops it.
        immediate: false,
        ...(own &&
          serverKey !== undefined && {
            curveServerKey: serverKey,
            curvePublicKey: own.publicKey,
            curveSecretKey: own.secretKey,
          }),
      }),
  };
}

/** Whether a frame may be read at all; one that is too long is counted. */
export function isReadable(frame: Buffer, stats: MeshStats): boolean {
  if (frame.length <= MAX_FRAME) return true;
  stats.oversized++;
  return false;
}

/** Loads the native library; only a process that joins the mesh pays for it. */
export async function loadZmq(load: () => Promise<Zmq> = () => import('zeromq')): Promise<Zmq> {
  try {
    return await load();
  } catch (error) {
    throw new DcsError(
      'NOT_SUPPORTED',
      `ZeroMQ has no binary for this system (${process.platform} ${process.arch}), so this process cannot join the bus of ` +
        'others. On a Raspberry Pi use the 64-bit Raspberry Pi OS; or build zeromq from source; or set bus.enabled: false',
      { found: `${process.platform} ${process.arch}`, expected: 'linux x64 or arm64', cause: error },
    );
  }
}

/**
 * `immediate` keeps anything from being queued for a peer that is not there (it would arrive after its restart, stale);
 * the random part keeps the peers of a dead broker from knocking at the same moment.
 */
function commonOptions() {
  return {
    linger: 0,
    handshakeInterval: 3000,
    connectTimeout: 2000,
    immediate: true,
    reconnectInterval: 100 + Math.floor(Math.random() * 100),
    reconnectMaxInterval: 1000,
    maxMessageSize: MAX_TRANSPORT_FRAME,
  };
}

/**
 * The kernel looks whether the other end is there, within 6 s. ZeroMQ's own heartbeats are not used anywhere: libzmq 4.3
 * aborts the process (`Assertion failed: !_io_error`) when it wants to send one, or to answer one, on a connection that
 * broke while its input was held up, as it is while the program is busy and its peer sends much. That would take processes
 * of v1 with it too.
 */
export const keepaliveOptions = {
  tcpKeepalive: 1,
  tcpKeepaliveIdle: 1,
  tcpKeepaliveInterval: 1,
  tcpKeepaliveCount: 5,
} as const;

/** A send must never wait: what cannot be taken now is dropped and counted. */
function sendOptions() {
  return { sendHighWaterMark: HIGH_WATER_MARK, sendTimeout: 0 };
}

/** Enforcing the domain means: while nobody answers for it, nobody gets in. */
function curveServerOptions({ publicKey, secretKey }: KeyPair) {
  return {
    curveServer: true,
    curvePublicKey: publicKey,
    curveSecretKey: secretKey,
    zapDomain: ZAP_DOMAIN,
    zapEnforceDomain: true,
  };
}

function sessionOptions() {
  return {
    sendHighWaterMark: SESSION_HIGH_WATER_MARK,
    receiveHighWaterMark: SESSION_HIGH_WATER_MARK,
    sendTimeout: 0,
    // Sessions have beats of their own. This is only for the connections of sessions that are over.
    ...keepaliveOptions,
  };
}
